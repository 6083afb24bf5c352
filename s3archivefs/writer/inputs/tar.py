"""The members of a tar stream, in its order, compressed or not."""

from __future__ import annotations

import math
import os
import tarfile
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from s3archivefs.errors import PackingError
from s3archivefs.inode import FileKind
from s3archivefs.names import encode
from s3archivefs.printed import printed
from s3archivefs.writer.entries import Entry, HardLink
from s3archivefs.writer.inputs.decompressed import Decompressed, DecompressionError
from s3archivefs.writer.inputs.guarded import PARSING_FAULTS, GuardedContent
from s3archivefs.writer.xattrs import has_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Self

    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.inputs.sizes import Takes

__all__ = ["TarFileInput", "TarInput", "is_tar", "plain_path"]

_XATTR = "SCHILY.xattr."
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
"""Types of what goes before a member, and which tarfile reads whole."""
_HEADER_MAX = 8 << 20
"""Bytes of such a header. Linux lets a file have less than a hundredth in attributes."""
_KINDS = {
    tarfile.REGTYPE: FileKind.FILE,
    tarfile.AREGTYPE: FileKind.FILE,
    tarfile.CONTTYPE: FileKind.FILE,
    tarfile.GNUTYPE_SPARSE: FileKind.FILE,
    tarfile.DIRTYPE: FileKind.DIRECTORY,
    b"D": FileKind.DIRECTORY,  # GNU tar's in an incremental archive; its content lists names
    tarfile.SYMTYPE: FileKind.SYMLINK,
    tarfile.CHRTYPE: FileKind.CHAR_DEVICE,
    tarfile.BLKTYPE: FileKind.BLOCK_DEVICE,
    tarfile.FIFOTYPE: FileKind.FIFO,
}
_LABEL = b"V"
"""The type of a volume's name, which GNU tar does not extract."""
_FAULTS: tuple[type[Exception], ...] = (
    tarfile.TarError,
    DecompressionError,
    *PARSING_FAULTS,
)
_HeaderError, _ReadError = tarfile.HeaderError, tarfile.ReadError
_DAMAGED = {"InvalidHeaderError", "TruncatedHeaderError"}  # no public names of tarfile


class _Info(tarfile.TarInfo):
    """The header of a member. tarfile would take a damaged one for the end of the stream."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Return the next member.

        Raises HeaderError where the stream ends, and ReadError for a damaged header.
        """
        # Not frombuf(), which some versions of tarfile pass by, such as Debian 12's.
        try:
            return super().fromtarfile(tarfile)
        except _HeaderError as error:
            if type(error).__name__ in _DAMAGED:
                raise _ReadError(f"a member's header: {error}") from error
            raise

    def _proc_member(self, tarfile: tarfile.TarFile) -> Self:
        """Read what follows the header; fromtarfile() calls it.

        Raises ReadError for damage, and for what would fill the memory.
        """
        if self.type in _HEADERS and not 0 <= self.size <= _HEADER_MAX:
            raise _ReadError(
                f"{self._printed}: a header of {self.size} bytes, where {_HEADER_MAX} are the most"
            )
        parent: Any = super()
        try:
            return cast("Self", parent._proc_member(tarfile))  # noqa: SLF001 -- tarfile has no public hook between a header and what follows it
        except PARSING_FAULTS as error:
            raise _ReadError(f"{self._printed}: {error}") from error

    @property
    def _printed(self) -> str:
        return printed(encode(self.name))


