"""A second read where metadata contradicts itself: a device may have kept a damaged copy.

Such a copy decodes all the same where it is stored uncompressed, or its compressor has no checksum.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from s3archivefs.cached_only import check_may_wait
from s3archivefs.device_reads import discard_ranges
from s3archivefs.errors import FormatError
from s3archivefs.format import Superblock
from s3archivefs.readers import open_readers
from s3archivefs.resolution import Resolver
from s3archivefs.superblock import read_superblock

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.device import BlockDevice
    from s3archivefs.directory import Directory
    from s3archivefs.limits import Limits
    from s3archivefs.readers import Readers

__all__ = ["Healing", "retried"]

P = ParamSpec("P")
T = TypeVar("T")


class Healing:
    """The part of `SquashFS` that makes its readers, and remakes them after a FormatError."""

    superblock: Superblock
    _device: BlockDevice
    _limits: Limits
    _readers: Readers
    _root: Directory
    _resolver: Resolver

    def _read_image(self) -> None:
        self.superblock = read_superblock(self._device)
        try:
            self._read_root()
        except FormatError:
            if not discard_ranges(self._device, [(0, Superblock.layout.size), *self._in_doubt()]):
                raise
            self.superblock = read_superblock(self._device)
            self._read_root()

    def _read_root(self) -> None:
        self._readers = open_readers(self._device, self.superblock, self._limits)
        self._root = self._readers.root(self.superblock.root_inode)
        self._resolver = Resolver(self._root, self._readers, self._limits)

    def _distrust(self) -> bool:
        """Discard the metadata read last, which may be damaged, here and at the device.

        Return whether another read may bring other bytes. Raises NotCachedError within
        `only_cached`.
        """
        check_may_wait()
        if not discard_ranges(self._device, self._in_doubt()):
            return False
        self._readers.forget()  # open files read through these
        self._read_root()
        return True

    def _in_doubt(self) -> list[tuple[int, int]]:
        # Making the readers may be what failed.
        readers: Readers | None = getattr(self, "_readers", None)
        return [] if readers is None else readers.in_doubt()


H = TypeVar("H", bound=Healing)  # not a name: of that, Python 3.14 makes an object by importing ast


def retried(method: Callable[Concatenate[H, P], T]) -> Callable[Concatenate[H, P], T]:
    """Call the method a second time where it raises FormatError and another read may help."""

    @wraps(method)
    def call(self: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except FormatError:
            if not self._distrust():
                raise
        return method(self, *args, **kwargs)

    return call
