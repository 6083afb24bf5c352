"""Inodes: a file's kind, its attributes, and the place of its content."""

from __future__ import annotations

import stat
from enum import Enum
from typing import TYPE_CHECKING, cast

from s3archivefs.content_place import ContentPlace
from s3archivefs.errors import CorruptImageError, LimitExceededError
from s3archivefs.format import (
    ABSENT_32,
    EXTENDED,
    METADATA_BLOCK_SIZE,
    SYMLINK_MAX,
    BasicDevice,
    BasicDirectory,
    BasicFile,
    BasicIpc,
    BasicSymlink,
    ExtendedDevice,
    ExtendedDirectory,
    ExtendedFile,
    ExtendedIpc,
    ExtendedSymlink,
    InodeHeader,
    InodeType,
)
from s3archivefs.metadata import HEADER_SIZE, split_reference
from s3archivefs.named_tuples import NamedTuple

if TYPE_CHECKING:
    from s3archivefs.limits import Limits
    from s3archivefs.metadata import MetadataCursor, MetadataReader
    from s3archivefs.tables import IdTable

__all__ = ["FORMAT_BITS", "RECORDS", "FileKind", "Inode", "InodeTable", "Stat"]

_PERMISSIONS = 0o7777
_SMALLEST = BasicIpc.layout.size


class FileKind(Enum):
    """The seven kinds of file, with the value of a basic inode's type.

    Format: "Common Inode Header".
    """

    DIRECTORY = InodeType.DIRECTORY
    FILE = InodeType.FILE
    SYMLINK = InodeType.SYMLINK
    BLOCK_DEVICE = InodeType.BLOCK_DEVICE
    CHAR_DEVICE = InodeType.CHAR_DEVICE
    FIFO = InodeType.FIFO
    SOCKET = InodeType.SOCKET


FORMAT_BITS = {
    FileKind.DIRECTORY: stat.S_IFDIR,
    FileKind.FILE: stat.S_IFREG,
    FileKind.SYMLINK: stat.S_IFLNK,
    FileKind.BLOCK_DEVICE: stat.S_IFBLK,
    FileKind.CHAR_DEVICE: stat.S_IFCHR,
    FileKind.FIFO: stat.S_IFIFO,
    FileKind.SOCKET: stat.S_IFSOCK,
}

RECORDS: dict[int, tuple[FileKind, type[InodeHeader]]] = {
    InodeType.DIRECTORY: (FileKind.DIRECTORY, BasicDirectory),
    InodeType.FILE: (FileKind.FILE, BasicFile),
    InodeType.SYMLINK: (FileKind.SYMLINK, BasicSymlink),
    InodeType.BLOCK_DEVICE: (FileKind.BLOCK_DEVICE, BasicDevice),
    InodeType.CHAR_DEVICE: (FileKind.CHAR_DEVICE, BasicDevice),
    InodeType.FIFO: (FileKind.FIFO, BasicIpc),
    InodeType.SOCKET: (FileKind.SOCKET, BasicIpc),
    InodeType.DIRECTORY + EXTENDED: (FileKind.DIRECTORY, ExtendedDirectory),
    InodeType.FILE + EXTENDED: (FileKind.FILE, ExtendedFile),
    InodeType.SYMLINK + EXTENDED: (FileKind.SYMLINK, ExtendedSymlink),
    InodeType.BLOCK_DEVICE + EXTENDED: (FileKind.BLOCK_DEVICE, ExtendedDevice),
    InodeType.CHAR_DEVICE + EXTENDED: (FileKind.CHAR_DEVICE, ExtendedDevice),
    InodeType.FIFO + EXTENDED: (FileKind.FIFO, ExtendedIpc),
    InodeType.SOCKET + EXTENDED: (FileKind.SOCKET, ExtendedIpc),
}


