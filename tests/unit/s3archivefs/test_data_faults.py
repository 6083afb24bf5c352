"""Damaged block lists and fragments raise, and never return other or fewer bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import BLOCK, noise, text
from fixtures.tree import file
from s3archivefs import CorruptImageError
from tests.support.images.damaged_copy import DamagedCopy
from tests.support.images.drafts import Draft, draft
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

BASIC = 32
"""Bytes of a basic file's record, behind which its block list stands."""
STORED_BLOCK = 1 << 24
TIME = 1_234_567_801
CONTENT = noise(3 * BLOCK) + noise(100, "tail")


@pytest.fixture
def image(tmp_path: Path) -> Draft:
    """An uncompressed image of one file: three blocks and a tail in a fragment."""
    return draft(tmp_path, (file("a", CONTENT, mtime=TIME),), "-tailends")


def assert_corrupt(image: Draft, said: str) -> None:
    """Check that reading the file fails, whole or in steps, and its attributes do not."""
    with image.open() as fs:
        with pytest.raises(CorruptImageError, match=said):
            fs.read_bytes("a")
        with fs.open("a") as opened, pytest.raises(CorruptImageError, match=said):
            list(iter(lambda: opened.read(1000), b""))
        assert fs.stat("a").size


def test_of_blocks_decoded_at_once_none_is_yielded_if_one_is_corrupt(image: Draft) -> None:
    image.put(image.inode(TIME) + BASIC + 4, "I", STORED_BLOCK | 100)
    with image.open() as fs, fs.open("a") as opened:
        with pytest.raises(CorruptImageError, match="100 bytes instead of 4096"):
            next(opened.pieces(opened.size))
        assert opened.tell() == 0


@pytest.mark.parametrize("size", [1, 100, BLOCK - 1])
def test_block_shorter_than_is_due_is_corrupt_and_never_filled_up(image: Draft, size: int) -> None:
    # D43, F1: the format's description fills such a block with zeros, kernel and tools refuse it.
    image.put(image.inode(TIME) + BASIC, "I", STORED_BLOCK | size)
    assert_corrupt(image, f"a data block holds {size} bytes instead of 4096")


def test_compressed_block_shorter_than_is_due_is_corrupt(tmp_path: Path) -> None:  # D43, F1
    # The first block becomes another file's last, shorter one, which stands before it.
    tree = (
        file("0", text(BLOCK - 96), mtime=TIME + 1),
        file("a", text(2 * BLOCK), mtime=TIME),
    )
    image = Draft(make_image(tmp_path, tree, "-noI", "-no-fragments").read_bytes())
    short, file_a = image.inode(TIME + 1), image.inode(TIME)
    image.put(file_a + 16, "I", image.get(short + 16, "I"))
    image.put(file_a + BASIC, "I", image.get(short + BASIC, "I"))
    assert_corrupt(image, "a data block holds 4000 bytes instead of 4096")
    with image.open() as fs:
        assert fs.read_bytes("0") == text(BLOCK - 96)


def test_last_block_is_as_long_as_the_file_and_no_longer(tmp_path: Path) -> None:  # D43
    tree = (file("a", CONTENT, mtime=TIME), file("b", noise(BLOCK, "behind")))
    image = draft(tmp_path, tree, "-no-fragments")
    last = image.inode(TIME) + BASIC + 3 * 4
    assert image.get(last, "I") == STORED_BLOCK | 100
    for size in (99, 101, BLOCK):
        image.put(last, "I", STORED_BLOCK | size)
        assert_corrupt(image, f"a data block holds {size} bytes instead of 100")


@pytest.mark.parametrize(
    "word", [1 << 25, 1 << 31, 0xFFFF_FFFF, BLOCK + 1, STORED_BLOCK | BLOCK + 1, STORED_BLOCK - 1]
)
@pytest.mark.parametrize("block", [0, 2])
def test_size_word_that_no_block_has_is_corrupt(image: Draft, word: int, block: int) -> None:
    # D35: bits 25 to 31 mean nothing, and no block is larger than a block.
    image.put(image.inode(TIME) + BASIC + 4 * block, "I", word)
    assert_corrupt(image, rf"size word is {word:#x}, more than a block of 4096 bytes")


def test_stored_block_of_no_bytes_is_no_hole(image: Draft) -> None:  # D35
    image.put(image.inode(TIME) + BASIC, "I", STORED_BLOCK)
    assert_corrupt(image, "a data block holds 0 bytes instead of 4096")


