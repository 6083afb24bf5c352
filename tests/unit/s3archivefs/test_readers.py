"""The memory that an open image reports for its caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import Limits
from tests.support.images import make_image

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_cached_is_counted_and_bounded(tmp_path: Path) -> None:
    tree = tuple(file(f"{number:03}", noise(20_000 + number)) for number in range(50))
    image = make_image(tmp_path, tree, "-b", "4096")
    with s3archivefs.open(image, limits=Limits(cache_bytes=1 << 16)) as fs:
        opened = fs.cached_bytes
        assert len(fs.listdir("/")) == 50
        listed = fs.cached_bytes
        with fs.open("/000") as opened_file:
            opened_file.read(10)
        read = fs.cached_bytes
        assert 0 < opened < listed
        assert read == listed + 4096
        for name in fs.listdir("/"):
            with fs.open(f"/{name}") as opened_file:
                opened_file.read(10)
        assert read < fs.cached_bytes <= 1 << 16
