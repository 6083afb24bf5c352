"""A local image that another takes the place of, which begins with bytes of it.

Bytes that stay are copied by the file system, which shares them where it can. The image is never
written to: until the new one takes its name, it is what it was.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Self, cast

from s3archivefs.errors import PackingError
from s3archivefs.image import SquashFS
from s3archivefs.writer.extending import Cost
from s3archivefs.writer.output import FileOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from types import TracebackType
    from typing import BinaryIO

__all__ = ["FileReplacement", "HeldImage"]

_COPIED_TOGETHER = 64 << 20
_READ_TOGETHER = 1 << 20
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""Errors of a file system that leaves the copying to the program."""


class _Identities:
    """The files of a held image, those included that it makes later."""

    def __init__(self, held: HeldImage) -> None:
        self._held = held

    def __contains__(self, identity: object) -> bool:
        return self._held.is_own(cast("tuple[int, int]", identity))


class HeldImage:
    """An image in a file, about to be replaced; a context manager.

    Others of its kind leave it alone meanwhile. Raises PackingError where one of them is at it, and
    what opening an image raises.
    """

    claimed = None
    """Contents are found whether they have a checksum or none: see ImageExtension."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 -- names the path that was given
            raise PackingError(f"{path}: no regular file: nothing can take its place")
        self._name = os.fspath(path)
        self.path = Path(os.path.realpath(path))  # a symlink stays one
        self._output: FileReplacement | None = None
        self.file: BinaryIO = self.path.open("rb")
        try:
            self._lock()
            self.stat = os.fstat(self.file.fileno())
            self.image = SquashFS(self.file)
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the image; others may replace it."""
        self.image.close()
        self.file.close()

    @property
    def identities(self) -> Container[tuple[int, int]]:
        """Device and inode of the file, and of what replaces it: none is input."""
        return _Identities(self)

    def is_own(self, identity: tuple[int, int]) -> bool:
        """Return whether a file is the image, or what is to replace it by now."""
        if self._output is not None:
            return identity in self._output.identities
        return identity == (self.stat.st_dev, self.stat.st_ino)

    def output(
        self,
        superblock: bytes = b"",  # noqa: ARG002 -- of Place
        added: Callable[[], int | None] = lambda: 0,  # noqa: ARG002 -- likewise
    ) -> FileReplacement:
        """Return what takes the image that replaces it."""
        self._output = FileReplacement(self)
        return self._output

    def cost(self, ranges: Sequence[tuple[int, int]], size: int) -> Cost:
        """Return what an image of `size` bytes costs, which begins with ranges of this one."""
        kept = sum(end - start for start, end in ranges)
        return Cost(sent=size - kept, received=0, copied=kept, requests=0)

    def require_unchanged(self) -> None:
        """Raise PackingError where the path leads to another image by now, or to other bytes."""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            now = None
        if now is None or _identity(now) != _identity(self.stat):
            what = "another program changed it meanwhile: run this again"
            raise PackingError(f"{self._name}: {what}")

    def _lock(self) -> None:
        if sys.platform == "win32":  # which lets nobody replace an open file
            return
        import fcntl  # noqa: PLC0415 -- Windows has none

        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PackingError(
                f"{self._name}: another program is replacing it: run this again after it"
            ) from None
        except OSError:  # a file system without locks: what changed is noticed at the end
            pass


class FileReplacement(FileOutput):
    """Writes the image that takes the place of a held one, with its permissions."""

    def __init__(self, held: HeldImage) -> None:
        self._held = held
        super().__init__(held.path, replace=True)

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin with ranges of the held image."""
        place = 0
        with self._named():
            for start, end in ranges:
                self._copy(start, end, place)
                place += end - start

    def _copy(self, start: int, end: int, place: int) -> None:
        """Copy bytes of the held image to a place of this one."""
        source, target = self._held.file.fileno(), self._own.fileno()
        while start < end and hasattr(os, "copy_file_range"):
            wanted = min(end - start, _COPIED_TOGETHER)
            try:
                done = os.copy_file_range(source, target, wanted, start, place)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                break
            if not done:
                break
            start += done
            place += done
        self._own.seek(place)
        while start < end:
            piece = self._held.image.device.pread(start, min(end - start, _READ_TOGETHER))
            self._own.write(piece)
            start += len(piece)

    def _appear(self) -> None:
        if sys.platform != "win32":
            with suppress(OSError):  # of another owner
                os.chown(self._partial, self._held.stat.st_uid, self._held.stat.st_gid)
        self._partial.chmod(self._held.stat.st_mode & 0o7777)
        try:
            self._held.require_unchanged()
        except PackingError:
            self.abandon()
            raise
        super()._appear()


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
