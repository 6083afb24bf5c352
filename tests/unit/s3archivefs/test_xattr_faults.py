"""Damaged extended attributes raise; the others of the image can be read."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.tree import file
from s3archivefs import CorruptImageError
from tests.support.images.drafts import Draft, draft

if TYPE_CHECKING:
    from pathlib import Path


def attributes(fs: s3archivefs.SquashFS, path: str) -> dict[str, bytes]:
    """All attributes of the path itself."""
    names = fs.listxattr(path, follow_symlinks=False)
    return {name: fs.getxattr(path, name, follow_symlinks=False) for name in names}


FIRST, SECOND = 1_234_567_801, 1_234_567_802
PAIRS = {"user.one": b"value one", "trusted.two": b"value two", "security.three": b"value three"}


@pytest.fixture
def image(tmp_path: Path) -> Draft:
    """An uncompressed image: /a with PAIRS, /b with one of their values under another name."""
    tree = (
        file("a", b"content", xattrs=PAIRS, mtime=FIRST),
        file("b", xattrs={"user.other": PAIRS["user.one"]}, mtime=SECOND),
    )
    return draft(tmp_path, tree)


def key(image: Draft, name: bytes) -> int:
    """Where the key of that name stands: its type; then the size of the name, and the name."""
    start, end = image.get(image["xattr_table_start"], "Q"), image["xattr_table_start"]
    return image.find(struct.pack("<H", len(name)) + name, start, end) - 2


def assert_corrupt(image: Draft, said: str, *, path: str = "a") -> None:
    """Names or values of the path are corrupt, each time; all else reads on."""
    with image.open() as fs:
        for _ in range(2):
            with pytest.raises(CorruptImageError, match=said):
                attributes(fs, path)
        assert fs.read_bytes("a") == b"content"
        assert f"/{path}" in {problem.path for problem in fs.verify()}


@pytest.mark.parametrize("prefix", [3, 4, 255, 0x0200, 0x0201, 0x8000, 0x0103])
def test_unknown_prefix_is_skipped(image: Draft, prefix: int) -> None:  # D57, F3
    # 0x0103: a value stored elsewhere, under an unknown prefix.
    image.put(key(image, b"two"), "H", prefix)
    with image.open() as fs:
        assert attributes(fs, "a") == {
            name: value for name, value in PAIRS.items() if name != "trusted.two"
        }


def test_first_of_two_attributes_of_one_name_counts(tmp_path: Path) -> None:
    image = draft(tmp_path, (file("a", xattrs={"user.one": b"first", "user.two": b"second"}),))
    one, two = key(image, b"one"), key(image, b"two")
    image.data[two + 4 : two + 7] = b"one"
    with image.open() as fs:
        assert attributes(fs, "a") == {"user.one": b"first" if one < two else b"second"}


@pytest.mark.parametrize("index", [2, 3, 65536, 0xFFFF_FFFE])
def test_set_that_the_table_has_not_is_corrupt(image: Draft, index: int) -> None:
    inode = image.inode(FIRST)
    assert image.get(inode, "H") == 9
    image.put(inode + 52, "I", index)
    assert_corrupt(image, f"xattr id {index} of 2 was asked for")


@pytest.mark.parametrize("size", [0, 1, 2**32 - 1])
def test_size_of_a_set_is_not_used(image: Draft, size: int) -> None:  # D54, F8
    (ids,) = struct.unpack_from("<Q", image.data, image["xattr_table_start"] + 16)
    for number in range(2):
        assert image.get(ids + 2 + 16 * number + 12, "I") != size
        image.put(ids + 2 + 16 * number + 12, "I", size)
    with image.open() as fs:
        assert attributes(fs, "a") == PAIRS
        assert list(fs.verify()) == []


def test_unused_field_of_the_header_may_hold_anything(image: Draft) -> None:  # D53
    image.put(image["xattr_table_start"] + 12, "I", 0xDEAD_BEEF)
    with image.open() as fs:
        assert attributes(fs, "a") == PAIRS


@pytest.mark.parametrize("count", [0, 3, 512, 513, 2**31, 2**32 - 1])
def test_header_with_another_count_is_corrupt(image: Draft, count: int) -> None:  # D53
    image.put(image["xattr_table_start"] + 8, "I", count)
    if count in {3, 512}:  # as many blocks of ids
        assert_corrupt(
            image, f"block 0 of the xattr id table holds 32 bytes instead of {count * 16}"
        )
    else:
        assert_corrupt(image, f"claims to hold {count} sets")


@pytest.mark.parametrize("start", [0, 96, 2**63, 2**64 - 1, None])
def test_header_with_pairs_outside_the_tables_is_corrupt(image: Draft, start: int | None) -> None:
    header = image["xattr_table_start"]
    image.put(header, "Q", header if start is None else start)
    assert_corrupt(image, "the xattr table's pairs start at byte")


def test_header_at_the_end_of_the_image_is_corrupt(image: Draft) -> None:
    for left in (1, 8, 15):
        image["xattr_table_start"] = image["bytes_used"] - left
        assert_corrupt(image, "the xattr table's header runs past the image's end")


@pytest.mark.parametrize("position", [0, 96, 2**64 - 1, None])
def test_list_of_blocks_of_ids_that_leads_elsewhere_is_corrupt(
    image: Draft, position: int | None
) -> None:
    header = image["xattr_table_start"]
    image.put(header + 16, "Q", header if position is None else position)
    assert_corrupt(image, "the xattr id table's list of blocks names byte")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (8192, "offset 8192 of the xattr table"),
        (65535, "offset 65535 of the xattr table"),
        (1 << 16 << 40, "outside the table's bytes"),
        (2**64 - 1, "outside the table's bytes|offset 65535"),
        (8191, "offset 8191 lies outside a metadata block of the xattr table"),
    ],
)
def test_set_that_starts_outside_the_pairs_is_corrupt(
    image: Draft, reference: int, said: str
) -> None:  # D18, D54
    (ids,) = struct.unpack_from("<Q", image.data, image["xattr_table_start"] + 16)
    image.put(ids + 2, "Q", reference)
    image.put(ids + 2 + 16, "Q", reference)
    assert_corrupt(image, said)


def test_set_without_attributes_is_corrupt(image: Draft) -> None:
    (ids,) = struct.unpack_from("<Q", image.data, image["xattr_table_start"] + 16)
    for number in range(2):
        image.put(ids + 2 + 16 * number + 8, "I", 0)
    assert_corrupt(image, r"xattr set \d is empty")


def test_set_with_more_attributes_than_are_stored_is_corrupt(image: Draft) -> None:
    (ids,) = struct.unpack_from("<Q", image.data, image["xattr_table_start"] + 16)
    for number in range(2):
        image.put(ids + 2 + 16 * number + 8, "I", 4000)
    assert_corrupt(image, "xattr table")


def test_name_longer_than_the_table_is_corrupt(image: Draft) -> None:
    image.put(key(image, b"three") + 2, "H", 65535)
    assert_corrupt(image, "xattr table")


@pytest.mark.parametrize("size", [2**16, 2**31, 2**32 - 1])
def test_value_longer_than_the_table_is_corrupt_and_not_allocated(image: Draft, size: int) -> None:
    image.put(key(image, b"three") + 4 + 5, "I", size)
    assert_corrupt(image, "xattr table")


def elsewhere(image: Draft) -> int:
    """Where the key stands whose value is a reference: one file's or the other's."""
    (found,) = (at for at in (key(image, b"one"), key(image, b"other")) if image.get(at + 1, "B"))
    return found


@pytest.mark.parametrize("size", [0, 4, 7, 9, 65535])
def test_reference_to_a_value_has_8_bytes(image: Draft, size: int) -> None:  # D56
    at = elsewhere(image)
    name_size = image.get(at + 2, "H")
    assert image.get(at + 4 + name_size, "I") == 8
    image.put(at + 4 + name_size, "I", size)
    path, name = ("a", "user.one") if name_size == 3 else ("b", "user.other")
    with image.open() as fs:
        with pytest.raises(CorruptImageError, match=f"xattr b'{name}' has its value elsewhere"):
            fs.getxattr(path, name)
        assert f"/{path}" in {problem.path for problem in fs.verify()}


@pytest.mark.parametrize("reference", [8192, 65535, 1 << 56, 2**64 - 1])
def test_reference_to_a_value_stays_in_the_table(image: Draft, reference: int) -> None:  # D56
    at = elsewhere(image)
    name_size = image.get(at + 2, "H")
    image.put(at + 4 + name_size + 4, "Q", reference)
    path, name = ("a", "user.one") if name_size == 3 else ("b", "user.other")
    with image.open() as fs, pytest.raises(CorruptImageError, match="xattr table"):
        fs.getxattr(path, name)


# ---- Limits --------------------------------------------------------------------------------------


def test_value_longer_than_the_limit_is_refused_and_the_others_are_read(image: Draft) -> None:
    with image.open(s3archivefs.Limits(xattr_value_bytes=len("value one"))) as fs:
        assert fs.listxattr("a") == list(PAIRS)
        assert fs.getxattr("a", "trusted.two") == b"value two"
        assert fs.getxattr("a", "user.one") == fs.getxattr("b", "user.other") == b"value one"
        with pytest.raises(s3archivefs.LimitExceededError, match="xattr_value_bytes") as caught:
            fs.getxattr("a", "security.three")
        assert caught.value.value == len("value three")
        (problem,) = fs.verify()
        assert problem.path == "/a"


def test_more_attributes_than_the_limit_are_refused(image: Draft) -> None:
    with image.open(s3archivefs.Limits(xattrs=3)) as fs:
        assert attributes(fs, "a") == PAIRS
    with image.open(s3archivefs.Limits(xattrs=2)) as fs:
        for call in (lambda: fs.listxattr("a"), lambda: fs.getxattr("a", "user.one")):
            with pytest.raises(s3archivefs.LimitExceededError, match="xattrs: 3 is more than"):
                call()
        assert attributes(fs, "b") == {"user.other": b"value one"}
