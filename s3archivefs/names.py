"""Paths inside an image as callers give them, and names as they are given back."""

from __future__ import annotations

import os
from typing import Protocol, TypeAlias, TypeVar, overload

__all__ = [
    "AnyPath",
    "EitherPath",
    "PathLike",
    "StrPath",
    "as_plain",
    "decode",
    "decode_as",
    "encode",
    "os_error",
]

AnyPath = TypeVar("AnyPath", str, bytes)
Plain_co = TypeVar("Plain_co", str, bytes, covariant=True)


class Posix(Protocol[Plain_co]):
    """A path that says itself with slashes: `s3archivefs.Path`, which is no os.PathLike, and pure
    paths, of Windows too.
    """

    def as_posix(self) -> Plain_co:
        """The path, with slashes."""


PathLike: TypeAlias = AnyPath | os.PathLike[AnyPath] | Posix[AnyPath]
StrPath: TypeAlias = str | os.PathLike[str] | Posix[str]
EitherPath: TypeAlias = StrPath | bytes | os.PathLike[bytes] | Posix[bytes]


@overload
def as_plain(path: StrPath) -> str: ...
@overload
def as_plain(path: bytes | os.PathLike[bytes] | Posix[bytes]) -> bytes: ...
def as_plain(path: EitherPath) -> str | bytes:
    """The `str` or `bytes` of a path.

    Raises TypeError where it is no path.
    """
    if isinstance(path, str | bytes):
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
    """A path or name as the image has it."""
    plain = as_plain(path)
    return plain.encode("utf-8", "surrogateescape") if isinstance(plain, str) else plain


def decode(name: bytes) -> str:
    """Return a name or path of the image as text; what is not UTF-8 by surrogateescape."""
    return name.decode("utf-8", "surrogateescape")


def decode_as(path: AnyPath, name: bytes) -> AnyPath:
    """A name in the type in which its caller gave a path."""
    if isinstance(path, str):
        return name.decode("utf-8", "surrogateescape")
    return name


def os_error(number: int, path: str | bytes) -> OSError:
    """The error that the operating system has for a path, by its number."""
    return OSError(number, os.strerror(number), path)
