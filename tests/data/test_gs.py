"""An archive in Google Cloud Storage, of which a program on loopback is the stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec
import pytest
from gcp_storage_emulator.server import create_server

from fixtures.shapes import noise, text
from fixtures.tree import file
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENTS = {
    "large": noise(3 << 20),
    **{f"many/{number:03}": text(number * 37) for number in range(100)},
}


@pytest.fixture
def in_gs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an image, for chains."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    port = server._api._httpd.server_port  # noqa: SLF001 -- no public name tells it
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    # Else gcsfs asks for the kind of the bucket by gRPC, which is not emulated.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    image = make_image(tmp_path, tuple(file(name, data) for name, data in CONTENTS.items()))
    fsspec.filesystem("gs", token="anon").pipe("bucket/a.sqfs", image.read_bytes())
    yield "gs://bucket/a.sqfs"
    server.stop()


def test_an_archive_in_gs_is_read_by_ranges(in_gs: str) -> None:
    with fsspec.open(f"squashfs://many/007::{in_gs}", gs={"token": "anon"}) as opened:
        assert opened.read() == CONTENTS["many/007"]
        assert opened.fs.cat("", recursive=True) == CONTENTS
        assert (
            opened.fs.cat_file("large", 1 << 20, (1 << 20) + 9) == CONTENTS["large"][1 << 20 :][:9]
        )
