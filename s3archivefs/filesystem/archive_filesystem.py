"""`ArchiveFileSystem`: an image as an fsspec filesystem."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import fsspec
from fsspec.utils import tokenize

from s3archivefs.errors import leads_nowhere
from s3archivefs.filesystem.contents import Contents
from s3archivefs.filesystem.details import Details, details_of
from s3archivefs.filesystem.listings import Listings
from s3archivefs.filesystem.missing import missing_archives
from s3archivefs.filesystem.opened_file import ArchiveFile
from s3archivefs.filesystem.read_only import ReadOnly, refuse
from s3archivefs.filesystem.settling import Settling
from s3archivefs.filesystem.sharing import SharedImage, shared_image
from s3archivefs.filesystem.targets import find_target, settled
from s3archivefs.inode import FileKind
from s3archivefs.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from s3archivefs.image import SquashFS

__all__ = ["ArchiveFileSystem", "register"]

_WRITES = frozenset("wax+")


class ArchiveFileSystem(Listings, Contents, ReadOnly, metaclass=Settling):
    """The files of a squashfs image, read where the image lies.

    `fo` is the image: a path or a URL, by itself or of the filesystem `target_protocol` with
    `target_options`, as a chained URL passes them; a file that fsspec has not opened yet; an open
    binary file; a block device. The image starts at byte `offset`. `limits` are fields of `Limits`
    that are to differ from their defaults.

    An object in S3 is read by this project's adapter if that is installed and can honour the
    options, else, as any other target, by ranges of the target's filesystem.

    Nothing is read before it is asked for. From then on an instance stays with one version of the
    archive, until `invalidate_cache`; instances of a process that see the same version share the
    open image. They may be used by several threads, in processes that fork, and pickled. The image
    closes with the last filesystem, and the files of each with that: see `close`.

    Names are `str`, without a leading slash; bytes that are not UTF-8 are in them by
    surrogateescape. Symlinks are followed, except by walks: see `ls` and `info`. Methods raise what
    those of `SquashFS` raise, and MissingArchiveError where the archive is not there. Those that
    write raise OSError (EROFS).
    """

    protocol = ("squashfs", "s3archivefs")
    root_marker = ""
    cachable = False  # instances share open images, and know better which are current

    def __init__(
        self,
        fo: object = "",
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        *,
        offset: int = 0,
        limits: Mapping[str, int] | None = None,
        **kwargs: Any,  # noqa: ANN401 -- fsspec's
    ) -> None:
        super().__init__(**kwargs)
        self._source = settled(fo, target_protocol), target_protocol, target_options or {}
        self._offset = offset
        self._limits = None if limits is None else Limits(**limits)
        self._shared: SharedImage | None = None
        self._doubts = self._doubts_answered = 0
        self._files: set[ref[ArchiveFile]] = set()
        self._closed = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 -- a path, or a list of them
        stripped = super()._strip_protocol(path)
        return stripped if isinstance(stripped, list) else stripped.lstrip("/")

    # ---- The image -------------------------------------------------------------------------------

    @property
    def image(self) -> SquashFS:
        """The open image, opened when it is first asked for.

        Raises what opening raises, and ValueError if the filesystem is closed.
        """
        return self._opened.image

    @property
    def _opened(self) -> SharedImage:
        if self._closed:
            raise ValueError("the filesystem is closed")
        shared, doubts = self._shared, self._doubts
        if shared is None or doubts != self._doubts_answered:
            with missing_archives():
                target = find_target(*self._source)
                asks = doubts != self._doubts_answered
                shared = shared_image(target, self._offset, self._limits, asks=asks)
            self._shared = shared
            self._doubts_answered = doubts
        return shared

    def invalidate_cache(self, path: str | None = None) -> None:
        """Open the archive's current version when it is next asked for.

        Files that are open, and walks that have begun, stay with their version.
        """
        super().invalidate_cache(path)
        self._doubts += 1

    def close(self) -> None:
        """Close the files of this filesystem, and the image, unless others share it."""
        self._closed = True
        for known in [*self._files]:
            if (file := known()) is not None:
                file.close()
        self._shared = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Archive-like object {type(self).__name__} at {id(self)}>"

    __str__ = __repr__

    @property
    def fsid(self) -> str:
        """The text that identifies the archive's version, in any process."""
        return f"squashfs-{tokenize(self._opened.version, self._offset)}"

    # ---- Members ---------------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> Details:  # noqa: ANN401 -- fsspec's
        """Return name, size, type, mode, uid, gid, mtime, ino, nlink and islink of a path.

        Symlinks are followed, and have a `destination` besides. Type is `file`, `directory` or
        `other`. Reads no listing but those on the way to the path.
        """
        return details_of(self.image, self._strip_protocol(path))

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401 -- fsspec's
        """Return whether the path leads to something; raise if that cannot be told."""
        return self.image.exists("/" + self._strip_protocol(path))

    def lexists(self, path: str, **_: Any) -> bool:  # noqa: ANN401 -- fsspec's
        """Return whether the path is there, be it a symlink that leads nowhere."""
        return self._kind(path, follow_symlinks=False) is not None

    def isdir(self, path: str) -> bool:
        """Return whether the path leads to a directory."""
        return self._kind(path) is FileKind.DIRECTORY

    def isfile(self, path: str) -> bool:
        """Return whether the path leads to a regular file."""
        return self._kind(path) is FileKind.FILE

    def islink(self, path: str) -> bool:
        """Return whether the path is a symlink."""
        return self._kind(path, follow_symlinks=False) is FileKind.SYMLINK

    def modified(self, path: str) -> datetime:
        """Return the time of a path, the one that squashfs stores."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    created = modified

    def ukey(self, path: str) -> str:
        """Return the text that identifies the content of a path, in any process.

        It is made of the archive's version and the inode: hard links have the same one, and each
        version of the archive another.
        """
        stat = self.image.stat("/" + self._strip_protocol(path))
        return str(tokenize(self.fsid, stat.reference))

    def checksum(self, path: str) -> int:
        """Return `ukey` as a number."""
        return int(self.ukey(path), 16)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        **_: Any,  # noqa: ANN401 -- fsspec's, which say how to buffer
    ) -> ArchiveFile:
        if _WRITES.intersection(mode):
            refuse(path)
        if sorted(mode) != ["b", "r"]:
            raise ValueError(f"the mode is {mode!r}: archives are read, in mode 'r' or 'rb'")
        file = ArchiveFile(self, self._opened, self._strip_protocol(path), block_size)
        self._files.add(ref(file, self._files.discard))
        if self._closed:  # by another thread, which may have missed this file
            file.close()
        return file

    def _kind(self, path: str, *, follow_symlinks: bool = True) -> FileKind | None:
        """Return the kind of what a path leads to; None where it leads nowhere."""
        full = "/" + self._strip_protocol(path)
        image = self.image
        try:
            return image.stat(full, follow_symlinks=follow_symlinks).kind
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return None


def register(*, clobber: bool = True) -> None:
    """Have fsspec use this filesystem for `squashfs` and `s3archivefs`.

    Another installed package may claim `squashfs` too; which comes first is chance. With `clobber`
    this one replaces it, else ValueError is raised.
    """
    for protocol in ArchiveFileSystem.protocol:
        fsspec.register_implementation(protocol, ArchiveFileSystem, clobber=clobber)
