"""Contents that an image holds are found by reading a part of them."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs.writer.entries import Entry, Member
from s3archivefs.writer.extending import ImageExtension
from s3archivefs.writer.image_writer import ImageWriter, Packed
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.output import FileOutput
from s3archivefs.writer.replacing import FileReplacement, HeldImage

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 4096
LARGE = Random(1).randbytes(20_000)
SMALL = LARGE[:1000]


def file(
    path: str,
    content: bytes,
    *,
    reopens: bool = True,
    is_at_hand: bool = True,
    claim: bytes | None = None,
) -> Entry:
    claimed = hashlib.sha256(content if claim is None else claim).hexdigest().encode()
    return Entry(
        path.encode(),
        open=partial(io.BytesIO, content),
        size=len(content),
        reopens=reopens,
        is_at_hand=is_at_hand,
        xattrs=() if claim is None else ((b"user.sha256", claimed),),
    )


def pack(path: Path, *members: Member, **options: object) -> Path:
    manner = PackOptions(block_size=BLOCK, **options)  # type: ignore[arg-type]  # of all types
    with ImageWriter(FileOutput(path), manner) as image:
        for member in members:
            image.add(member)
    return path


class Counting(HeldImage):
    """An image that counts the bytes of data that are read."""

    read = 0

    def count(self) -> None:
        device = self.image.device
        pread, end = device.pread, self.image.superblock.inode_table_start

        def counted(offset: int, length: int) -> bytes:
            self.read += length if offset < end else 0
            return pread(offset, length)

        device.pread = counted  # type: ignore[method-assign]


class Opened:
    """Counts how often a content is opened."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.times = 0

    def __call__(self) -> io.BytesIO:
        self.times += 1
        return io.BytesIO(self._content)


def content_of(member: Member) -> bytes:
    assert isinstance(member, Entry)
    assert member.open is not None
    return member.open().read(1 << 20) or b""


def extend(
    path: Path, *members: Member, remove: tuple[bytes, ...] = (), least: int | None = None
) -> tuple[Packed, int]:
    """What was packed, and the bytes of the image that grew which were read."""
    with Counting(path) as held:
        held.count()
        extension = ImageExtension(held.image, FileReplacement(held), claimed=least)
        for each in remove:
            extension.remove(each)
        for member in members:
            extension.add(member)
        packed = extension.finish()
        read = held.read
    with s3archivefs.open(path) as fs:
        assert [*fs.verify()] == []
        for member in members:
            assert fs.read_bytes(member.path) == content_of(member)
    return packed, read


MANNERS: dict[str, dict[str, object]] = {
    "fragments": {},
    "blocks": {"fragments": False},
    "tails": {"tail_ends": True},
    "stored": {"compressor": "none"},
}


@pytest.mark.parametrize("manner", MANNERS)
def test_what_the_image_holds_is_not_stored_again(manner: str, tmp_path: Path) -> None:
    holed = LARGE[:BLOCK] + bytes(BLOCK) + LARGE[:10]
    kept = {"large": LARGE, "small": SMALL, "holed": holed, "block": LARGE[-BLOCK:]}
    image = pack(tmp_path / "a", *(file(each, kept[each]) for each in kept), **MANNERS[manner])
    with s3archivefs.open(image) as fs:
        data = fs.superblock.inode_table_start
    packed, _ = extend(image, *(file(f"in/{each}", kept[each]) for each in kept))
    assert packed.duplicates == 4
    with s3archivefs.open(image) as fs:
        assert fs.superblock.inode_table_start == data


