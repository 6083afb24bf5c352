"""`SquashFS`: an open image, which puts every other module to work."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from s3archivefs.bulk import BulkReader
from s3archivefs.errors import (
    CorruptImageError,
    FormatError,
    SquashfsError,
    UnsupportedError,
    leads_nowhere,
)
from s3archivefs.extracting import Extractor
from s3archivefs.healing import retried
from s3archivefs.inode import FileKind
from s3archivefs.names import AnyPath, as_plain, decode, decode_as, encode, os_error
from s3archivefs.nodes import NodeReader
from s3archivefs.offset_device import OffsetDevice
from s3archivefs.options import check_compressor_options, read_compressor_options
from s3archivefs.reopening import Origin
from s3archivefs.sources import PinnedSource, StoredSource, open_source, portable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.data import DataReader
    from s3archivefs.device import BlockDevice
    from s3archivefs.inode import Inode, InodeTable, Stat
    from s3archivefs.limits import Limits
    from s3archivefs.names import EitherPath, PathLike, StrPath
    from s3archivefs.path import Path
    from s3archivefs.records import Record
    from s3archivefs.verify import Problem

__all__ = ["SquashFS", "open_image"]


class SquashFS(NodeReader, BulkReader, Extractor):
    """An open image: its directories, files and attributes.

    Several threads may use it, also in a process that forks; as a context manager it closes what it
    opened. Its pickle holds its path or URL: unpickling opens the image again, once for all objects
    in one pickle, and raises OSError (ESTALE) where another image is there now.

    Paths are `str` (with surrogateescape for bytes that are not UTF-8), `bytes`, `os.PathLike` or
    `Path`, from the root, with or without a leading slash. Names and paths are returned as `str` or
    `bytes`, whichever the given path is.

    Every method raises FormatError where what it reads is damaged, LimitExceededError, ValueError
    once the image is closed, and whatever the device raises. A method that takes a path raises
    FileNotFoundError, NotADirectoryError or OSError (ELOOP) where the path leads nowhere, with
    `errno` and `filename` set.
    """

    def __init__(self, source: object, *, offset: int = 0, limits: Limits | None = None) -> None:
        """Open the image that starts at byte `offset` of a source.

        The source is a path, a binary file, an mmap, a block device or a registered URL. Raises
        SquashfsError, TypeError for what is no source, and whatever the source itself raises.

        Format: "The Superblock".
        """
        from s3archivefs.limits import Limits  # noqa: PLC0415 -- dataclasses takes 12 ms to import

        limits = limits or Limits()
        self._source, self._offset = portable(source), offset
        device, self._close = open_source(source)
        try:
            super().__init__(limits)
            self._device = OffsetDevice(device, offset) if offset else device
            self._read_image()
        except BaseException:
            self._close()
            raise

    @property
    def device(self) -> BlockDevice:
        """The block device of the image, which starts at its first byte."""
        return self._device

    @property
    def cached_bytes(self) -> int:
        """Bytes of memory that cached blocks and entries take, at most Limits.cache_bytes."""
        return self._readers.cached_bytes

    # ---- the tree: see Browser too ---------------------------------------------------------------

    @retried
    def stat(self, path: EitherPath, *, follow_symlinks: bool = True) -> Stat:
        """Return the attributes of a path, following symlinks unless told otherwise.

        Format: "Inode Table".
        """
        self._check_open()
        return self._resolver.stat(as_plain(path), follow=follow_symlinks)

    @retried
    def exists(self, path: EitherPath) -> bool:
        """Return whether the path leads to something, following symlinks."""
        try:
            self._resolve(path)
        except UnicodeEncodeError:  # of a lone surrogate, which no name holds
            return False
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return False
        return True

    # ---- files: see FileOpener, BulkReader -------------------------------------------------------

    @retried
    def _content_of(self, path: str | bytes) -> tuple[Inode, InodeTable, DataReader]:
        inode = self._resolve(path)
        if inode.kind is FileKind.DIRECTORY:
            raise os_error(errno.EISDIR, path)
        if inode.kind is not FileKind.FILE:
            raise os_error(errno.ENXIO, path)
        return inode, self._readers.inodes, self._readers.data

    @retried
    def _content_place(self, path: str | bytes) -> tuple[ContentPlace, DataReader] | None:
        self._check_open()
        place = self._resolver.content(path)
        return None if place is None else (place, self._readers.data)

    @retried
    def readlink(self, path: PathLike[AnyPath]) -> AnyPath:
        """Return a symlink's target, as it is stored; at most Limits.symlink_target_bytes.

        Raises OSError (EINVAL) where the path is no symlink.

        Format: "Symbolic Links".
        """
        path = as_plain(path)
        inode = self._resolve(path, follow=False)
        if inode.kind is not FileKind.SYMLINK:
            raise os_error(errno.EINVAL, path)
        return decode_as(path, self._readers.inodes.target(inode))

    @retried
    def realpath(self, path: PathLike[AnyPath], *, strict: bool = False) -> AnyPath:
        """Return the path from the root without symlinks and `..`.

        Names missing, or behind a loop, stay unchanged; if `strict`, they raise as `stat` does.

        Format: "Symbolic Links".
        """
        self._check_open()
        path = as_plain(path)
        return decode_as(path, self._resolver.real_path(path, strict=strict))

    # ---- attributes and other ways to an inode ---------------------------------------------------

    @retried
    def listxattr(self, path: EitherPath, *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of a path's extended attributes, at most Limits.xattrs.

        They begin with `user.`, `trusted.` or `security.` and stand in the image's order.

        Format: "Extended Attribute Table".
        """
        inode = self._resolve(path, follow=follow_symlinks)
        index = self._readers.inodes.xattr_index(inode)
        if index is None or self._readers.xattrs is None:
            return []
        return [decode(name) for name in self._readers.xattrs.names(index)]

    @retried
    def getxattr(
        self, path: EitherPath, name: str | bytes, *, follow_symlinks: bool = True
    ) -> bytes:
        """Return the value of one extended attribute, at most Limits.xattr_value_bytes.

        Raises OSError (ENODATA) where the path has none of that name.

        Format: "Extended Attribute Table".
        """
        inode = self._resolve(path, follow=follow_symlinks)
        index = self._readers.inodes.xattr_index(inode)
        if index is not None and self._readers.xattrs is not None:
            value = self._readers.xattrs.value(index, encode(name))
            if value is not None:
                return value
        raise os_error(errno.ENODATA, as_plain(path))

    @retried
    def stat_inode(self, inode_number: int) -> Stat:
        """Return the attributes of an inode by its number, through the export table.

        Raises FileNotFoundError where no inode has the number, UnsupportedError where the image has
        no export table.

        Format: "Export Table".
        """
        self._check_open()
        if self._readers.exports is None:
            raise UnsupportedError("the image has no export table: it was packed with -no-exports")
        if not 1 <= inode_number <= self.superblock.inode_count:
            raise os_error(errno.ENOENT, str(inode_number))
        inode = self._readers.inodes.inode(self._readers.exports[inode_number])
        if inode.header.inode_number != inode_number:
            raise CorruptImageError(
                f"the export table leads to inode {inode.header.inode_number} for {inode_number}"
            )
        return self._readers.inodes.stat(inode)

    @property
    def compressor_options(self) -> Record | None:
        """Options of the image's compressor; None where its writer used the defaults.

        They are GzipOptions, LzoOptions, XzOptions, Lz4Options or ZstdOptions; nothing else needs
        them. Raises UnsupportedError where their size is unknown, as with OpenWrt's xz.

        Format: "Compression Options".
        """
        self._check_open()
        return read_compressor_options(self._device, self.superblock)

    def path(self, path: StrPath = "/") -> Path:
        """Return a path in the image, which is used like a `pathlib.Path`."""
        from s3archivefs.path import Path  # noqa: PLC0415 -- with pathlib, 10 ms

        return Path(self, path)

    def verify(
        self,
        *,
        progress: Callable[[int, int], object] | None = None,
        on_checksum: Callable[[bool], object] | None = None,
    ) -> Iterator[Problem]:
        """Read all that the image holds, and yield each problem: none if it is sound.

        `progress` is called with the inodes, of the superblock's inode_count, and the bytes of
        content that were read since its last call, some perhaps again. With `on_checksum`, contents
        are held against the SHA-256s that files have as the attribute `user.sha256`, and it is
        called for each file with whether it has one. Takes 100 bytes of memory for each inode, and
        200 for each directory still to be read and each set of more than 16 extended attributes.
        """
        self._check_open()
        yield from self._while_open(zip(self._problems(progress, on_checksum)))

    def _problems(
        self,
        progress: Callable[[int, int], object] | None,
        on_checksum: Callable[[bool], object] | None,
    ) -> Iterator[Problem]:
        from s3archivefs.verify import Problem, Verifier  # noqa: PLC0415 -- for this call alone

        def found() -> Iterator[Problem]:
            inode_count = self.superblock.inode_count
            verifier = Verifier(self._root, self._readers, inode_count, progress, on_checksum)
            return verifier.problems()

        try:
            check_compressor_options(self._device, self.superblock)
        except SquashfsError as error:
            yield Problem("/", error)
        problems = found()
        first = next(problems, None)
        if first is not None and isinstance(first.error, FormatError) and self._distrust():
            problems = found()
        elif first is not None:
            yield first
        yield from problems

    @property
    def origin(self) -> Origin:
        """Source and identity of the image: the content of its pickle.

        Format: "The Superblock".
        """
        self._check_open()
        size = self._device.size
        return Origin(self._source, self._offset, self._limits, size, self.superblock)

    def pinned_origin(self) -> Origin:
        """Return the origin by which another process opens this version, and asks for nothing.

        It is `origin` where the device cannot tell, as for an image that starts at an offset.

        Format: "Inode Table".
        """
        origin, source = self.origin, self._source
        url = source.url if isinstance(source, StoredSource | PinnedSource) else source
        pinned = getattr(self._device, "pinned", None)
        if pinned is None or not isinstance(url, str):
            return origin
        opener = pinned([self._readers.inodes.extent(self._root.inode)])
        return origin if opener is None else origin._replace(source=PinnedSource(url, opener))

    def _resolve(self, path: EitherPath, *, follow: bool = True) -> Inode:
        self._check_open()
        return self._resolver.inode(as_plain(path), follow=follow)


def open_image(source: object, *, offset: int = 0, limits: Limits | None = None) -> SquashFS:
    """Open an image: the same as `SquashFS(source, offset=offset, limits=limits)`."""
    return SquashFS(source, offset=offset, limits=limits)
