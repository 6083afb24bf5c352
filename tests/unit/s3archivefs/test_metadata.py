"""Metadata blocks: reads within one table, across blocks, from any offset."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from fixtures.tree import directory, file
from s3archivefs import BytesDevice, Compression, CorruptImageError, Limits
from s3archivefs.cache import WeightedCache
from s3archivefs.compression import codec_for
from s3archivefs.metadata import Block, MetadataReader, split_reference
from s3archivefs.superblock import Extent
from tests.support.images.drafts import Draft, draft
from tests.support.images.fixtures import FIXTURES, observe, open_fixture

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = 8192
BEFORE = 100
"""Bytes of the device before the table."""


def stored(content: bytes) -> bytes:
    """A metadata block that is not compressed."""
    return struct.pack("<H", 0x8000 | len(content)) + content


def compressed(content: bytes) -> bytes:
    packed = zlib.compress(content)
    return struct.pack("<H", len(packed)) + packed


def table(*blocks: bytes, after: bytes = b"") -> MetadataReader:
    """A reader of a table made of these blocks, `after` on its device behind it."""
    data = bytes(BEFORE) + b"".join(blocks)
    extent = Extent(BEFORE, len(data))
    cache: WeightedCache[Block] = WeightedCache(1 << 20, lambda block: len(block.data))
    codec = codec_for(Compression.GZIP, Limits())
    return MetadataReader(BytesDevice(data + after), codec, cache, extent, "test")


def split(content: bytes) -> list[bytes]:
    """The content in full blocks and a last one."""
    return [content[at : at + FULL] for at in range(0, len(content), FULL)]


# ---- Headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [stored, compressed])
def test_bit_15_of_the_header_tells_how_a_block_is_stored(  # D15
    pack: Callable[[bytes], bytes],
) -> None:
    for content in (b"x", b"squashfs" * 1024, noise(100)):
        reader = table(pack(content), pack(b"second"))
        data, end = reader.block(BEFORE)
        assert data == content
        assert reader.block(end).data == b"second"


def test_inodes_are_read_whether_compressed_or_not() -> None:  # D15
    for name, bit in (("uncompressed-inodes", 0x8000), ("gzip", 0)):
        image = Draft(FIXTURES[name].image.read_bytes())
        assert image.get(image["inode_table_start"], "H") & 0x8000 == bit
        with open_fixture(FIXTURES[name]) as fs:
            assert observe(fs) == FIXTURES[name].tree


@pytest.mark.parametrize("header", [0x0000, 0x8000])
def test_block_of_no_bytes_is_corrupt(header: int) -> None:
    # D15: the tools' macro makes 32768 of it, more than any block has.
    reader = table(struct.pack("<H", header) + b"content")
    with pytest.raises(CorruptImageError, match=rf"test table has a size of 0 .*byte {BEFORE}\b"):
        reader.block(BEFORE)


@pytest.mark.parametrize("size", [8193, 16384, 32767])
@pytest.mark.parametrize("bit", [0, 0x8000])
def test_block_of_more_than_8_kib_is_corrupt(size: int, bit: int) -> None:  # D15
    reader = table(struct.pack("<H", size | bit) + bytes(size))
    with pytest.raises(CorruptImageError, match=f"has a size of {size} bytes"):
        reader.block(BEFORE)


def test_block_that_decompresses_to_nothing_is_corrupt() -> None:
    with pytest.raises(CorruptImageError, match="is empty"):
        table(compressed(b"")).block(BEFORE)


def test_block_that_decompresses_to_more_than_8_kib_is_corrupt() -> None:
    assert table(compressed(bytes(FULL))).block(BEFORE).data == bytes(FULL)
    with pytest.raises(CorruptImageError, match=r"test table.* decompress"):
        table(compressed(bytes(FULL + 1))).block(BEFORE)


def test_block_that_runs_past_its_table_is_corrupt_though_bytes_follow() -> None:
    whole = stored(b"a block")
    for cut in range(2, len(whole)):
        with pytest.raises(CorruptImageError, match="runs past the table's end"):
            table(whole[:cut], after=whole[cut:]).block(BEFORE)


@pytest.mark.parametrize("position", [0, BEFORE - 1, BEFORE + 8, BEFORE + 9, 1 << 48])
def test_block_outside_its_table_is_corrupt(position: int) -> None:
    reader = table(stored(b"a block"), after=stored(b"of another table"))
    with pytest.raises(CorruptImageError, match=f"outside the table's bytes {BEFORE} to") as caught:
        reader.block(position)
    assert caught.value.offset == position


# ---- References ----------------------------------------------------------------------------------


@given(block=st.integers(0, 2**48 - 1), offset=st.integers(0, 2**16 - 1))
def test_reference_is_block_and_offset(block: int, offset: int) -> None:  # D17
    assert split_reference(block << 16 | offset) == (block, offset)


@pytest.mark.parametrize("offset", [8192, 8193, 65535])
def test_offset_that_no_block_has_is_corrupt(offset: int) -> None:  # D18
    reader = table(stored(bytes(FULL)), stored(b"second"))
    with pytest.raises(CorruptImageError, match=f"offset {offset} of the test table"):
        reader.cursor(BEFORE, offset)


@pytest.mark.parametrize("offset", [6, 7, 8191])
def test_offset_behind_the_content_of_a_short_block_is_corrupt(offset: int) -> None:  # D18
    cursor = table(stored(b"short."), stored(b"second")).cursor(BEFORE, offset)
    with pytest.raises(CorruptImageError, match=rf"offset {offset} lies outside .* holds 6 bytes"):
        cursor.take(1)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An uncompressed image whose inodes need several blocks."""
    tree = (directory("d"), *(file(f"d/{number:03d}", mtime=number) for number in range(600)))
    return bytes(draft(tmp_path_factory.mktemp("metadata"), tree).data)