class Stat(NamedTuple):
    """The attributes of a file as `stat` returns them, with the names of os.stat_result too.

    Format: "Common Inode Header", "ID Table".
    """

    mode: int
    """File type and permission bits, as os.stat_result.st_mode."""
    uid: int
    gid: int
    mtime: int
    """Seconds since the epoch, 0 to 2**32 - 1."""
    size: int
    """Bytes: a file's content or a symlink's target, else 0."""
    nlink: int
    """Hard links to the inode; 1 where the image does not count them."""
    inode_number: int
    """Number of the inode, from 1 to the superblock's inode_count."""
    kind: FileKind
    rdev: int
    """Device number in Linux's encoding; 0 for what is no device."""
    reference: int
    """Place of the inode in the image, which only hard links share."""

    @property
    def st_mode(self) -> int:
        """Return `mode`."""
        return self.mode

    @property
    def st_ino(self) -> int:
        """Return `inode_number`."""
        return self.inode_number

    @property
    def st_nlink(self) -> int:
        """Return `nlink`."""
        return self.nlink

    @property
    def st_uid(self) -> int:
        """Return `uid`."""
        return self.uid

    @property
    def st_gid(self) -> int:
        """Return `gid`."""
        return self.gid

    @property
    def st_size(self) -> int:
        """Return `size`."""
        return self.size

    @property
    def st_mtime(self) -> int:
        """Return `mtime`."""
        return self.mtime

    @property
    def st_rdev(self) -> int:
        """Return `rdev`."""
        return self.rdev


class Inode:
    """An inode as the image stores it."""

    __slots__ = ("header", "kind", "reference", "tail")

    def __init__(
        self, kind: FileKind, reference: int, header: InodeHeader, tail: tuple[int, int]
    ) -> None:
        self.kind = kind
        self.reference = reference
        self.header = header
        """The inode's record, of the class for its type."""
        self.tail = tail
        """Place behind the record: metadata block, from the start of the image, and offset."""

    @property
    def directory(self) -> BasicDirectory | ExtendedDirectory:
        """The record of a directory."""
        return cast("BasicDirectory | ExtendedDirectory", self.header)

    @property
    def file(self) -> BasicFile | ExtendedFile:
        """The record of a regular file."""
        return cast("BasicFile | ExtendedFile", self.header)

    @property
    def content(self) -> ContentPlace:
        """Where the content of a regular file lies."""
        file = self.file
        return ContentPlace(
            self.reference,
            file.size,
            file.blocks_start,
            file.fragment_index,
            file.fragment_offset,
        )

    @property
    def symlink(self) -> BasicSymlink:
        """The record of a symlink."""
        return cast("BasicSymlink", self.header)


