"""The layout of files: blocks, holes and fragments, in images of any size."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import BLOCK, HOLE, SIZES, SPARSE, noise, text
from fixtures.tree import file, hard_link
from s3archivefs.format import BasicFile, ExtendedFile
from tests.support.images.drafts import STORED, Draft, draft
from tests.support.images.fixtures import (
    FIXTURES,
    CountingDevice,
    Fixture,
    make_image,
    open_fixture,
    record_of,
)
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from pathlib import Path

NONE = 0xFFFF_FFFF
BASIC, EXTENDED = 32, 56
"""Bytes of a file's record, behind which its block list stands."""
STORED_BLOCK = 1 << 24

# ---- Blocks and tails ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("fragments", "fragments-none", "fragments-always", "fragments-tailends"),
        "tar2sqfs-no-tail-packing",
    ],
)
def test_files_of_sizes_around_a_block_have_as_many_blocks_as_the_format_says(name: str) -> None:
    # D34: rounded up without a fragment, rounded down with one.
    with open_fixture(FIXTURES[name]) as fs:
        readers = readers_of(fs)
        in_fragments = 0
        for node in SIZES:
            size = len(node.content)
            record = record_of(fs, node.path)
            assert isinstance(record, BasicFile)
            has_fragment = record.fragment_index != NONE
            in_fragments += has_fragment
            blocks = size // BLOCK if has_fragment else -(-size // BLOCK)
            inode = readers.inodes.inode(fs.stat(node.path).reference)
            words = readers.inodes.tail(inode, 4 * blocks, "list").take(4 * blocks)
            for word in struct.unpack(f"<{blocks}I", words):
                assert 0 < word & 0xFFFFFF <= BLOCK
            with fs.open(node.path) as opened:
                assert opened.read() == node.content
                for at in range(0, size, 511):
                    opened.seek(at)
                    assert opened.read(700) == node.content[at : at + 700]
        assert bool(in_fragments) is (name != "fragments-none")


@pytest.mark.parametrize("policy", [(), ("-always-use-fragments",)])
def test_files_share_fragments_at_offsets_in_their_content(  # D44
    policy: tuple[str, ...], tmp_path: Path
) -> None:
    tree = tuple(file(f"{number:02d}", text(100 + number)) for number in range(60))
    for options in ((), STORED):
        image = make_image(tmp_path, tree, "-no-duplicates", *policy, *options)
        with s3archivefs.open(image) as fs:
            assert fs.superblock.fragment_count == 2
            records = [record_of(fs, node.path) for node in tree]
            offsets = [
                record.fragment_offset for record in records if isinstance(record, BasicFile)
            ]
            assert offsets[:4] == [0, 100, 201, 303]
            assert [fs.read_bytes(node.path) for node in tree] == [node.content for node in tree]


def test_equal_files_share_their_blocks_and_gaps_are_allowed(tmp_path: Path) -> None:  # D46
    with open_fixture(FIXTURES["duplicates"]) as fs:
        starts = {name: record_of(fs, name) for name in ("first", "second", "third")}
        first, second = starts["first"], starts["second"]
        assert isinstance(first, BasicFile)
        assert isinstance(second, BasicFile)
        assert first.blocks_start == second.blocks_start
        assert fs.read_bytes("second") == fs.read_bytes("first") == noise(5000)
    # One file's blocks in the midst of another's, and bytes between that belong to none.
    times = (1_234_567_801, 1_234_567_802)
    whole = noise(4 * BLOCK)
    tree = (file("a", whole, mtime=times[0]), file("b", noise(BLOCK, "other"), mtime=times[1]))
    image = draft(tmp_path, tree)
    image.put(image.inode(times[1]) + 16, "I", 96 + BLOCK)
    with image.open() as fs:
        assert fs.read_bytes("b") == whole[BLOCK : 2 * BLOCK]
        assert fs.read_bytes("a") == whole
        assert list(fs.verify()) == []


