"""Paths and names of an image: the types that callers use, and the bytes stored."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, overload

from s3archivefs.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AnyPath",
    "EitherPath",
    "LinkedPath",
    "PathLike",
    "StrPath",
    "as_plain",
    "decode",
    "decode_all_as",
    "decode_as",
    "encode",
    "os_error",
]

AnyPath = TypeVar("AnyPath", str, bytes)
_PLAIN = (str, bytes)  # `str | bytes` would be made anew for each call
Plain_co = TypeVar("Plain_co", str, bytes, covariant=True)


class Posix(Protocol[Plain_co]):
    """A path that can be written with slashes.

    `s3archivefs.Path`, which is no os.PathLike, is one, and so are pathlib's pure paths, those of
    Windows too.
    """

    def as_posix(self) -> Plain_co:
        """Return the path, with slashes."""


PathLike: TypeAlias = AnyPath | os.PathLike[AnyPath] | Posix[AnyPath]
StrPath: TypeAlias = str | os.PathLike[str] | Posix[str]
EitherPath: TypeAlias = StrPath | bytes | os.PathLike[bytes] | Posix[bytes]


@overload
def as_plain(path: StrPath) -> str: ...
@overload
def as_plain(path: bytes | os.PathLike[bytes] | Posix[bytes]) -> bytes: ...
def as_plain(path: EitherPath) -> str | bytes:
    """Return a path as `str` or `bytes`.

    Raises TypeError for what is no path.
    """
    if isinstance(path, _PLAIN):
        return path
    if hasattr(path, "as_posix"):
        return path.as_posix()
    if isinstance(path, os.PathLike):
        return os.fspath(path)
    raise TypeError(
        f"a path in an image is str, bytes, os.PathLike or s3archivefs.Path,"
        f" not {type(path).__name__}"
    )


def encode(path: EitherPath) -> bytes:
    """Return a path or name as the image stores it: text as UTF-8 with surrogateescape."""
    plain = path if isinstance(path, str) else as_plain(path)
    return plain.encode("utf-8", "surrogateescape") if isinstance(plain, str) else plain


def decode(name: bytes) -> str:
    """Return a stored path or name as text: UTF-8 with surrogateescape."""
    return name.decode("utf-8", "surrogateescape")


def decode_as(path: AnyPath, name: bytes) -> AnyPath:
    """Return a stored name in the type of the path that a caller gave."""
    if isinstance(path, str):
        return name.decode("utf-8", "surrogateescape")
    return name


def decode_all_as(path: AnyPath, names: Sequence[bytes]) -> Sequence[AnyPath]:
    """Return one or more stored names in the type of a caller's path."""
    if isinstance(path, str):  # no name holds a slash
        return b"/".join(names).decode("utf-8", "surrogateescape").split("/")
    return names


class LinkedPath(NamedTuple):
    """A path as its last name, and the path above, which it shares with others.

    In a deep hostile tree whole paths, of 256 bytes a level, would take far more memory.
    """

    above: LinkedPath | None
    name: bytes

    def joined(self) -> bytes:
        """Return the names from the topmost on, with slashes between them."""
        names: list[bytes] = []
        here: LinkedPath | None = self
        while here is not None:
            names.append(here.name)
            here = here.above
        names.reverse()
        return b"/".join(names)


def os_error(number: int, path: str | bytes) -> OSError:
    """Return the operating system's error of that number for a path."""
    return OSError(number, os.strerror(number), path)
