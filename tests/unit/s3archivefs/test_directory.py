"""Directories: entries in byte order, look-ups and seeks that read little."""

from __future__ import annotations

import errno
import os
import struct
from itertools import islice
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, fifo, file
from tests.support.images.crowds import pack_crowd
from tests.support.images.fixtures import (
    FIXTURES,
    CountingDevice,
    make_image,
    open_fixture,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# ---- Listing -------------------------------------------------------------------------------------


def test_entries_say_what_they_are(links: s3archivefs.SquashFS) -> None:
    entries = {entry.name: entry for entry in links.scandir("/")}
    kinds = {
        name: (each.is_dir(), each.is_file(), each.is_symlink()) for name, each in entries.items()
    }
    assert kinds["a"] == (True, False, False)
    assert kinds["directory"] == (True, False, True)
    assert kinds["absolute"] == (False, True, True)
    assert kinds["dangling"] == kinds["self"] == (False, False, True)
    assert not entries["directory"].is_dir(follow_symlinks=False)
    assert not entries["absolute"].is_file(follow_symlinks=False)
    for name, entry in entries.items():
        itself = links.stat("/" + name, follow_symlinks=False)
        assert (entry.path, entry.kind, entry.inode_number) == (
            "/" + name,
            itself.kind,
            itself.inode_number,
        )
        assert entry.stat(follow_symlinks=False) == itself
    assert entries["directory"].stat() == links.stat("/a/b")
    assert repr(entries["directory"]) == "<DirEntry 'directory'>"
    with pytest.raises(FileNotFoundError):
        entries["dangling"].stat()
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        entries["self"].stat()


@pytest.mark.parametrize("top", ["/docs", "/docs/", "docs", b"/docs"])
def test_path_of_an_entry_opens_it(plain: s3archivefs.SquashFS, top: str | bytes) -> None:
    for entry in plain.scandir(top):  # type: ignore[type-var]  # either type, one at a time
        assert plain.stat(cast("str", entry.path)) == entry.stat()


# ---- Large directories ---------------------------------------------------------------------------

MANY = [b"%05d-entry" % number for number in range(0, 40_000, 2)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """20,000 names in /many; uncompressed inodes, so that reads count in blocks of 8 KiB."""
    image = tmp_path_factory.mktemp("large") / "large.sqfs"
    beside = (directory("x"), fifo("x/fifo"))
    return pack_crowd(image, "many", map(bytes.decode, MANY), "-noI", beside=beside).read_bytes()


@pytest.fixture(scope="module")
def large_fs(large: bytes) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(s3archivefs.BytesDevice(large)) as fs:
        yield fs


@pytest.mark.property
@given(
    start=st.one_of(
        st.binary(max_size=12),
        st.sampled_from(MANY),
        st.sampled_from(MANY).map(lambda name: name + b"\0"),
        st.integers(0, 40_000).map(lambda number: b"%05d" % number),
    )
)
def test_scandir_from_any_start_is_complete_and_in_byte_order(
    large_fs: s3archivefs.SquashFS, start: bytes
) -> None:
    names = [entry.name for entry in large_fs.scandir(b"/many", start=start)]
    assert names == [name for name in MANY if name >= start]


@pytest.mark.property
@given(
    name=st.one_of(st.sampled_from(MANY), st.integers(0, 40_000).map(lambda n: b"%05d-entry" % n))
)
def test_every_name_is_found_and_no_other(large_fs: s3archivefs.SquashFS, name: bytes) -> None:
    assert large_fs.exists(b"/many/" + name) is (name in MANY)


def test_listdir_of_a_large_directory_is_complete(large_fs: s3archivefs.SquashFS) -> None:
    assert large_fs.listdir(b"/many") == MANY


def test_listdir_stops_at_the_limit_and_scandir_does_not(large: bytes) -> None:
    limits = s3archivefs.Limits(entries=19_999)
    with s3archivefs.open(s3archivefs.BytesDevice(large), limits=limits) as fs:
        with pytest.raises(s3archivefs.LimitExceededError, match="entries"):
            fs.listdir("/many")
        assert sum(1 for _ in fs.scandir("/many")) == 20_000


@pytest.mark.parametrize("name", ["00000-entry", "20000-entry", "39998-entry", "20001-missing"])
def test_lookup_in_a_large_directory_reads_a_few_blocks(large: bytes, name: str) -> None:
    device = CountingDevice(large)
    with s3archivefs.open(device) as fs:
        device.forget()
        fs.exists(f"/many/{name}")
        # Root's listing, the directory's inode and its index, one segment of listing, the inode.
        assert len(device.reads) <= 8
        assert device.total <= 8 * 8194
        device.forget()
        fs.exists(f"/many/{name}")
        assert device.reads == []


def test_scandir_start_seeks_and_reads_as_it_goes(large: bytes) -> None:
    device = CountingDevice(large)
    with s3archivefs.open(device) as fs:
        device.forget()
        found = [entry.name for entry in islice(fs.scandir("/many", start="30001"), 3)]
        assert found == ["30002-entry", "30004-entry", "30006-entry"]
        assert len(device.reads) <= 8
        device.forget()
        entries = fs.scandir("/many", start="10000")
        assert device.total <= 8194  # nothing before the first entry is asked for, or next to it
        next(entries)
        assert device.total <= 3 * 8194


def test_opening_reads_little(large: bytes) -> None:
    device = CountingDevice(large)
    with s3archivefs.open(device):
        assert len(device.reads) <= 4
        assert device.total <= 96 + 3 * 8194


def test_small_cache_makes_slow_not_wrong(large: bytes) -> None:
    limits = s3archivefs.Limits(cache_bytes=0)
    with s3archivefs.open(s3archivefs.BytesDevice(large), limits=limits) as fs:
        assert fs.listdir(b"/many") == MANY
        assert fs.stat("/many/20000-entry").size == 0


@pytest.mark.parametrize("name", ["indexed", "tar2sqfs-long-listing"])
def test_listing_with_and_without_an_index_reads_alike(name: str) -> None:  # D51
    names = [f"{number:02d}-" + "n" * 240 for number in range(70)]
    with open_fixture(FIXTURES[name]) as fs:
        assert fs.listdir("/directory") == names
        for number, each in enumerate(names):
            assert fs.read_bytes(f"/directory/{each}") == b"%02d" % number
            after = [entry.name for entry in fs.scandir("/directory", start=each + "n")]
            assert after == names[number + 1 :]
            assert not fs.exists(f"/directory/{each}n")


def test_damaged_directory_index_never_hides_a_name(tmp_path: Path) -> None:
    # D51: the index only speeds a search up, so damage may be noticed or passed over, but a name
    # that is there must not be missing.
    names = [f"{number:02d}-{'n' * 240}" for number in range(70)]
    tree = (directory("many"), *(file(f"many/{name}") for name in names))
    image = make_image(tmp_path, tree, "-noI").read_bytes()
    extended_directory = image.index(struct.pack("<HH", 8, 0o755), 96)
    index = extended_directory + 40
    noticed = 0
    for position in range(index, index + 2 * (12 + 243)):
        damaged = bytearray(image)
        damaged[position] ^= 0x01
        with s3archivefs.open(s3archivefs.BytesDevice(bytes(damaged))) as fs:
            try:
                assert all(fs.exists(f"/many/{name}") for name in names[::9])
                assert fs.listdir("/many") == names
                assert [each.name for each in fs.scandir("/many", start=names[40])] == names[40:]
            except s3archivefs.CorruptImageError:
                noticed += 1
    assert noticed

    zeroed = bytearray(image)
    zeroed[index : index + 8] = bytes(8)
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(zeroed))) as fs:
        assert fs.listdir("/many") == names
        assert all(fs.exists(f"/many/{name}") for name in names)