def test_flags_do_not_tell_how_blocks_are_stored(tmp_path: Path) -> None:  # D8, D35
    # Of one file, one block compresses and one does not; a fragment does.
    tree = (file("a", text(BLOCK) + noise(BLOCK) + text(99)),)
    image = Draft(make_image(tmp_path, tree, "-tailends", "-noI").read_bytes())
    first, second = struct.unpack_from("<2I", image.data, image["inode_table_start"] + 2 + BASIC)
    assert first < STORED_BLOCK < second
    for flags in (0, 0x0002 | 0x0008, 0x0100 | 0x0800):
        image["flags"] = image["flags"] & 0x0400 | flags
        with image.open() as fs:
            assert fs.read_bytes("a") == tree[0].content


# ---- Holes ---------------------------------------------------------------------------------------


def test_holes_are_zeros_that_take_no_bytes(tmp_path: Path) -> None:  # D35, D36
    # First, middle, last; and a last one of 5 bytes.
    data = noise(BLOCK), noise(BLOCK, "second")
    content = HOLE + data[0] + HOLE * 2 + data[1] + HOLE + bytes(5)
    image = draft(tmp_path, (file("a", content, mtime=1_234_567_801),), "-no-fragments")
    inode = image.inode(1_234_567_801)
    words = struct.unpack_from("<7I", image.data, inode + EXTENDED)
    full = STORED_BLOCK | BLOCK
    assert words == (0, full, 0, 0, full, 0, 0)
    assert image.data[96 : 96 + 2 * BLOCK] == data[0] + data[1]  # one behind the other
    with image.open() as fs:
        assert fs.read_bytes("a") == content
        with fs.open("a") as opened:
            opened.seek(-5, os.SEEK_END)
            assert opened.read() == bytes(5)


def test_file_of_more_than_4_gib_is_read_at_both_ends(tmp_path: Path) -> None:  # D22, D31
    # 4200 holes of 4 KiB become such of 1 MiB when the block size is changed, as nothing else needs
    # to be.
    image = draft(
        tmp_path,
        (file("large", HOLE * 4200 + b"the end", mtime=1_234_567_801), file("small", text(99))),
        "-tailends",
    )
    inode = image.inode(1_234_567_801)
    image["block_size"], image["block_log"] = 1 << 20, 20
    size = (4200 << 20) + 7
    image.put(inode + 24, "Q", size)
    with image.open(s3archivefs.Limits(read_all_bytes=1 << 30)) as fs:
        assert isinstance(record_of(fs, "large"), ExtendedFile)
        assert fs.stat("large").size == size
        with fs.open("large") as opened:
            assert opened.seek(-10, os.SEEK_END) == size - 10
            assert opened.read() == b"\0\0\0the end"
            opened.seek(2**32 - 3)
            assert opened.read(6) == bytes(6)
            opened.seek(0)
            with pytest.raises(s3archivefs.LimitExceededError, match="read_all_bytes"):
                opened.read()
        assert fs.read_bytes("small") == text(99)


# ---- Positions -----------------------------------------------------------------------------------


