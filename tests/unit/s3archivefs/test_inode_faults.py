"""Damaged inodes: each kind of fault has a message of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures.shapes import BLOCK, HOLE, text
from fixtures.tree import file, symlink
from s3archivefs import CorruptImageError, FileKind
from tests.support.images.drafts import Draft, draft

BLOCKS, EXTENDED, LINK, TAIL = (1_234_567_801, 1_234_567_802, 1_234_567_803, 1_234_567_804)
"""Times by which `Draft.inode` finds the inodes."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = (
        file("blocks", text(2 * BLOCK), mtime=BLOCKS),
        file("extended", HOLE + text(BLOCK), mtime=EXTENDED),
        replace(symlink("link", "blocks"), mtime=LINK),
        file("tail", text(99), mtime=TAIL),
    )
    return bytes(draft(tmp_path_factory.mktemp("inodes"), tree).data)


@pytest.mark.parametrize(
    ("mtime", "offset", "layout", "value", "said"),
    [
        (BLOCKS, 0, "H", 0, "type 0; 1 to 14 are known"),
        (BLOCKS, 0, "H", 15, "type 15; 1 to 14 are known"),
        (BLOCKS, 0, "H", 65535, "type 65535"),
        (BLOCKS, 2, "H", 0o100644, r"mode 0o100644 of inode \d+ holds more"),  # D24
        (BLOCKS, 12, "I", 0, "inode number 0 is not one of 1 to 5"),  # D26
        (BLOCKS, 12, "I", 6, "inode number 6 is not one of 1 to 5"),  # D26
        (EXTENDED, 24, "Q", 2**63, "claims a size of 9223372036854775808"),
        (EXTENDED, 24, "Q", 2**64 - 1, "claims a size of"),
        (BLOCKS, 20, "I", 0, "names a fragment, but its 8192 bytes leave no tail"),  # D34
        (TAIL, 28, "I", 0, "names a fragment, but its 0 bytes leave no tail"),
        (BLOCKS, 4, "H", 1, "an inode names id 1 of 1"),  # D25
        (BLOCKS, 6, "H", 65535, "an inode names id 65535 of 1"),
    ],
)
def test_inode_that_the_format_rules_out_is_corrupt(
    image: bytes, *, mtime: int, offset: int, layout: str, value: int, said: str
) -> None:
    edited = Draft(image)
    path = {BLOCKS: "/blocks", EXTENDED: "/extended", TAIL: "/tail"}[mtime]
    edited.put(edited.inode(mtime) + offset, layout, value)
    with edited.open() as fs:
        with pytest.raises(CorruptImageError, match=said):
            fs.stat(path)
        (problem,) = [each for each in fs.verify() if each.path != "/"]
        assert problem.path == path


def test_times_links_and_device_numbers_of_any_value_are_passed_through(image: bytes) -> None:
    edited = Draft(image)
    edited.put(edited.inode(EXTENDED) + 40, "I", 2**32 - 1)
    edited.put(edited.inode(LINK) + 16, "I", 0)
    edited.put(edited.inode(TAIL) + 8, "I", 2**32 - 1)  # D13
    with edited.open() as fs:
        assert fs.stat("extended").nlink == 2**32 - 1
        assert fs.stat("link", follow_symlinks=False).nlink == 0
        assert fs.stat("tail").mtime == 2**32 - 1


def test_inode_and_its_entry_must_agree(image: bytes) -> None:  # D50
    wrong_type = Draft(image)
    wrong_type.put(wrong_type.entry(b"tail") + 4, "H", 3)
    wrong_number = Draft(image)
    wrong_number.put(wrong_number.entry(b"tail") + 2, "h", 0)
    for edited in (wrong_type, wrong_number):
        with edited.open() as fs, pytest.raises(CorruptImageError, match="'tail' says inode"):
            fs.stat("tail")


def test_target_must_be_there_and_hold_no_nul(image: bytes) -> None:  # D28
    empty = Draft(image)
    empty.put(empty.inode(LINK) + 20, "I", 0)
    with_nul = Draft(image)
    with_nul.put(with_nul.inode(LINK) + 24 + 3, "B", 0)
    for edited in (empty, with_nul):
        with edited.open() as fs:
            with pytest.raises(CorruptImageError, match="symlink target"):
                fs.readlink("link")
            assert fs.stat("link", follow_symlinks=False).kind is FileKind.SYMLINK


def test_target_longer_than_the_table_is_corrupt(image: bytes) -> None:
    edited = Draft(image)
    edited.put(edited.inode(LINK) + 20, "I", 4000)
    with edited.open() as fs, pytest.raises(CorruptImageError, match="inode table"):
        fs.readlink("link")
