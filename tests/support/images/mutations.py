"""Damage to images, drawn from a number: the same number gives the same bytes on every machine."""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING

from fixtures.shapes import HOLE, noise, text
from fixtures.tree import device, directory, fifo, file, hard_link, symlink
from tests.support.images.drafts import STORED
from tests.support.images.fixtures import FIXTURES, make_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CODECS = ("gzip", "lzma", "lzo", "xz", "lz4", "zstd")

_SUPERBLOCK_SIZE = 96
_BYTES_USED, _INODE_TABLE_START = 40, 64  # where the superblock has them

# A little of everything, so that one image costs its reader few milliseconds.
_MANY = {f"user.{number:02d}": b"%d" % (number % 3) * 9 for number in range(18)}  # a large set
_TREE = (
    directory("d", mode=0o1777, uid=3, gid=70_000, xattrs={"user.kind": b"directory"}),
    file("d/block", text(2 * 4096), mtime=9),
    file("d/holes", HOLE + text(4096) + HOLE * 2 + text(99), xattrs={"user.kind": b"a file" * 9}),
    file("d/stored", noise(5000)),
    file("d/tail", text(700), xattrs={"security.kind": b"a file" * 9, "trusted.x": b""}),
    file("d/many", xattrs=_MANY),
    file("d/too", xattrs=_MANY),
    directory("d/empty"),
    hard_link("d/same", "d/tail"),
    symlink("link", "d/tail", xattrs={"trusted.kind": b"link"}),
    symlink("loop", "loop"),
    symlink("up", "d/../link"),
    device("block", "block_device", 8, 1),
    device("char", "char_device", 5, 70_000),
    fifo("fifo"),
    directory("many"),
    *(file(f"many/{number:02d}-" + "n" * 240, b"%d" % number) for number in range(36)),
)


def originals(folder: Path) -> dict[str, bytes]:
    """Sound images by name: the tree above compressed and stored, by each codec, and the fixtures.

    The version of mksquashfs may change the bytes; the time at which it runs does not.
    """
    images = {}
    for codec in CODECS:
        for name, stored in (("compressed", ()), ("stored", STORED)):
            options = ("-comp", codec, "-mkfs-time", "9", "-all-time", "9", *stored)
            images[f"{codec} {name}"] = make_image(folder, _TREE, *options).read_bytes()
    return images | {name: one.image.read_bytes() for name, one in FIXTURES.items()}


class Mutator:
    """Mutations of `images`, numbered from 0."""

    def __init__(self, images: Mapping[str, bytes]) -> None:
        self._images = images
        self._names = sorted(images)
        self._made = [name for name in self._names if name not in FIXTURES] or self._names

    def mutation(self, number: int) -> tuple[str, bytes]:
        """The name of an image, and what the number makes of it."""
        random = Random(number)
        # The twelve made of one tree hold more of everything than the fixtures.
        name = random.choice(random.choice((self._names, self._made)))
        data = bytearray(self._images[name])
        for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
            operation = random.choice(_OPERATIONS)
            operation(data, random, self._images[random.choice(self._names)])
        return name, bytes(data)


def _place(data: bytearray, random: Random, length: int) -> int:
    """Where `length` bytes begin: mostly in the metadata, else in the superblock or anywhere."""
    first, last = 0, max(0, len(data) - length)
    choice = random.randrange(8)
    if choice == 0 or len(data) < _SUPERBLOCK_SIZE:
        return random.randint(first, last)
    if choice == 1:
        return random.randint(first, min(last, _SUPERBLOCK_SIZE))
    (first,) = struct.unpack_from("<Q", data, _INODE_TABLE_START)
    (end,) = struct.unpack_from("<Q", data, _BYTES_USED)  # behind it is padding
    last = min(last, max(0, end - length))
    return random.randint(min(first, last), last)


def _flip_bit(data: bytearray, random: Random, _donor: bytes) -> None:
    if data:
        data[_place(data, random, 1)] ^= 1 << random.randrange(8)


def _replace_byte(data: bytearray, random: Random, _donor: bytes) -> None:
    if data:
        data[_place(data, random, 1)] = random.randrange(256)


def _overwrite_number(data: bytearray, random: Random, _donor: bytes) -> None:
    layout = random.choice("HIQ")
    size = struct.calcsize(layout)
    if len(data) < _SUPERBLOCK_SIZE:
        return
    tables = struct.unpack_from("<7Q", data, 40)  # bytes_used and the starts of the tables
    edges = (0, 1, 255, 256, 4095, 4096, 4097, 8191, 8192, 8193, 2**15, 2**16, 2**24, 2**31)
    value = random.choice((*edges, *tables, -1, -2, len(data)))
    place = _place(data, random, size)
    if random.random() < 0.5:
        place &= ~1  # most fields lie at even places
    data[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")


def _change_number(data: bytearray, random: Random, _donor: bytes) -> None:
    size = random.choice((2, 4))
    place = _place(data, random, size)
    value = int.from_bytes(data[place : place + size], "little") + random.choice((-2, -1, 1, 2, 8))
    data[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")


def _truncate(data: bytearray, random: Random, _donor: bytes) -> None:
    del data[_place(data, random, 0) :]


def _zero(data: bytearray, random: Random, _donor: bytes) -> None:
    length = random.choice((2, 8, 64, 512))
    place = _place(data, random, length)
    data[place : place + length] = bytes(len(data[place : place + length]))


def _copy_within(data: bytearray, random: Random, _donor: bytes) -> None:
    length = random.choice((2, 8, 16, 64, 512))
    source, place = _place(data, random, length), _place(data, random, length)
    data[place : place + length] = data[source : source + length]


def _splice(data: bytearray, random: Random, donor: bytes) -> None:
    length = random.choice((8, 32, 96, 1024))
    place = _place(data, random, length)
    data[place : place + length] = donor[place : place + length]


def _insert(data: bytearray, random: Random, _donor: bytes) -> None:
    place = _place(data, random, 0)
    data[place:place] = bytes(random.choice((1, 2, 8)))


_OPERATIONS: tuple[Callable[[bytearray, Random, bytes], None], ...] = (
    *(_flip_bit, _replace_byte) * 3,
    *(_overwrite_number, _change_number) * 4,
    *(_zero, _copy_within, _splice, _insert, _truncate),
)
