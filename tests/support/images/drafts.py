"""Images under edit: fields of an uncompressed image, found and changed without the reader."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import s3archivefs
from tests.support.images.fixtures import FIXTURES, make_image

if TYPE_CHECKING:
    from pathlib import Path

    from fixtures.tree import Node
    from s3archivefs import Stat

STORED: Final = ("-noI", "-noId", "-noD", "-noF", "-noX")
"""Options of mksquashfs that leave everything uncompressed, hence open to edits."""

SUPERBLOCK: Final = {
    "magic": (0, "I"),
    "inode_count": (4, "I"),
    "mkfs_time": (8, "I"),
    "block_size": (12, "I"),
    "fragment_count": (16, "I"),
    "compression": (20, "H"),
    "block_log": (22, "H"),
    "flags": (24, "H"),
    "id_count": (26, "H"),
    "version_major": (28, "H"),
    "version_minor": (30, "H"),
    "root_inode": (32, "Q"),
    "bytes_used": (40, "Q"),
    "id_table_start": (48, "Q"),
    "xattr_table_start": (56, "Q"),
    "inode_table_start": (64, "Q"),
    "directory_table_start": (72, "Q"),
    "fragment_table_start": (80, "Q"),
    "export_table_start": (88, "Q"),
}
"""Position and struct format of each field, in the order of the disk."""

ABSENT: Final = 2**64 - 1


class Draft:
    """The bytes of an image, to be changed in place. Positions are from the image's start."""

    def __init__(self, image: bytes) -> None:
        self.data = bytearray(image)

    def __getitem__(self, field: str) -> int:
        """A field of the superblock."""
        position, layout = SUPERBLOCK[field]
        return self.get(position, layout)

    def __setitem__(self, field: str, value: int) -> None:
        position, layout = SUPERBLOCK[field]
        self.put(position, layout, value)

    def get(self, position: int, layout: str) -> int:
        """The one integer of that struct format at `position`."""
        value: int
        (value,) = struct.unpack_from("<" + layout, self.data, position)
        return value

    def put(self, position: int, layout: str, *values: int) -> None:
        """Replace the integers at `position`."""
        struct.pack_into("<" + layout, self.data, position, *values)

    def find(self, wanted: bytes, start: int = 96, end: int | None = None) -> int:
        """Where the bytes stand; they must stand there once."""
        assert self.data.count(wanted, start, end) == 1, wanted
        return self.data.index(wanted, start, end)

    def inode(self, mtime: int) -> int:
        """Where the inode of that mtime stands, which no other may have."""
        start, end = self["inode_table_start"], self["directory_table_start"]
        return self.find(struct.pack("<I", mtime), start, end) - 8

    def entry(self, name: bytes) -> int:
        """Where the directory entry of that name stands, which no other may have."""
        start = self["directory_table_start"]
        size = struct.pack("<H", len(name) - 1)
        return self.find(size + name, start, self["id_table_start"]) - 6

    def lead(self, name: bytes, now: Stat, to: Stat) -> None:
        """Let the directory entry of that name lead to another inode than it does now."""
        entry = self.entry(name)
        self.put(entry, "H", to.reference & 0xFFFF)
        delta = self.get(entry + 2, "h") + to.inode_number - now.inode_number
        self.put(entry + 2, "h", delta)

    def blocks_of(self, field: str, count: int) -> list[int]:
        """The first `count` positions in the list that a superblock's field leads to."""
        return list(struct.unpack_from(f"<{count}Q", self.data, self[field]))

    def open(self, limits: s3archivefs.Limits | None = None) -> s3archivefs.SquashFS:
        """The image as it is now."""
        return s3archivefs.open(s3archivefs.BytesDevice(bytes(self.data)), limits=limits)


def draft(directory: Path, tree: tuple[Node, ...], *options: str) -> Draft:
    """An uncompressed image that mksquashfs makes of `tree`, to be edited."""
    return Draft(make_image(directory, tree, *STORED, *options).read_bytes())


def edited(fixture: str) -> Draft:
    """A fixture's image, to be edited."""
    return Draft(FIXTURES[fixture].image.read_bytes())
