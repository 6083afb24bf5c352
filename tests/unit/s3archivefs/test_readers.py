"""The memory that an open image reports for its caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import directory, file
from s3archivefs import Limits
from s3archivefs.listing import Listing
from tests.support.images.fixtures import make_image
from tests.support.images.readers import readers_of, resolver_of

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


def test_listings_that_are_read_through_leave_most_of_the_cache_free(tmp_path: Path) -> None:
    tree = tuple(file(f"{top}/{'n' * 100}{number}") for top in "abcdefgh" for number in range(99))
    image = make_image(tmp_path, (*map(directory, "abcdefgh"), *tree))
    with s3archivefs.open(image, limits=Limits(cache_bytes=1 << 19)) as fs:
        readers = readers_of(fs)
        resolver = resolver_of(fs, readers)
        for top in "abcdefgh":
            runs = readers.directory(resolver.inode(f"/{top}")).runs()
            assert sum(len(run.names) for run in runs) == 99
        listings = [kept for _, kept in readers.pool.newest(99) if isinstance(kept, Listing)]
        # Another is of the root, in which names were looked up.
        assert 1 < len(listings) < 1 + 8
        assert readers.pool.free > 2 * readers.pool.weight


def test_what_was_used_last_is_in_doubt_with_all_that_it_was_decoded_from(tmp_path: Path) -> None:
    names = [f"{number:04d}-{'n' * 90}" for number in range(1500)]  # an index, and blocks enough
    tree = (directory("a"), directory("a/b"), *(file(f"a/b/{name}") for name in names))
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        readers = readers_of(fs)
        found = resolver_of(fs, readers).inode(f"/a/b/{names[900]}")
        inodes, listings = fs.superblock.inode_table_start, readers.listings.extent
        listed = next(kept for _, kept in readers.pool.newest(9) if isinstance(kept, Listing))
        readers.listing_blocks.clear()
        ranges = readers.in_doubt()
        for reference in (found.reference, fs.stat("/a").reference, fs.stat("/a/b").reference):
            block = inodes + (reference >> 16)
            assert any(start <= block < end for start, end in ranges)
        (extent,) = listed.extents
        assert listings.start < extent[0] < extent[1] <= listings.end
        assert extent in ranges