class TarInput:
    """Yields the members of a tar stream, which is read once, from its current position.

    `name` is what errors call it. Raises PackingError where it is no tar stream, or a damaged one,
    and for a member that no image can hold, unless `takes` leaves that out. Others are yielded
    whatever it says, as hard links may refer to them.
    """

    def __init__(self, file: BinaryIO, name: str, *, takes: Takes | None = None) -> None:
        self._file = file
        self._name = name
        self._takes = takes

    def __iter__(self) -> Iterator[Member]:
        try:
            source = Decompressed(self._file, self._name)
            with _stream(source) as stream:
                while (info := stream.next()) is not None:
                    if self._is_member(info):
                        yield self._member(stream, info)
                    cast("Any", stream).members.clear()  # else it keeps all, 2 KB each
            if source.has_ended and not source.tells_its_end:
                raise PackingError(
                    f"{self._name}: ends without its end-of-archive mark: cut short? If it is"
                    " whole, let 1,024 zero bytes follow it, which are the mark"
                )
            source.drain()  # or gzip's checksum is never read, and who writes into a pipe fails
        except _FAULTS as error:
            raise PackingError(
                f"{self._name}: is no tar stream, or a damaged one: {error}"
            ) from error

    def starts_well(self) -> bool:
        """Return whether the stream starts as a tar stream does; reads its start."""
        try:
            with _stream(Decompressed(self._file, self._name)) as stream:
                return stream.firstmember is not None  # type: ignore[attr-defined]
        except _FAULTS:
            return False

    def _is_member(self, info: tarfile.TarInfo) -> bool:
        """Return whether it is one that is taken. Raises PackingError for one that cannot be."""
        if info.islnk():  # all else that it says of itself is of no use
            return True
        path = plain_path(encode(info.name))
        what = f"{self._name}: {printed(path)}"
        if info.type not in _KINDS:
            fault = f"a member of type {info.type!r}, which squashfs has not"
        elif not math.isfinite(info.mtime):
            fault = f"a time of {info.mtime}"
        elif info.size < 0:
            raise PackingError(f"{what}: a size of {info.size} bytes; the archive is damaged")
        else:
            return True
        is_wanted = self._takes is None or self._takes(path, is_directory=False)
        if is_wanted and info.type != _LABEL:
            raise PackingError(f"{what}: {fault}; leave it out")
        return False

    def _member(self, stream: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
        path = plain_path(encode(info.name))
        if info.islnk():
            return HardLink(path, plain_path(encode(info.linkname)))
        kind = _KINDS[info.type]
        is_file = kind is FileKind.FILE
        return Entry(
            path,
            kind,
            info.mode,
            info.uid,
            info.gid,
            int(info.mtime // 1),
            open=partial(self._content, stream, info, path) if is_file else None,
            size=info.size if is_file else None,
            target=encode(info.linkname),
            rdev=_rdev(info),
            xattrs=tuple(_xattrs(info)),
        )

    def _content(
        self, stream: tarfile.TarFile, info: tarfile.TarInfo, path: bytes
    ) -> GuardedContent:
        file = cast("BinaryIO", stream.extractfile(info))
        return GuardedContent(file, f"{self._name}: {printed(path)}", _FAULTS)


def _stream(source: Decompressed) -> tarfile.TarFile:
    # tarfile's own decompression ends with the first of several parts, and checks nothing.
    file: Any = source  # typeshed asks for more than the read() that a stream needs
    return tarfile.open(fileobj=file, mode="r|", errors="surrogateescape", tarinfo=_Info)


def plain_path(path: bytes) -> bytes:
    """Return a path as the writer takes it: without needless slashes and dots."""
    return b"/".join(name for name in path.split(b"/") if name not in {b"", b"."})


def _rdev(info: tarfile.TarInfo) -> int:
    major, minor = info.devmajor, info.devminor
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def _xattrs(info: tarfile.TarInfo) -> Iterator[tuple[bytes, bytes]]:
    for key, value in info.pax_headers.items():
        name = encode(key.removeprefix(_XATTR))
        if key.startswith(_XATTR) and has_place(name):
            yield name, encode(value)


class TarFileInput:
    """Yields the members of a file that is a tar stream. Raises what TarInput raises."""

    def __init__(self, path: str | os.PathLike[str], *, takes: Takes | None = None) -> None:
        self._path = path
        self._takes = takes

    def size(self) -> int:
        """Return the bytes of the file."""
        return os.stat(self._path).st_size  # noqa: PTH116 -- likewise

    def __iter__(self) -> Iterator[Member]:
        with open(self._path, "rb") as file:  # noqa: PTH123 -- pathlib takes 10 ms to import
            yield from TarInput(file, os.fspath(self._path), takes=self._takes)


def is_tar(path: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a file starts as a tar stream does, compressed or not."""
    with open(path, "rb") as file:  # noqa: PTH123 -- bytes too
        return TarInput(file, "").starts_well()
