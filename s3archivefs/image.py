"""`SquashFS`: the tree of one image. Paths are resolved here, and every other module is put to work
here.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Self

from s3archivefs.cache import WeightedCache
from s3archivefs.compression import codec_for
from s3archivefs.data import Content, DataReader, SquashFile
from s3archivefs.device import OffsetDevice, open_device, read_exactly
from s3archivefs.directory import Directory
from s3archivefs.entry import AnyPath, DirEntry
from s3archivefs.errors import CorruptImageError, LimitExceededError, SquashfsError
from s3archivefs.format import FragmentEntry
from s3archivefs.inode import FileKind, InodeTable
from s3archivefs.limits import Limits
from s3archivefs.metadata import Block, MetadataReader
from s3archivefs.superblock import ID_SIZE, Extent, is_magic, read_superblock, tables_of
from s3archivefs.tables import FragmentTable, IdTable, LookupTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from s3archivefs.directory import Entry
    from s3archivefs.format import Superblock
    from s3archivefs.inode import Inode, Stat

__all__ = ["SquashFS", "is_squashfs", "open_image"]

_DIRECTORY_WEIGHT = 1000  # bytes that an open directory costs in memory, roughly
_ENTRY_WEIGHT = 250  # the same for one of its entries
_BLOCK_WEIGHT = 100  # and for a block beside its content


class SquashFS:
    """An open image. Safe to use from several threads; a context manager that closes what it
    opened.
    """

    def __init__(self, source: object, *, offset: int = 0, limits: Limits | None = None) -> None:
        """Open the image that starts at byte `offset` of a path, a binary file, a block device or a
        registered URL.

        Raises the errors of `s3archivefs.errors`, and whatever the source itself raises.
        """
        limits = limits or Limits()
        device, self._close = open_device(source)
        try:
            self._device = OffsetDevice(device, offset) if offset else device
            self._limits = limits
            self.superblock: Superblock = read_superblock(self._device)
            self._build()
        except BaseException:
            self._close()
            raise
        self.closed = False

    def _build(self) -> None:
        superblock, limits = self.superblock, self._limits
        tables = tables_of(superblock)
        codec = codec_for(superblock.compression, limits)
        blocks: WeightedCache[Block] = WeightedCache(
            limits.cache_bytes // 4, lambda block: len(block.data) + _BLOCK_WEIGHT
        )
        lowest = tables.directories.start

        def lookup(name: str, extent: Extent, count: int, record_size: int) -> LookupTable:
            between = Extent(lowest, extent.start)
            reader = MetadataReader(self._device, codec, blocks, between, name)
            return LookupTable(self._device, reader, count, record_size)

        ids = IdTable(lookup("id", tables.ids, superblock.id_count, ID_SIZE))
        fragments = FragmentTable(
            lookup(
                "fragment", tables.fragments, superblock.fragment_count, FragmentEntry.layout.size
            )
            if tables.fragments
            else None
        )
        inode_reader = MetadataReader(self._device, codec, blocks, tables.inodes, "inode")
        self._inodes = InodeTable(
            inode_reader, ids, superblock.inode_count, superblock.block_size, limits
        )
        self._listings = MetadataReader(
            self._device, codec, blocks, tables.directories, "directory"
        )
        self._entries: WeightedCache[dict[bytes, Entry]] = WeightedCache(
            limits.cache_bytes // 4,
            lambda entries: _DIRECTORY_WEIGHT + len(entries) * _ENTRY_WEIGHT,
        )
        self._directories: WeightedCache[Directory] = WeightedCache(
            limits.cache_bytes // 16, lambda _: _DIRECTORY_WEIGHT
        )
        self._data = DataReader(
            self._device,
            codec,
            WeightedCache(limits.cache_bytes // 2, len),
            fragments,
            superblock,
        )
        root = self._inodes.inode(superblock.root_inode)
        if root.kind is not FileKind.DIRECTORY:
            raise CorruptImageError(
                f"the root inode is a {root.kind.name.lower()}, not a directory"
            )
        self._root = self._directory(root)

    # ---- the tree --------------------------------------------------------------------------------

    def stat(self, path: str | bytes, *, follow_symlinks: bool = True) -> Stat:
        """The attributes of a path, or of the symlink there itself.

        Raises FileNotFoundError, NotADirectoryError or OSError (ELOOP), as every method that takes
        a path.
        """
        return self._inodes.stat(self._resolve(path, follow=follow_symlinks))

    def exists(self, path: str | bytes) -> bool:
        """Whether the path leads to something, symlinks followed."""
        try:
            self._resolve(path)
        except OSError:
            return False
        return True

    def listdir(self, path: AnyPath) -> list[AnyPath]:
        """The names in a directory, in byte order.

        Raises LimitExceededError past Limits.entries; `scandir` has no such bound.
        """
        names: list[AnyPath] = []
        for entry in self._opened(path).entries():
            if len(names) >= self._limits.entries:
                raise LimitExceededError("entries", len(names) + 1, self._limits.entries)
            names.append(_decode_as(path, entry.name))
        return names

    def scandir(
        self, path: AnyPath, *, start: AnyPath | None = None
    ) -> Iterator[DirEntry[AnyPath]]:
        """The entries of a directory in byte order of their names, read as they are asked for.

        With `start`, from the first name that is not below it: the directory's index finds the
        place.
        """
        directory = self._opened(path)
        return self._dir_entries(directory, path, b"" if start is None else _encode(start))

    def _dir_entries(
        self, directory: Directory, path: AnyPath, start: bytes
    ) -> Iterator[DirEntry[AnyPath]]:
        separator = _decode_as(path, b"/")
        prefix = path if path.endswith(separator) else path + separator
        for entry in directory.entries(start):
            name = _decode_as(path, entry.name)
            yield DirEntry(self, entry, name, prefix + name)

    def walk(self, top: AnyPath) -> Iterator[tuple[AnyPath, list[AnyPath], list[AnyPath]]]:
        """The directories from `top` down, each with the names of its directories and of all else,
        as `os.walk`.

        Names removed from a yielded list of directories are not entered; symlinks to directories
        are listed among them and never entered. Raises CorruptImageError where a directory contains
        itself, LimitExceededError past Limits.walk_depth.
        """
        todo: list[tuple[AnyPath, tuple[int, ...]]] = [(top, ())]
        ancestors: tuple[int, ...]
        while todo:
            path, ancestors = todo.pop()
            inode = self._resolve(path)
            if inode.reference in ancestors:
                raise CorruptImageError(f"directory {path!r} contains itself")
            if len(ancestors) > self._limits.walk_depth:
                raise LimitExceededError("walk_depth", len(ancestors), self._limits.walk_depth)
            directories: list[AnyPath] = []
            others: list[AnyPath] = []
            links: set[AnyPath] = set()
            for entry in self.scandir(path):
                (directories if entry.is_dir() else others).append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
            yield path, directories, others
            separator = _decode_as(path, b"/")
            prefix = path if path.endswith(separator) else path + separator
            below = (*ancestors, inode.reference)
            todo += [(prefix + name, below) for name in reversed(directories) if name not in links]

    # ---- files -----------------------------------------------------------------------------------

    def open(self, path: str | bytes) -> SquashFile:
        """A regular file, opened for reading bytes; symlinks are followed.

        Raises IsADirectoryError, or OSError (ENXIO) for a device, fifo or socket, whose content no
        image holds.
        """
        inode = self._resolve(path)
        if inode.kind is FileKind.DIRECTORY:
            raise _os_error(errno.EISDIR, path)
        if inode.kind is not FileKind.FILE:
            raise _os_error(errno.ENXIO, path)
        return SquashFile(Content(inode, self._inodes, self._data), path, self._limits)

    def read_bytes(self, path: str | bytes) -> bytes:
        """The whole content of a regular file, at most Limits.read_all_bytes."""
        with self.open(path) as file:
            return file.read()

    def readlink(self, path: AnyPath) -> AnyPath:
        """A symlink's target, as it is stored.

        Raises OSError (EINVAL) where the path is no symlink.
        """
        inode = self._resolve(path, follow=False)
        if inode.kind is not FileKind.SYMLINK:
            raise _os_error(errno.EINVAL, path)
        return _decode_as(path, self._inodes.target(inode))

    # ---- closing ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what was opened for the image; a file or device that the caller gave stays open."""
        self.closed = True
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- resolution ------------------------------------------------------------------------------

    def _resolve(self, path: str | bytes, *, follow: bool = True) -> Inode:
        """The inode that a path leads to, inside the image only: `..` at the root stays there, and
        an absolute link starts at the image's root.
        """
        if self.closed:
            raise ValueError("the image is closed")
        todo = _encode(path).split(b"/")
        todo.reverse()
        above: list[Directory] = []
        here = self._root
        hops = 0
        while todo:
            part = todo.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                here = above.pop() if above else self._root
                continue
            entry = here.get(part)
            if entry is None:
                raise _os_error(errno.ENOENT, path)
            inode = self._entry_inode(entry)
            if inode.kind is FileKind.DIRECTORY:
                above.append(here)
                here = self._directory(inode)
            elif inode.kind is FileKind.SYMLINK and (todo or follow):
                hops += 1
                target = self._followed(inode, hops, path)
                todo += reversed(target.split(b"/"))
                if target.startswith(b"/"):
                    above.clear()
                    here = self._root
            elif todo:
                raise _os_error(errno.ENOTDIR, path)
            else:
                return inode
        return here.inode

    def _followed(self, link: Inode, hops: int, path: str | bytes) -> bytes:
        """The target of the symlink that is the path's `hops`th."""
        if hops > self._limits.symlink_hops:
            raise _os_error(errno.ELOOP, path)
        return self._inodes.target(link)

    def _opened(self, path: str | bytes) -> Directory:
        inode = self._resolve(path)
        if inode.kind is not FileKind.DIRECTORY:
            raise _os_error(errno.ENOTDIR, path)
        return self._directory(inode)

    def _directory(self, inode: Inode) -> Directory:
        return self._directories.get(
            inode.reference, lambda: Directory(inode, self._inodes, self._listings, self._entries)
        )

    def _entry_inode(self, entry: Entry) -> Inode:
        inode = self._inodes.inode(entry.reference)
        if inode.kind.value != entry.type or inode.header.inode_number != entry.inode_number:
            raise CorruptImageError(
                f"directory entry {entry.name!r} says inode {entry.inode_number} "
                f"of type {entry.type}; its inode says {inode.header.inode_number} "
                f"of type {inode.kind.value}"
            )
        return inode

    def stat_of_entry(self, entry: Entry) -> Stat:
        """The attributes of a directory's entry, which `DirEntry.stat` asks for."""
        return self._inodes.stat(self._entry_inode(entry))


def open_image(source: object, *, offset: int = 0, limits: Limits | None = None) -> SquashFS:
    """Open an image: `s3archivefs.open`. See `SquashFS`."""
    return SquashFS(source, offset=offset, limits=limits)


def is_squashfs(source: object) -> bool:
    """Whether a path, binary file or block device starts as a squashfs 4.0 image does. A missing
    file does not.
    """
    try:
        device, close = open_device(source)
    except OSError:
        return False
    try:
        return is_magic(read_exactly(device, 0, 4, "the magic number"))
    except (SquashfsError, OSError):
        return False
    finally:
        close()


def _encode(path: str | bytes) -> bytes:
    return path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path


def _decode_as(path: AnyPath, name: bytes) -> AnyPath:
    """A name in the type in which its caller gave a path."""
    if isinstance(path, str):
        return name.decode("utf-8", "surrogateescape")
    return name


def _os_error(number: int, path: str | bytes) -> OSError:
    return OSError(number, os.strerror(number), path)
