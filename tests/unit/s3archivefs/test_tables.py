"""Look-up tables of ids, fragments and exports: records, lists of blocks, and their faults."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import directory, file, hard_link
from s3archivefs import BytesDevice, Compression, CorruptImageError, Limits
from s3archivefs.cache import WeightedCache
from s3archivefs.compression import codec_for
from s3archivefs.data import ANY_SIZE, FragmentBlocks, StoredBlock
from s3archivefs.metadata import Block, MetadataReader
from s3archivefs.superblock import Extent, block_count
from s3archivefs.tables import ExportTable, FragmentTable, IdTable, LookupTable
from tests.support.images.drafts import Draft, draft
from tests.support.images.fixtures import (
    FIXTURES,
    CountingDevice,
    Fixture,
    make_image,
    observe,
    open_fixture,
)

if TYPE_CHECKING:
    from pathlib import Path

FULL = 8192
BEFORE = 50
"""Bytes of the device before the first block."""


def split(content: bytes) -> list[bytes]:
    """The content in full blocks and a last one."""
    return [content[at : at + FULL] for at in range(0, len(content), FULL)]


def table(
    blocks: list[bytes], count: int, record_size: int, positions: list[int] | None = None
) -> LookupTable:
    """A table of these blocks, not compressed, then the list of them or `positions`."""
    data = bytes(BEFORE)
    starts = []
    for block in blocks:
        starts.append(len(data))
        data += struct.pack("<H", 0x8000 | len(block)) + block
    end = len(data)
    listed = starts if positions is None else positions
    device = BytesDevice(data + struct.pack(f"<{len(listed)}Q", *listed) + bytes(8))
    cache: WeightedCache[Block] = WeightedCache(1 << 20, lambda block: len(block.data))
    codec = codec_for(Compression.GZIP, Limits())
    reader = MetadataReader(device, codec, cache, Extent(BEFORE, end), "test")
    return LookupTable(device, reader, count, record_size)


# ---- Records -------------------------------------------------------------------------------------


@given(
    record_size=st.sampled_from([4, 8, 16]),
    count=st.one_of(st.integers(1, 40), st.integers(500, 5000)),
    data=st.data(),
)
def test_every_record_is_found_in_its_block(
    record_size: int, count: int, data: st.DataObject
) -> None:
    content = noise(count * record_size)
    records = table(split(content), count, record_size)
    index = data.draw(st.integers(0, count - 1))
    for number in (index, 0, count - 1):
        at = number * record_size
        assert records.record(number) == content[at : at + record_size]
    assert records.records() == content
    assert len(records) == count


@pytest.mark.parametrize("index", [-1, 3, 2**32 - 1])
def test_record_that_the_table_has_not_is_corrupt(index: int) -> None:
    with pytest.raises(CorruptImageError, match=f"test {index} of 3 was asked for"):
        table([noise(12)], 3, 4).record(index)


@pytest.mark.parametrize(
    ("records", "size", "blocks"),
    [(1, 4, 1), (2048, 4, 1), (2049, 4, 2), (512, 16, 1), (513, 16, 2), (65535, 4, 32)],
)
def test_blocks_hold_8_kib_of_records(records: int, size: int, blocks: int) -> None:  # D20
    assert block_count(records, size) == blocks


# ---- The list of blocks --------------------------------------------------------------------------

SECOND = BEFORE + FULL + 2
TWO = noise(FULL + 400)


@pytest.mark.parametrize(
    "positions",
    [
        [0, SECOND],  # before the tables
        [BEFORE - 1, SECOND],
        [SECOND, BEFORE],  # falling
        [BEFORE, BEFORE],  # the same block twice
        [SECOND, SECOND],
        [BEFORE, SECOND + 402],  # the list itself
        [BEFORE, 2**64 - 1],
        [BEFORE, SECOND + 1000],
    ],
    ids=str,
)
def test_list_that_no_writer_makes_is_corrupt(positions: list[int]) -> None:  # D4, D12
    records = table(split(TWO), len(TWO) // 4, 4, positions)
    for _ in range(2):
        with pytest.raises(CorruptImageError, match="test table's list of blocks names") as caught:
            records.record(0)
        assert caught.value.offset == SECOND + 402


def test_blocks_further_apart_than_a_block_is_long_are_corrupt() -> None:  # D12
    blocks = split(noise(2 * FULL + 400))
    assert table(blocks, 4196, 4).record(4195) == blocks[-1][-4:]
    gap = [BEFORE, BEFORE + 2 * (FULL + 2), BEFORE + 2 * (FULL + 2) + 10]
    with pytest.raises(CorruptImageError, match="list of blocks names"):
        table(blocks, 4196, 4, gap).record(0)


def test_list_past_the_end_of_the_device_is_truncated() -> None:
    with pytest.raises(s3archivefs.TruncatedImageError, match="test table's list of blocks"):
        table([noise(4)], 100_000, 4).record(0)


@pytest.mark.parametrize(
    ("lengths", "index", "said"),
    [
        ((FULL - 4, 8), 0, "block 0 of the test table holds 8188 bytes instead of 8192"),
        ((FULL, 4), 2049, "block 1 of the test table holds 4 bytes instead of 8"),
        ((FULL, FULL), 2049, "block 1 of the test table holds 8192 bytes instead of 8"),
    ],
)
def test_block_of_another_length_than_is_due_is_corrupt(
    lengths: tuple[int, int], index: int, said: str
) -> None:  # D20
    records = table([noise(length) for length in lengths], 2050, 4)
    with pytest.raises(CorruptImageError, match=said):
        records.record(index)
    with pytest.raises(CorruptImageError, match=said):
        records.records()


# ---- Ids -----------------------------------------------------------------------------------------


def test_ids_are_indices_into_one_table_of_32_bits() -> None:  # D25
    numbers = (0, 4_000_000_000, 65_536, 2**32 - 1)
    ids = IdTable(table([struct.pack("<4I", *numbers)], 4, 4))
    assert tuple(ids.get(index, 96) for index in range(4)) == numbers
    for index in (4, 65535):
        with pytest.raises(CorruptImageError, match=f"an inode names id {index} of 4"):
            ids.get(index, 96)


def test_thousands_of_ids_need_several_blocks(tmp_path: Path) -> None:  # D25
    count = 2600
    tree = tuple(
        file(f"{number:04d}", uid=10**9 + number, gid=2 * 10**9 + number) for number in range(count)
    )
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        assert fs.superblock.id_count == 2 * count + 1  # and the root's 0
        for entry in fs.scandir("/"):
            number = int(entry.name)
            found = entry.stat()
            assert (found.uid, found.gid) == (10**9 + number, 2 * 10**9 + number)
        assert (fs.stat("/").uid, fs.stat("/").gid) == (0, 0)


# ---- Fragments -----------------------------------------------------------------------------------


def test_fragment_of_an_image_without_fragments_is_corrupt() -> None:
    with pytest.raises(CorruptImageError, match="fragment 7 in an image without fragments"):
        FragmentTable(None)[7]


def test_places_of_fragment_blocks_are_kept_within_a_bound_and_forgotten() -> None:
    entries = [struct.pack("<QII", number, 2 * number, 0) for number in range(600)]
    fragments = FragmentBlocks(FragmentTable(table(split(b"".join(entries)), 600, 16)), 25_000)
    weights = set()
    for number in range(601):
        assert fragments.get(number) is None
        fragments.keep(number, StoredBlock(number, number, ANY_SIZE))
        weights.add(fragments.weight)
    assert fragments[600] == StoredBlock(600, 600, ANY_SIZE)
    assert max(weights) == 25_000
    fragments.latest = 599
    assert fragments.in_doubt() == [(BEFORE + 2 + FULL, BEFORE + 4 + 600 * 16)]
    fragments.clear()
    assert (fragments.weight, fragments.in_doubt()) == (0, [])


def test_without_memory_no_place_of_a_fragment_block_is_kept() -> None:
    fragments = FragmentBlocks(FragmentTable(None), 0)
    fragments.keep(0, StoredBlock(1, 2, ANY_SIZE))
    assert fragments.weight == 0


def test_fragments_beyond_the_first_block_of_their_table_are_found(tmp_path: Path) -> None:  # D44
    # Each file fills a fragment of its own; 512 entries fill a block of the table.
    tree = tuple(file(f"{number:03d}", text(4000) + b"%d" % number) for number in range(520))
    with s3archivefs.open(make_image(tmp_path, tree, "-no-duplicates")) as fs:
        assert fs.superblock.fragment_count == 520
        for node in tree:
            assert fs.read_bytes(node.path) == node.content
        assert list(fs.verify()) == []


@pytest.mark.parametrize("index", [1, 0xFFFF_FFFE])
def test_fragment_that_the_table_has_not_is_corrupt(index: int, tmp_path: Path) -> None:
    mtime = 1_234_567_801
    image = draft(tmp_path, (file("tail", text(99), mtime=mtime),))
    image.put(image.inode(mtime) + 20, "I", index)
    with image.open() as fs:
        with pytest.raises(CorruptImageError, match=f"fragment {index} of 1 was asked for"):
            fs.read_bytes("tail")
        assert fs.stat("tail").size == 99


# ---- Exports -------------------------------------------------------------------------------------


def test_export_table_counts_inodes_from_1() -> None:  # D58
    exports = ExportTable(table([struct.pack("<3Q", 7, 8, 1 << 40)], 3, 8))
    assert [exports[number] for number in (1, 2, 3)] == [7, 8, 1 << 40]
    for number in (0, 4):
        with pytest.raises(CorruptImageError):
            exports[number]


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_every_inode_is_found_by_its_number_where_there_is_an_export_table(
    fixture: Fixture,
) -> None:  # D58
    with open_fixture(fixture) as fs:
        stats = {fs.stat(each.path, follow_symlinks=False) for each in observe(fs)}
        assert len(stats) == fs.superblock.inode_count
        if fs.superblock.export_table_start == 2**64 - 1:
            with pytest.raises(s3archivefs.UnsupportedError, match="no export table"):
                fs.stat_inode(1)
            return
        for found in stats:
            assert fs.stat_inode(found.inode_number) == found
        for number in (0, -1, fs.superblock.inode_count + 1, 2**32):
            with pytest.raises(FileNotFoundError) as caught:
                fs.stat_inode(number)
            assert caught.value.filename == str(number)


def test_fixtures_with_and_without_an_export_table_are_there() -> None:
    def has_exports(name: str) -> bool:
        with open_fixture(FIXTURES[name]) as fs:
            return fs.superblock.export_table_start != 2**64 - 1

    # tar2sqfs writes none unless told to, mksquashfs one unless told not to.
    names = ("gzip", "gensquashfs", "no-exports", "tar2sqfs")
    assert [has_exports(name) for name in names] == [True, True, False, False]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An uncompressed image of 1104 inodes; 1024 exports fill a block."""
    tree = (
        directory("d"),
        *(file(f"d/{number:04d}", mtime=number) for number in range(1102)),
        hard_link("d/z-link", "d/0007"),
    )
    return bytes(draft(tmp_path_factory.mktemp("exports"), tree).data)


