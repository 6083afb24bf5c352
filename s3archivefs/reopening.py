"""How an image and what leads through it get to other processes: by where the image lies, never by
what of it is in memory.
"""

from __future__ import annotations

import errno
import pickle
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast
from weakref import finalize

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.format import Superblock
    from s3archivefs.limits import Limits

__all__ = ["Origin", "reopen"]


class Image(Protocol):
    """What is reopened: `SquashFS`."""

    _close: Callable[[], object]

    @property
    def origin(self) -> Origin:
        """Where the image came from, and what it was."""


AnyImage = TypeVar("AnyImage", bound=Image)


class Origin(NamedTuple):
    """Where an image came from, and what was there."""

    source: object
    """An absolute path, a URL, or what else its caller gave."""
    offset: int
    limits: Limits
    size: int
    """Bytes of its device from `offset` on."""
    superblock: Superblock

    def check_pickles(self) -> None:
        """Raise one clear TypeError where the source is an object that cannot be pickled."""
        if isinstance(self.source, str | bytes):
            return
        try:
            pickle.Pickler(_Nowhere()).dump(self.source)
        except Exception as error:  # whatever a __reduce__ of the caller's raises
            raise TypeError(
                f"an image of a {type(self.source).__name__} goes to no other process:"
                f" {' '.join(str(error).split())}; open it by a path or a URL"
            ) from error


class _Nowhere:
    def write(self, data: bytes | memoryview, /) -> int:
        return len(data)


def reopen(kind: type[AnyImage], origin: Origin) -> AnyImage:
    """The image, opened anew; it is closed when it is no longer referred to, as whoever was given a
    path or a file through it cannot do that.

    Raises OSError (ESTALE) where another image is there now.
    """
    make = cast("Callable[..., AnyImage]", kind)
    image = make(origin.source, offset=origin.offset, limits=origin.limits)
    image._close = finalize(image, image._close)  # noqa: SLF001 -- of the image that is made here
    if image.origin != origin:
        image._close()  # noqa: SLF001
        name = origin.source if isinstance(origin.source, str | bytes) else None
        what = "another image is there now than the one that was pickled"
        raise OSError(errno.ESTALE, what, name)
    return image