def test_random_access_in_a_file_of_ten_thousand_blocks_costs_one_read(tmp_path: Path) -> None:
    # D36: the position of a block is the sum of the sizes before it, which is taken once.
    count = 10_000
    content = b"".join(b"%08d" % number * (BLOCK // 8) for number in range(count))
    image = make_image(tmp_path, (file("large", content),), "-comp", "lz4", "-noI").read_bytes()
    device = CountingDevice(image)
    with s3archivefs.open(device) as fs, fs.open("large") as opened:
        device.forget()
        opened.read(1)
        # The block list of 40 KB, in metadata blocks of 8 KiB, and the block.
        assert len(device.reads) <= 8
        choice = Random(36)
        for number in choice.sample(range(1, count), 200):
            device.forget()
            at = number * BLOCK + choice.randrange(BLOCK - 8)
            opened.seek(at)
            assert opened.read(8) == content[at : at + 8]
            assert len(device.reads) == 1


class ShiftedDevice:
    """An image whose bytes behind the superblock lie `by` further on."""

    def __init__(self, image: bytes, by: int) -> None:
        self._image = image
        self._by = by
        self.size = len(image) + by

    def pread(self, offset: int, length: int) -> bytes:
        start = offset if offset < 96 else offset - self._by
        assert start >= 96 or offset + length <= 96
        return self._image[start : start + length]


def test_image_may_be_larger_than_4_gib(tmp_path: Path) -> None:  # D47
    by = 5 << 32
    times = {"linked": 1_234_567_801, "other": 1_234_567_802}
    tree = (
        file("linked", noise(2 * BLOCK) + text(99), mtime=times["linked"]),
        hard_link("link", "linked"),
        file("other", text(BLOCK), xattrs={"user.name": b"value"}, mtime=times["other"]),
        file("small", text(300)),
    )
    image = draft(tmp_path, tree, "-tailends")
    lists = ("fragment", "export", "id")
    for table in lists:  # the only block of each; fragments have positions
        (block,) = image.blocks_of(f"{table}_table_start", 1)
        image.put(image[f"{table}_table_start"], "Q", block + by)
        entries = range(image["fragment_count"]) if table == "fragment" else ()
        for entry in entries:
            start = block + 2 + 16 * entry
            image.put(start, "Q", image.get(start, "Q") + by)
    header = image["xattr_table_start"]
    for position in (header, header + 16):
        image.put(position, "Q", image.get(position, "Q") + by)
    for mtime in times.values():  # extended files, whose starts have 64 bits
        start = image.inode(mtime) + 16
        image.put(start, "Q", image.get(start, "Q") + by)
    for table in (*lists, "inode", "directory", "xattr"):
        image[f"{table}_table_start"] += by
    image["bytes_used"] += by
    with s3archivefs.open(ShiftedDevice(bytes(image.data), by)) as fs:
        assert fs.superblock.inode_table_start > 2**34
        for node in tree:
            original = tree[0] if node.link_to else node
            assert fs.read_bytes(node.path) == original.content
        assert fs.getxattr("other", "user.name") == b"value"
        assert fs.stat_inode(fs.stat("small").inode_number) == fs.stat("small")
        assert list(fs.verify()) == []


def test_start_of_a_file_without_blocks_may_be_anything(tmp_path: Path) -> None:  # D10
    tree = (file("a", text(99), mtime=1_234_567_801), file("b", mtime=1_234_567_802))
    image = draft(tmp_path, tree)
    for mtime in (1_234_567_801, 1_234_567_802):
        image.put(image.inode(mtime) + 16, "I", 2**32 - 1)
    with image.open() as fs:
        assert fs.read_bytes("a") == text(99)
        assert fs.read_bytes("b") == b""
        assert list(fs.verify()) == []


# ---- Processes -----------------------------------------------------------------------------------

FORK = """
import os, sys, s3archivefs
with s3archivefs.open(sys.argv[1]) as fs:
    before = fs.read_bytes("a")
    child = os.fork()
    if not child:  # it has none of its parent's threads
        os._exit(0 if fs.read_bytes("a") == before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert fs.read_bytes("a") == before
print(len(before))
"""


def test_forked_process_reads_on(tmp_path: Path) -> None:
    content = noise(40 * BLOCK)
    image = make_image(tmp_path, (file("a", content),))
    # From 3.12 on Python warns of any fork where there are threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(len(content))


def test_one_processor_needs_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    content = noise(9 * BLOCK)
    with s3archivefs.open(make_image(tmp_path, (file("a", content),))) as fs:
        assert fs.read_bytes("a") == content


# ---- What is told of it --------------------------------------------------------------------------


def full_blocks(content: bytes) -> list[bytes]:
    return [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_storage_accounts_for_all_content(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        size = fs.superblock.block_size
        for path in (each.path for each in fixture.tree if each.kind == "file"):
            with fs.open(path) as opened:
                blocks, _, stored, tail = storage = opened.storage
                whole = opened.size - tail
            assert storage.blocks + storage.holes == -(-whole // size)
            assert tail < size
            assert (stored > 0) == (blocks > 0)


def test_storage_tells_holes_from_blocks_which_take_their_size_where_nothing_is_compressed(
    tmp_path: Path,
) -> None:
    image = make_image(tmp_path, SPARSE, "-noD", "-no-fragments")
    with s3archivefs.open(image) as fs:
        for node in SPARSE:
            blocks = full_blocks(node.content)
            kept = [block for block in blocks if any(block)]
            with fs.open(node.path) as opened:
                assert opened.storage == (
                    len(kept),
                    len(blocks) - len(kept),
                    sum(map(len, kept)),
                    0,
                )