def test_exports_beyond_the_first_block_of_their_table_are_found(many: bytes) -> None:  # D58
    with Draft(many).open() as fs:
        assert fs.superblock.inode_count == 1104
        for name in ("d/1101", "d/0000", "d/z-link", "d", "/"):
            found = fs.stat(name)
            assert fs.stat_inode(found.inode_number) == found


def test_damaged_exports_are_noticed(many: bytes) -> None:  # D58
    image = Draft(many)
    first, second = image.blocks_of("export_table_start", 2)
    with image.open() as fs:
        number, other = fs.stat("d/0003").inode_number, fs.stat("d/0004").inode_number
    wrong = Draft(many)
    wrong.put(first + 2 + 8 * (number - 1), "Q", image.get(first + 2 + 8 * (other - 1), "Q"))
    with wrong.open() as fs:
        with pytest.raises(CorruptImageError, match=rf"leads to inode {other} for {number}"):
            fs.stat_inode(number)
        assert fs.stat("d/0003").inode_number == number  # which needs no export table
        assert [problem.path for problem in fs.verify()] == ["/d/0003"]
    short = Draft(many)
    short.put(first, "H", 0x8000 | FULL - 8)
    holds = "block 0 of the export table holds 8184"
    with short.open() as fs, pytest.raises(CorruptImageError, match=holds):
        fs.stat_inode(1)
    listed = Draft(many)
    listed.put(listed["export_table_start"] + 8, "Q", first)
    with listed.open() as fs, pytest.raises(CorruptImageError, match="export table's list"):
        fs.stat_inode(1)
    assert second - first == FULL + 2


def test_tables_are_read_when_they_are_needed_and_once(many: bytes) -> None:
    device = CountingDevice(many)
    with s3archivefs.open(device) as fs:
        device.forget()
        first = fs.stat_inode(1)
        # List and block of exports, list and block of ids, and the inode's block.
        assert len(device.reads) <= 5
        device.forget()
        assert fs.stat_inode(1) == first
        assert device.reads == []