@pytest.mark.parametrize("offset", [8192, 8193, 40000, 65535])
def test_reference_with_too_large_an_offset_is_corrupt_wherever_it_stands(
    image: bytes, offset: int
) -> None:  # D18
    root = Draft(image)
    root["root_inode"] = root["root_inode"] & ~0xFFFF | offset
    with pytest.raises(CorruptImageError, match=f"offset {offset} "):
        root.open()
    entry = Draft(image)
    entry.put(entry.entry(b"007"), "H", offset)
    with entry.open() as fs, pytest.raises(CorruptImageError, match=f"offset {offset} "):
        fs.stat("/d/007")
    listing = Draft(image)
    inode = struct.unpack_from("<Q", image, 32)[0]
    block = listing["inode_table_start"] + 2 + (inode >> 16) + (inode & 0xFFFF)
    assert listing.get(block, "H") == 1  # the root, a basic directory
    listing.put(block + 26, "H", offset)
    with listing.open() as fs, pytest.raises(CorruptImageError, match=f"offset {offset} "):
        fs.listdir("/")


# ---- Cursors -------------------------------------------------------------------------------------

CONTENT = noise(3 * FULL + 1000)


@given(
    start=st.integers(0, len(CONTENT) - 1),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["take", "take_some", "skip", "place"]),
            st.one_of(st.integers(0, 40), st.integers(0, 2 * FULL)),
        )
    ),
)
def test_any_steps_of_a_cursor_equal_slicing(start: int, steps: list[tuple[str, int]]) -> None:
    # D16: records lie across blocks wherever they happen to.
    blocks = [stored(piece) for piece in split(CONTENT)]
    reader = table(*blocks)
    cursor = reader.cursor(BEFORE + start // FULL * (FULL + 2), start % FULL)
    at = start
    for what, length in steps:
        size = min(length, len(CONTENT) - at)
        if what == "take":
            assert cursor.take(size) == CONTENT[at : at + size]
        elif what == "skip":
            cursor.skip(size)
        elif what == "take_some" and size:
            piece = cursor.take_some(size)
            assert 1 <= len(piece) <= size
            assert CONTENT.startswith(piece, at)
            size = len(piece)
        elif at < len(CONTENT):
            cursor = reader.cursor(*cursor.place)
            size = 0
        at += size
    left = len(CONTENT) - at
    assert cursor.take(left) == CONTENT[at:]
    with pytest.raises(CorruptImageError):
        cursor.take(1)


def test_place_behind_a_full_block_is_the_start_of_the_next() -> None:  # D17
    reader = table(stored(bytes(FULL)), stored(b"second"))
    cursor = reader.cursor(BEFORE, 8000)
    cursor.take(192)
    assert cursor.place == (BEFORE + FULL + 2, 0)
    assert reader.cursor(*cursor.place).take(6) == b"second"
    assert cursor.take(6) == b"second"


def test_full_block_need_not_have_a_successor() -> None:  # D17
    cursor = table(stored(bytes(FULL))).cursor(BEFORE, 0)
    assert cursor.take(FULL) == bytes(FULL)
    assert cursor.take(0) == b""
    with pytest.raises(CorruptImageError, match="outside the table"):
        cursor.take(1)


def test_short_block_ends_its_table() -> None:  # D20
    reader = table(stored(bytes(FULL - 1)), stored(b"second"))
    cursor = reader.cursor(BEFORE, FULL - 10)
    assert cursor.take(9) == bytes(9)
    with pytest.raises(CorruptImageError, match="holds 8191 bytes"):
        cursor.take(1)


def test_short_block_inside_the_inode_table_is_corrupt(image: bytes) -> None:  # D20
    edited = Draft(image)
    start = edited["inode_table_start"]
    assert edited.get(start, "H") == 0x8000 | FULL
    # The first block loses its last 32 bytes, the others keep their places relative to the table.
    edited.put(start, "H", 0x8000 | FULL - 32)
    with edited.open() as fs:
        problems = list(fs.verify())
    assert problems
    assert all(isinstance(problem.error, CorruptImageError) for problem in problems)