def test_what_was_removed_is_found_too(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("large", LARGE), file("small", SMALL), file("b", b"b"))
    members = file("c", SMALL), file("d", LARGE)
    packed, _ = extend(image, *members, remove=(b"large", b"small"))
    assert packed.duplicates == 2
    with s3archivefs.open(image) as fs:
        assert sorted(fs.listdir("/")) == ["b", "c", "d"]


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_files_of_one_size_that_differ_are_stored(content: bytes, tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", content))
    first, last = content[:-1] + b"x", b"x" + content[1:]
    packed, _ = extend(image, file("b", first), file("c", last), file("d", first))
    assert packed.duplicates == 1


@pytest.mark.parametrize("number", range(6))
def test_of_files_with_one_size_and_first_block_each_is_found(number: int, tmp_path: Path) -> None:
    kept = [LARGE + bytes([each]) for each in range(6)]
    image = pack(tmp_path / "a", *(file(f"{each[-1]}", each) for each in kept))
    packed, _ = extend(image, file("in", kept[number]))
    assert packed.duplicates == 1


def test_of_many_files_with_one_size_and_first_block_a_part_is_read_for_each(
    tmp_path: Path,
) -> None:
    kept = [LARGE + bytes([each]) for each in range(32)]
    image = pack(tmp_path / "a", *(file(f"{each[-1]}", each) for each in kept), compressor="none")
    other = LARGE + b"x"
    packed, read = extend(image, file("other", other))
    assert packed.duplicates == 0
    assert read <= 8 * 5 * BLOCK + 32 * BLOCK
    packed, _ = extend(image, *(file(f"in/{each[-1]}", each) for each in kept))
    assert 32 - 32 // 8 < packed.duplicates <= 32


def test_a_file_that_may_be_equal_is_read_once(tmp_path: Path) -> None:
    kept = Random(2).randbytes(50 * BLOCK)
    image = pack(tmp_path / "a", file("a", kept), compressor="none")
    others = [kept[:-1] + bytes([each]) for each in range(101) if each != kept[-1]][:100]
    packed, read = extend(image, *(file(f"in/{each[-1]}", each) for each in others))
    assert packed.duplicates == 0
    assert read <= 51 * BLOCK


def test_long_files_that_come_once_are_stored(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", LARGE), file("b", SMALL))
    packed, _ = extend(image, file("c", LARGE, reopens=False), file("d", SMALL, reopens=False))
    assert packed.duplicates == 1


def test_files_in_damaged_blocks_are_stored_again(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("large", LARGE), file("small", SMALL), compressor="gzip")
    content = bytearray(image.read_bytes())
    with s3archivefs.open(image) as fs:
        data = fs.superblock.inode_table_start
    content[96:data] = bytes(data - 96)
    image.write_bytes(content)
    with HeldImage(image) as held, ImageExtension(held.image, FileReplacement(held)) as extension:
        extension.add(file("in/large", LARGE))
        extension.add(file("in/small", SMALL))
    with s3archivefs.open(image) as fs:
        assert fs.read_bytes("/in/large") == LARGE
        assert fs.read_bytes("/in/small") == SMALL


def test_no_more_is_read_than_in_proportion_to_what_is_added(tmp_path: Path) -> None:
    def member(number: int, length: int) -> Entry:
        return file(f"{number}", number.to_bytes(4, "big") + bytes(length - 4))

    small = [member(number, 3000) for number in range(1, 3000)]
    large = [member(number, 5000) for number in range(3000, 6000)]
    image = pack(tmp_path / "a", *small, *large, compressor="none")
    packed, read = extend(image, member(9000, 3000), member(9001, 5000))
    assert packed.duplicates == 0
    assert read <= 1010 * BLOCK
    again = [file(f"in/{each.path.decode()}", content_of(each)) for each in small[:900]]
    packed, read = extend(image, *again)
    assert packed.duplicates == 900
    assert read <= 900 * BLOCK


def test_a_claim_is_believed_only_when_the_content_was_read(tmp_path: Path) -> None:
    image = pack(
        tmp_path / "a",
        file("right", LARGE, claim=LARGE),
        file("wrong", LARGE[::-1], claim=LARGE[1:] + b"x"),
        file("small", SMALL, claim=SMALL),
        file("none", LARGE[5000:]),
    )
    members = [
        file("b", LARGE),
        file("c", LARGE[1:] + b"x"),
        file("d", SMALL),
        file("e", LARGE[5000:]),
        file("f", LARGE),
    ]
    packed, read = extend(image, *members, least=BLOCK)
    assert packed.duplicates == 2
    assert 2 * len(LARGE) <= read <= 2 * len(LARGE) + 100


@pytest.mark.parametrize("is_at_hand", [False, True])
def test_for_a_claim_only_contents_at_hand_are_read_twice(
    *, is_at_hand: bool, tmp_path: Path
) -> None:
    image = pack(tmp_path / "a", file("a", LARGE, claim=LARGE))
    opened = {"other": Opened(LARGE[::-1]), "equal": Opened(LARGE)}
    with HeldImage(image) as held:
        extension = ImageExtension(held.image, FileReplacement(held), claimed=BLOCK)
        for name, content in opened.items():
            member = file(f"in/{name}", LARGE, is_at_hand=is_at_hand)
            extension.add(member._replace(open=content))
        packed = extension.finish()
    assert packed.duplicates == int(is_at_hand)
    assert opened["other"].times == 1 + is_at_hand
    assert opened["equal"].times == 1
