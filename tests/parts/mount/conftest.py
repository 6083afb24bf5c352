"""Whether one can mount here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mount.mounted import skip_unless_mountable


@pytest.fixture(autouse=True)
def _mountable() -> None:
    skip_unless_mountable()


@pytest.fixture
def point(tmp_path: Path) -> Path:
    """A directory to mount at."""
    directory = tmp_path / "mounted here"
    directory.mkdir()
    return directory