@pytest.mark.parametrize("start", [None, 2**31, 2**32 - 1])
def test_blocks_outside_the_image_are_corrupt(image: Draft, start: int | None) -> None:  # D3
    # The device has more bytes than bytes_used says: padding is not part of the image.
    end = image["bytes_used"]
    image.put(image.inode(TIME) + 16, "I", end - BLOCK if start is None else start)
    assert_corrupt(image, f"whose data lies from 96 to {end}")


def test_block_list_longer_than_its_table_is_corrupt(image: Draft) -> None:
    image.put(image.inode(TIME) + 28, "I", (1 << 31) + 100)
    with image.open() as fs, fs.open("a") as opened:
        assert fs.stat("a").size == (1 << 31) + 100
        with pytest.raises(CorruptImageError, match="inode table"):
            opened.read(1)


def fragment_entry(image: Draft) -> int:
    return image.blocks_of("fragment_table_start", 1)[0] + 2


@pytest.mark.parametrize("word", [0, STORED_BLOCK])
def test_fragment_of_no_bytes_is_corrupt(image: Draft, word: int) -> None:
    # D45: the kernel would take a word of 0 for a metadata block.
    image.put(fragment_entry(image) + 8, "I", word)
    assert_corrupt(image, "a fragment block is empty")


@pytest.mark.parametrize("word", [1 << 25, BLOCK + 1, STORED_BLOCK | BLOCK + 1])
def test_size_word_that_no_fragment_has_is_corrupt(image: Draft, word: int) -> None:  # D44
    image.put(fragment_entry(image) + 8, "I", word)
    assert_corrupt(image, f"size word is {word:#x}")


@pytest.mark.parametrize("start", [2**63, 2**64 - 1, 1 << 40])
def test_fragment_outside_the_image_is_corrupt(image: Draft, start: int) -> None:  # D44
    image.put(fragment_entry(image), "Q", start)
    assert_corrupt(image, "whose data lies from")


@pytest.mark.parametrize("offset", [1, BLOCK, 2**32 - 1])
def test_tail_that_ends_behind_its_fragment_is_corrupt_and_never_short(
    image: Draft, offset: int
) -> None:  # D44
    image.put(image.inode(TIME) + 24, "I", offset)
    assert_corrupt(image, rf"tail ends at byte {offset + 100} of fragment 0, which holds 100")


def test_unused_field_of_a_fragment_may_hold_anything(image: Draft) -> None:  # D44
    image.put(fragment_entry(image) + 12, "I", 0xDEAD_BEEF)
    with image.open() as fs:
        assert fs.read_bytes("a") == CONTENT
        assert list(fs.verify()) == []


# ---- Damage to a copy that a device keeps --------------------------------------------------------


def block_list_of(image: Draft) -> int:
    return bytes(image.data).index(struct.pack("<I", STORED_BLOCK | BLOCK))


def fragment_entry_of(image: Draft) -> int:
    return image.get(image["fragment_table_start"], "Q") + 2  # behind the block's header


@pytest.mark.parametrize("place", ["block list", "fragment entry"])
def test_an_open_file_is_read_again_where_the_devices_copy_is_damaged(
    image: Draft, place: str
) -> None:
    at = block_list_of(image) if place == "block list" else fragment_entry_of(image) + 8
    starts = (0, 100, BLOCK - 1, 3 * BLOCK, 3 * BLOCK + 50)
    for start in starts:
        with s3archivefs.open(DamagedCopy(bytes(image.data), at + 2, 0x40)) as fs:
            opened = fs.open("a")
            opened.seek(start)
            assert opened.read(40) == CONTENT[start : start + 40]
            opened.seek(start)
            assert opened.read(40) == CONTENT[start : start + 40]


def test_damage_that_one_file_met_is_forgotten_for_those_that_are_open(tmp_path: Path) -> None:
    tree = (file("a", text(1000)), file("b", text(500)))
    image = draft(tmp_path, tree)
    device = DamagedCopy(bytes(image.data), fragment_entry_of(image) + 10, 0x40)
    with s3archivefs.open(device) as fs:
        other = fs.open("b")
        assert fs.read_bytes("a") == text(1000)
        doubts = device.doubts
        assert doubts > 0
        assert other.read() == text(500)
        assert device.doubts == doubts
        assert fs.cached_bytes
