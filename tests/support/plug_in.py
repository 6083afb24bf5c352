"""An installed distribution that opens a scheme of URLs."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

__all__ = ["plugged_in"]


@contextmanager
def plugged_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The scheme, behind which a URL has the path of a file; it is read whole."""
    (directory / "plug_in.py").write_text(
        "from pathlib import Path\n"
        "from s3archivefs import BytesDevice\n"
        "def open_url(url):\n"
        "    return BytesDevice(Path(url.removeprefix('pickled://')).read_bytes())\n"
    )
    information = directory / "plug_in-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[s3archivefs.devices]\npickled = plug_in:open_url\n"
    )
    monkeypatch.syspath_prepend(directory)
    yield "pickled"
    sys.modules.pop("plug_in", None)
