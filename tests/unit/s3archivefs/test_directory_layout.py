"""The layout of listings: sizes, runs, deltas and indices."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.tree import Node, directory, file, hard_link, symlink
from s3archivefs.directory import SEGMENTS_MAX, Directory, Segment, Segments
from s3archivefs.format import BasicDirectory, DirectoryHeader, DirectoryIndex, ExtendedDirectory
from tests.support.images.crowds import pack_crowd
from tests.support.images.drafts import draft
from tests.support.images.fixtures import (
    FIXTURES,
    CountingDevice,
    make_image,
    open_fixture,
    record_of,
)
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from pathlib import Path


def make(directory: Path, tool: str, tree: tuple[Node, ...]) -> Path:
    """An image of `tree` from a tar stream, by either writer."""
    options = ("-c", "gzip") if tool == "tar2sqfs" else ()
    image = directory / f"{tool}.sqfs"
    build(Recipe(name="t", shape="", tool=tool, options=options, tree=tree), image)
    return image


either_tool = pytest.mark.parametrize("tool", ["mksquashfs", "tar2sqfs"])


def opened(fs: s3archivefs.SquashFS, path: str) -> Directory:
    """The listing of a directory, as the reader has it."""
    readers = readers_of(fs)
    return readers.directory(readers.inodes.inode(fs.stat(path).reference))


def headers(fs: s3archivefs.SquashFS, path: str) -> list[DirectoryHeader]:
    """The headers of a listing, found by going through it byte by byte."""
    record = record_of(fs, path)
    assert isinstance(record, BasicDirectory | ExtendedDirectory)
    listings = readers_of(fs).listings
    cursor = listings.cursor(listings.extent.start + record.start_block, record.offset)
    data, at, found = cursor.take(record.size - 3), 0, []
    while at < len(data):
        header = DirectoryHeader.decode(data, at)
        found.append(header)
        at += 12
        for _ in range(header.count_minus_one + 1):
            at += 8 + struct.unpack_from("<H", data, at + 6)[0] + 1
    return found


def index_of(fs: s3archivefs.SquashFS, path: str) -> list[tuple[int, int, bytes]]:
    """The index of a directory: offset in the listing, block, name."""
    record = record_of(fs, path)
    assert isinstance(record, ExtendedDirectory)
    cursor = readers_of(fs).inodes.tail(opened(fs, path).inode, 12 * record.index_count, "index")
    found = []
    for _ in range(record.index_count):
        entry = DirectoryIndex.decode(cursor.take(12))
        name = cursor.take(entry.name_size_minus_one + 1)
        found.append((entry.listing_offset, entry.block, name))
    return found


# ---- Sizes and runs ------------------------------------------------------------------------------


@either_tool
def test_size_of_a_listing_counts_three_bytes_that_are_not_there(tool: str, tmp_path: Path) -> None:
    # D48: an empty directory has 3, one entry 12 + 8 + its name more.
    tree = (directory("empty"), directory("one"), file("one/name", b"x"))
    with s3archivefs.open(make(tmp_path, tool, tree)) as fs:
        sizes = {path: getattr(record_of(fs, path), "size", None) for path in ("/empty", "/one")}
        assert sizes == {"/empty": 3, "/one": 3 + 12 + 8 + 4}
        assert fs.listdir("/empty") == []
        assert fs.listdir("/one") == ["name"]
        assert not fs.exists("/empty/name")


@either_tool
@pytest.mark.parametrize("count", [1, 255, 256, 257, 511, 513, 3000])
def test_runs_hold_256_entries_at_most_and_all_are_read(
    tool: str, count: int, tmp_path: Path
) -> None:  # D49
    names = [f"{number:05d}" for number in range(count)]
    tree = (directory("d"), *(file(f"d/{name}") for name in names))
    with s3archivefs.open(make(tmp_path, tool, tree)) as fs:
        counts = [header.count_minus_one + 1 for header in headers(fs, "/d")]
        assert sum(counts) == count
        assert max(counts) == min(count, 256)
        if count == 3000:  # also new runs where blocks of listing or of inodes end
            assert len(counts) > -(-count // 256)
        assert fs.listdir("/d") == names
        assert [fs.stat(f"/d/{name}").kind for name in names] == [s3archivefs.FileKind.FILE] * count


@pytest.mark.parametrize("length", [1, 2, 255, 256])
def test_names_are_as_long_as_they_say(length: int, tmp_path: Path) -> None:  # D50
    names = [letter * length for letter in "abc"]
    with s3archivefs.open(make_image(tmp_path, tuple(file(name) for name in names))) as fs:
        assert fs.listdir("/") == names


def test_listings_lie_across_metadata_blocks_wherever_they_end(tmp_path: Path) -> None:  # D16
    # Directories with names of all lengths: blocks end within headers, entries and names.
    tree = [
        node
        for number in range(200)
        for node in (
            directory(f"{number:03d}"),
            *(file(f"{number:03d}/{inner}-{'n' * (number + inner)}") for inner in range(9)),
        )
    ]
    with s3archivefs.open(make_image(tmp_path, tuple(tree))) as fs:
        for number in range(200):
            expected = [f"{inner}-{'n' * (number + inner)}" for inner in range(9)]
            assert fs.listdir(f"/{number:03d}") == expected
            assert all(fs.exists(f"/{number:03d}/{name}") for name in expected)


# ---- Entries -------------------------------------------------------------------------------------

LINKED = (
    file("001-root-file", b"linked\n"),
    directory("002-subdir"),
    file("002-subdir/003-file", b"not linked\n"),
    hard_link("002-subdir/004-link", "001-root-file"),
)


@either_tool
def test_delta_of_an_entry_may_be_negative(tool: str, tmp_path: Path) -> None:  # D50
    image = make(tmp_path, tool, LINKED)
    with s3archivefs.open(image) as fs:
        assert fs.read_bytes("002-subdir/004-link") == b"linked\n"
        assert fs.stat("002-subdir/004-link") == fs.stat("001-root-file")
        (entry,) = (each for each in fs.scandir("002-subdir") if each.name == "004-link")
        assert entry.inode_number == fs.stat("001-root-file").inode_number
        assert list(fs.verify()) == []


def test_type_of_an_entry_is_the_basic_one(tmp_path: Path) -> None:  # D50
    attribute = {"trusted.a": b"b"}
    tree = (
        directory("directory", xattrs=attribute),
        file("file", xattrs=attribute),
        symlink("link", "file", xattrs=attribute),
    )
    image = draft(tmp_path, tree)
    for node, number in zip(tree, (1, 2, 3), strict=True):
        assert image.get(image.entry(node.path.encode()) + 4, "H") == number
    with image.open() as fs:
        for entry in fs.scandir("/"):
            assert entry.kind.name.lower() == {"link": "symlink"}.get(entry.name, entry.name)
            assert entry.stat(follow_symlinks=False).kind is entry.kind


def test_names_sort_as_bytes_in_listings_and_searches() -> None:  # D51
    with open_fixture(FIXTURES["non-utf8"]) as fs:
        names = fs.listdir(b"/")
        assert names == sorted(names)
        assert max(names) == b"\xfe"
        for start in (b"\xf0", b"\xef", b"\xc3", b"d\xff", b"x"):
            found = [entry.name for entry in fs.scandir(b"/", start=start)]
            assert found == [name for name in names if name >= start]


# ---- The index -----------------------------------------------------------------------------------


def test_index_names_the_run_that_begins_each_block(tmp_path: Path) -> None:  # D51
    names = [f"{number:04d}-entry" for number in range(3000)]
    tree = (directory("a"), file("a/x"), directory("d"), *(file(f"d/{name}") for name in names))
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        index = index_of(fs, "/d")
        assert len(index) >= 5
        record = record_of(fs, "/d")
        assert isinstance(record, ExtendedDirectory)
        assert record.offset  # where another listing stands before it
        listings = readers_of(fs).listings
        for offset, block, name in index:
            # The offset in the block follows from that in the listing, which counts no 3 bytes.
            inside = (record.offset + offset) % 8192
            cursor = listings.cursor(listings.extent.start + block, inside)
            cursor.skip(12 + 8)  # a header, and the first entry's fields
            assert cursor.take(len(name)) == name
        found = {name for name in names if fs.exists(f"/d/{name}")}
        assert found == set(fs.listdir("/d")) == set(names)
        assert not any(fs.exists(f"/d/{name}x") for name in names)


@either_tool
def test_look_up_in_a_large_directory_reads_a_few_blocks_whoever_wrote_it(
    tool: str, tmp_path: Path
) -> None:  # D51: squashfs-tools-ng indexes every run, the first too
    names = [f"{number:04d}-{'n' * 90}" for number in range(6000)]
    tree = (directory("a"), file("a/x"), directory("d"), *(file(f"d/{name}") for name in names))
    device = CountingDevice(make(tmp_path, tool, tree).read_bytes())
    for number in (0, 1, 2222, 5999):
        with s3archivefs.open(device) as fs:
            record = record_of(fs, "/d")
            assert isinstance(record, ExtendedDirectory)
            assert record.offset  # where another listing stands before it
            listing, end = fs.superblock.directory_table_start, fs.superblock.id_table_start
            device.forget()
            assert fs.exists(f"/d/{names[number]}")
            assert len([offset for offset, _ in device.reads if listing <= offset < end]) <= 3
            device.forget()
            assert next(iter(fs.scandir("/d", start=f"{number:04d}"))).name == names[number]
            assert device.reads == []
    with s3archivefs.open(device) as fs:
        assert fs.listdir("/d") == names


def test_look_up_among_many_names_reads_a_few_blocks(tmp_path: Path) -> None:  # D51
    check_look_up(20_000, tmp_path)


def check_look_up(count: int, directory: Path) -> None:
    """Look up some of `count` names in one directory, in a few reads each."""
    crowd = (f"{number:06d}-name" for number in range(count))
    image = pack_crowd(directory / "many.sqfs", "d", crowd)
    device = CountingDevice(image.read_bytes())
    with s3archivefs.open(device) as fs:
        assert fs.superblock.inode_count == count + 2
        for number in (count - 1, 0, count // 2):
            device.forget()
            assert fs.stat(f"/d/{number:06d}-name").size == 0
            assert not fs.exists(f"/d/{number:06d}-nobody")
            # The first finds the index, which lies in a few blocks itself.
            assert len(device.reads) <= 10
        names = [entry.name for entry in islice(fs.scandir("/d", start="01234"), 2)]
        assert names == ["012340-name", "012341-name"]


@either_tool
def test_long_index_is_thinned_out_and_finds_every_name(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # D51
    names = [f"{number:04d}-{'n' * 240}" for number in range(400)]
    tree = (directory("a"), file("a/x"), directory("d"), *(file(f"d/{name}") for name in names))
    image = make(tmp_path, tool, tree)
    with s3archivefs.open(image) as fs:
        assert len(opened(fs, "/d").segments().all) > 10
    for most in (1, 2, 7):
        monkeypatch.setattr("s3archivefs.directory.SEGMENTS_MAX", most)
        with s3archivefs.open(image) as fs:
            assert 1 <= len(opened(fs, "/d").segments().all) <= most
            assert fs.listdir("/d") == names
            assert all(fs.exists(f"/d/{name}") for name in names)
            assert not any(fs.exists(f"/d/{name}x") for name in names)
            for number, name in enumerate(names):
                assert next(fs.scandir("/d", start=f"{number:04d}")).name == name


def test_as_many_segments_as_there_may_be_are_kept() -> None:
    segments = Segments([Segment(b"", b"", 0, 0, 0, 0)] * SEGMENTS_MAX)
    with s3archivefs.open(
        FIXTURES["indexed"].image, limits=s3archivefs.Limits(cache_bytes=4 << 20)
    ) as fs:
        pool = readers_of(fs).pool
        pool.put("index", segments)
        assert pool.peek("index") is segments


@pytest.mark.parametrize("fault", ["none", "one place for all"])
def test_long_listing_without_a_useful_index_is_gone_through_once_for_one(
    fault: str, tmp_path: Path
) -> None:  # D51
    names = [f"{number:04d}-{'n' * 240}" for number in range(1200)]
    tree = (directory("d", mtime=1_234_567_801), *(file(f"d/{name}") for name in names))
    image = draft(tmp_path, tree)
    inode = image.inode(1_234_567_801)
    assert image.get(inode + 20, "I") > 1 << 18  # bytes of listing
    assert image.get(inode + 32, "H") > 30
    image.put(inode + 32, "H", 0 if fault == "none" else 1)
    device = CountingDevice(bytes(image.data))
    with s3archivefs.open(device, limits=s3archivefs.Limits(cache_bytes=1 << 17)) as fs:
        assert fs.exists(f"/d/{names[600]}")
        for name in (*names[::99], "0000", names[7] + "x", "zz"):
            device.forget()
            assert fs.exists(f"/d/{name}") is (name in names)
            assert len(device.reads) <= 5
        for number in range(0, 1200, 99):
            device.forget()
            assert next(fs.scandir("/d", start=f"{number:04d}")).name == names[number]
            assert len(device.reads) <= 5
        assert fs.listdir("/d") == names


def test_long_listing_without_an_index_is_found_as_far_as_it_is_sound(tmp_path: Path) -> None:
    names = [f"{number:04d}-{'n' * 240}" for number in range(1200)]
    tree = (directory("d", mtime=1_234_567_801), *(file(f"d/{name}") for name in names))
    image = draft(tmp_path, tree)
    inode = image.inode(1_234_567_801)
    image.put(inode + 32, "H", 0)
    data = bytes(image.data).replace(names[900].encode(), b"/" * 245)
    assert data != bytes(image.data)
    with s3archivefs.open(s3archivefs.BytesDevice(data)) as fs:
        assert all(fs.exists(f"/d/{name}") for name in names[:800:99])
        with pytest.raises(s3archivefs.CorruptImageError):
            fs.exists(f"/d/{names[-1]}")
        with pytest.raises(s3archivefs.CorruptImageError):
            fs.listdir("/d")


def test_parents_are_known_without_parent_fields_or_exports() -> None:  # D52
    with open_fixture(FIXTURES["no-exports"]) as fs:
        assert fs.stat("/docs/deep/..") == fs.stat("/docs")
        assert fs.stat("/docs/deep/../..") == fs.stat("/")
        assert fs.listdir("/docs/deep/../../docs") == fs.listdir("/docs")


def test_parent_fields_are_not_used(tmp_path: Path) -> None:  # D26, D52
    mtime = 1_234_567_801
    image = draft(tmp_path, (directory("a"), directory("a/b", mtime=mtime), directory("c")))
    for parent in (0, 2**32 - 1):
        image.put(image.inode(mtime) + 28, "I", parent)
        with image.open() as fs:
            assert fs.stat("/a/b/..") == fs.stat("/a")
            assert list(fs.verify()) == []