class InodeTable:
    """A reader of inodes, by reference.

    Format: "Inode Table".
    """

    def __init__(
        self,
        reader: MetadataReader,
        ids: IdTable,
        inode_count: int,
        block_size: int,
        limits: Limits,
    ) -> None:
        self.reader = reader
        self._ids = ids
        self._inode_count = inode_count
        self._block_size = block_size
        self._limits = limits
        start, end = reader.extent
        if inode_count * _SMALLEST > reader.capacity(start):
            raise CorruptImageError(
                f"{inode_count} inodes cannot be within the {end - start} bytes of the inode table",
                start,
            )

    def inode(self, reference: int) -> Inode:
        """Return the inode at a reference.

        Raises CorruptImageError where none is, or one that the format rules out.
        """
        block, offset = split_reference(reference)
        position = self.reader.extent.start + block
        data, block_end = self.reader.block(position)
        kind, record = self._record_at(data, position, offset)
        end = offset + record.layout.size
        if end <= len(data):
            header = record.decode(data, offset)
            tail = (position, end) if end < METADATA_BLOCK_SIZE else (block_end, 0)
        else:  # the record continues in the next block
            cursor = self.reader.cursor(position, offset)
            header = record.decode(cursor.take(record.layout.size))
            tail = cursor.place
        self._check(kind, header, position)
        return Inode(kind, reference, header, tail)

    def stat(self, inode: Inode) -> Stat:
        """Return the inode's attributes, with ids looked up."""
        header = inode.header
        kind = inode.kind
        if kind is FileKind.FILE:
            size = inode.file.size
        elif kind is FileKind.SYMLINK:
            size = inode.symlink.target_size
        else:
            size = 0
        return Stat(
            header.mode | FORMAT_BITS[kind],
            self._ids.get(header.uid_index, inode.tail[0]),
            self._ids.get(header.gid_index, inode.tail[0]),
            header.mtime,
            size,
            getattr(header, "nlink", 1),  # a basic file stores no count: it has one link
            header.inode_number,
            kind,
            getattr(header, "rdev", 0),
            inode.reference,
        )

    def target(self, inode: Inode) -> bytes:
        """Return a symlink's target."""
        size = inode.symlink.target_size
        if size > self._limits.symlink_target_bytes:
            raise LimitExceededError(
                "symlink_target_bytes", size, self._limits.symlink_target_bytes
            )
        target = self.tail(inode, size, "target").take(size)
        if not target or b"\0" in target:
            raise CorruptImageError(
                f"symlink target {target!r} is empty or holds a NUL", inode.tail[0]
            )
        return target

    def xattr_index(self, inode: Inode) -> int | None:
        """Return the index of the inode's set of extended attributes, or None."""
        index: int = getattr(inode.header, "xattr_index", ABSENT_32)
        if isinstance(inode.header, ExtendedSymlink):  # which stores it behind the target
            size = inode.header.target_size
            cursor = self.tail(inode, size, "target")
            cursor.skip(size)
            index = int.from_bytes(cursor.take(4), "little")
        return None if index == ABSENT_32 else index

    def extent(self, inode: Inode) -> tuple[int, int]:
        """Return the range of the image that holds the inode, or a longer one."""
        start, end = self.reader.extent
        position = start + split_reference(inode.reference)[0]
        return position, min(end, inode.tail[0] + HEADER_SIZE + METADATA_BLOCK_SIZE)

    def tail(self, inode: Inode, length: int, what: str) -> MetadataCursor:
        """Return a cursor at what follows the inode's record, of `length` bytes or more.

        `what` follows is a block list, a target or a directory index.
        """
        position, offset = inode.tail
        if length > self.reader.capacity(position):
            raise CorruptImageError(
                f"the {what} of inode {inode.header.inode_number}, {length} bytes, cannot be within"
                " the inode table",
                position,
            )
        return self.reader.cursor(position, offset)

    def _record_at(
        self, data: bytes, position: int, offset: int
    ) -> tuple[FileKind, type[InodeHeader]]:
        if offset + 1 < len(data):
            number = data[offset] | data[offset + 1] << 8
        else:
            number = int.from_bytes(self.reader.cursor(position, offset).take(2), "little")
        try:
            return RECORDS[number]
        except KeyError:
            raise CorruptImageError(
                f"an inode has type {number}; 1 to 14 are known", position
            ) from None

    def _check(self, kind: FileKind, header: InodeHeader, position: int) -> None:
        if not 1 <= header.inode_number <= self._inode_count:
            raise CorruptImageError(
                f"inode number {header.inode_number} is not one of 1 to {self._inode_count}",
                position,
            )
        if header.mode & ~_PERMISSIONS:
            raise CorruptImageError(
                f"mode {header.mode:#o} of inode {header.inode_number} holds more than permissions",
                position,
            )
        if isinstance(header, BasicSymlink) and header.target_size > SYMLINK_MAX:
            raise CorruptImageError(
                f"the target of inode {header.inode_number} has {header.target_size} bytes, more"
                f" than {SYMLINK_MAX}",
                position,
            )
        if kind is FileKind.FILE:
            file = cast("BasicFile | ExtendedFile", header)
            if file.size >= 1 << 63:
                raise CorruptImageError(
                    f"inode {header.inode_number} claims a size of {file.size} bytes", position
                )
            if file.fragment_index != ABSENT_32 and file.size % self._block_size == 0:
                raise CorruptImageError(
                    f"inode {header.inode_number} names a fragment, "
                    f"but its {file.size} bytes leave no tail",
                    position,
                )
