"""Listings are read as they are asked for: counted in blocks, and in entries."""

from __future__ import annotations

from itertools import islice

import pytest

import s3archivefs
from s3archivefs import BytesDevice
from s3archivefs.loading import Loading
from tests.support.images.built import build, directory, entries
from tests.support.images.fixtures import CountingDevice
from tests.support.images.readers import readers_of

NAMES = [b"d%04d" % number for number in range(1_600)]
RUNS_OF_ONE = b"".join(entries(0, 1, (0, 0, 1, name)) for name in NAMES)
"""Five blocks of 8 KiB, as of directories that hold many files: each is a run of its own."""


@pytest.fixture(scope="module")
def image() -> bytes:
    return bytes(build(directory({b"d": directory(listing=RUNS_OF_ONE)})))


def test_the_first_names_are_read_without_the_rest(image: bytes) -> None:
    with s3archivefs.open(BytesDevice(image)) as fs:
        readers = readers_of(fs)
        listed = readers.directory(readers.inodes.inode(fs.stat("/d").reference))
        loading = Loading(readers.listings, *listed.segments().all)
        assert [name for run in islice(loading, 20) for name in run.names] == NAMES[:20]
        assert 20 <= loading.count < 64


def test_a_page_reads_one_block_of_the_listing(image: bytes) -> None:
    device = CountingDevice(image)
    with s3archivefs.open(device) as fs:
        fs.stat("/d")
        device.forget()
        assert [entry.name for entry in islice(fs.scandir(b"/d"), 20)] == NAMES[:20]
        assert len(device.reads) == 1
        assert [entry.name for entry in fs.scandir(b"/d")] == NAMES
        # The last of the blocks holds the root's listing, too, and was read before.
        assert len(device.reads) == len(RUNS_OF_ONE) // 8192


def test_a_listing_that_was_read_through_is_kept(image: bytes) -> None:
    device = CountingDevice(image)
    with s3archivefs.open(device) as fs:
        assert [entry.name for entry in fs.scandir(b"/d")] == NAMES
        readers_of(fs).listing_blocks.clear()
        device.forget()
        assert [entry.name for entry in fs.scandir(b"/d")] == NAMES
        assert fs.exists(b"/d/nothing") is False
        assert device.reads == []
