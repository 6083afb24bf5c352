"""How images, files and paths get to other processes: by the image's source."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol, TypeVar, cast
from weakref import finalize

from s3archivefs.named_tuples import NamedTuple
from s3archivefs.sources import PinnedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.format import Superblock
    from s3archivefs.limits import Limits

__all__ = ["Origin", "reopen"]


class Reopenable(Protocol):
    """An image that its source opens again; `SquashFS` is one."""

    _close: Callable[[], object]

    @property
    def origin(self) -> Origin:
        """Source and identity of the image."""


AnyImage = TypeVar("AnyImage", bound=Reopenable)


class Origin(NamedTuple):
    """Source and identity of an image."""

    source: object
    """An absolute path, a URL, or the object that the caller gave."""
    offset: int
    limits: Limits
    size: int
    """Bytes of the device from `offset` on."""
    superblock: Superblock

    def of_part(self, start: int, stop: int) -> Origin:
        """Return the origin for who reads of the contents only the bytes [start, stop)."""
        if not isinstance(self.source, PinnedSource) or start >= stop:
            return self
        return self._replace(source=self.source.of_part(start, stop))

    def check_pickles(self) -> None:
        """Raise a clear TypeError where the source is an object that cannot be pickled."""
        if isinstance(self.source, str | bytes):
            return
        import pickle  # noqa: PLC0415 -- 5 ms that only those who pickle pay

        try:
            pickle.Pickler(_NullWriter()).dump(self.source)
        except Exception as error:  # the caller's __reduce__ may raise anything
            raise TypeError(
                f"an image of a {type(self.source).__name__} cannot be pickled:"
                f" {' '.join(str(error).split())}; open it by a path or a URL"
            ) from error


class _NullWriter:
    def write(self, data: bytes | memoryview, /) -> int:
        return len(data)


def reopen(kind: type[AnyImage], origin: Origin) -> AnyImage:
    """Open the image again. It closes when nothing refers to it any more.

    Nobody else could close it: a pickled path or file brings its image along unseen. Raises OSError
    (ESTALE) where the source holds another image now.
    """
    make = cast("Callable[..., AnyImage]", kind)
    image = make(origin.source, offset=origin.offset, limits=origin.limits)
    image._close = finalize(image, image._close)  # noqa: SLF001 -- made here
    if image.origin != origin:
        image._close()  # noqa: SLF001
        name = origin.source if isinstance(origin.source, str | bytes) else None
        what = "another image is there now than the one that was pickled"
        raise OSError(errno.ESTALE, what, name)
    return image
