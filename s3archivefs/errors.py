"""The exceptions of the reader, in one tree.

Whatever bytes a device returns, every public call returns what the image really encodes or raises
one of these. Two families stay outside on purpose: path faults are the builtins that `open()` would
raise (FileNotFoundError, NotADirectoryError, IsADirectoryError, OSError with ELOOP), and a device's
own errors pass through unchanged.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CodecUnavailableError",
    "CorruptImageError",
    "FormatError",
    "LimitExceededError",
    "NotSquashfsError",
    "PackOptionsError",
    "PackingError",
    "SquashfsError",
    "TruncatedImageError",
    "UnsupportedError",
    "leads_nowhere",
    "naming",
]

_PATH_FAULTS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class SquashfsError(Exception):
    """Base of every error that concerns the image itself."""

    image: str | None = None
    """The name of that image, where the caller gave several."""


class FormatError(SquashfsError, ValueError):
    """The bytes are not a sound squashfs 4.0 image.

    `what` says which rule was broken, `offset` where: bytes from the start of the image, or None
    where the fault has no single position.
    """

    def __init__(self, what: str, offset: int | None = None) -> None:
        super().__init__(what if offset is None else f"{what} (at byte {offset} of the image)")
        self.what = what
        self.offset = offset

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...], dict[str, object]]:
        # pickle by itself would pass the message
        return type(self), (self.what, self.offset), vars(self)


class NotSquashfsError(FormatError):
    """The source is no squashfs image at all: its magic number is missing."""


class TruncatedImageError(FormatError):
    """The device ends before the image does, as after a broken upload."""


class CorruptImageError(FormatError):
    """The image contradicts itself or the format."""


class PackingError(SquashfsError):
    """The writer cannot make an image of its input.

    The message says of what, and what to do.
    """


class PackOptionsError(PackingError, ValueError):
    """No image can be packed with these options."""


class UnsupportedError(SquashfsError, NotImplementedError):
    """The reader does not read this kind of image; the message says which."""


class CodecUnavailableError(UnsupportedError, ImportError):
    """The image's compressor needs a library that is not installed.

    The message names the extra to install.
    """


class LimitExceededError(SquashfsError):
    """The image costs more than one of the caller's `Limits` allows.

    `limit` is the name of the limit, `value` what the image needs.
    """

    def __init__(self, limit: str, value: int, allowed: int) -> None:
        super().__init__(
            f"{limit}: {value} is more than the {allowed} allowed; "
            f"raise Limits.{limit} to permit it"
        )
        self.limit = limit
        self.value = value
        self._allowed = allowed

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...], dict[str, object]]:
        return type(self), (self.limit, self.value, self._allowed), vars(self)


def leads_nowhere(error: OSError) -> bool:
    """Return whether the error says that a path leads to nothing in the image.

    Such errors have ENOENT, ENOTDIR or ELOOP as their `errno`. Any other OSError that a public call
    raises is the device's own, or refuses what the path leads to.
    """
    return error.errno in _PATH_FAULTS


@contextmanager
def naming(image: str | None) -> Iterator[None]:
    """Give errors that end the block the name of the image, unless they have one."""
    try:
        yield
    except SquashfsError as error:
        error.image = error.image or image
        raise
