"""The part of `Path` that reads nothing."""

from __future__ import annotations

import sys
from functools import total_ordering
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from s3archivefs.names import as_plain, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.names import StrPath

__all__ = ["PurePath"]

Image = TypeVar("Image")


@total_ordering
class PurePath(Generic[Image]):
    """A path in an image, with the pure methods of `pathlib.PurePosixPath`."""

    __slots__ = ("_image", "_pure")

    def __init__(self, image: Image, path: StrPath = "/") -> None:
        self._image = image
        self._pure = _rooted(path)

    def _at(self, pure: PurePosixPath) -> Self:
        """Return a path of the same image; `pure` is below the root."""
        found = type(self).__new__(type(self))
        found._image, found._pure = self._image, pure  # noqa: SLF001 -- of the same class
        return found

    @property
    def name(self) -> str:
        """Last part of the path; empty for the root."""
        return self._pure.name

    @property
    def anchor(self) -> str:
        """Root of the path: always `/`."""
        return self._pure.anchor

    @property
    def root(self) -> str:
        """Root of the path: always `/`."""
        return self._pure.root

    @property
    def drive(self) -> str:
        """Drive of the path: always empty."""
        return self._pure.drive

    @property
    def stem(self) -> str:
        """Name without its last suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """Last suffix of the name, its dot included."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes of the name."""
        return self._pure.suffixes

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the path, beginning with `/`."""
        return self._pure.parts

    @property
    def parent(self) -> Self:
        """Directory above; the root is its own."""
        return self._at(self._pure.parent)

    @property
    def parents(self) -> tuple[Self, ...]:
        """Directories above, the nearest first."""
        return tuple(self._at(parent) for parent in self._pure.parents)

    def joinpath(self, *descendants: StrPath) -> Self:
        """Return the path joined to this one; an absolute one starts at the root again."""
        return self._at(_rooted(self._pure, *descendants))

    def __truediv__(self, descendant: StrPath) -> Self:
        return self.joinpath(descendant)

    def __rtruediv__(self, above: StrPath) -> Self:
        return self._at(_rooted(above, self._pure))

    def with_name(self, name: str) -> Self:
        """Return the path with another last part."""
        return self._at(self._pure.with_name(name))

    def with_suffix(self, suffix: str) -> Self:
        """Return the path with another last suffix."""
        return self._at(self._pure.with_suffix(suffix))

    def with_stem(self, stem: str) -> Self:
        """Return the path with another last part and the same suffix."""
        return self._at(self._pure.with_stem(stem))

    def relative_to(self, other: Self | StrPath, **options: bool) -> PurePosixPath:
        """Return the path relative to `other`, which starts at the root even without a slash.

        Options are those of `pathlib` in the running Python, as walk_up since 3.12. Raises
        ValueError where the path is neither `other` nor below it.
        """
        relative_to: Callable[..., PurePosixPath] = self._pure.relative_to
        return relative_to(_rooted(other), **options)

    def is_relative_to(self, other: Self | StrPath) -> bool:
        """Return whether the path is `other` or below it."""
        return self._pure.is_relative_to(_rooted(other))

    def is_absolute(self) -> bool:
        """Return True: every path starts at the image's root."""
        return True

    def absolute(self) -> Self:
        """Return the path itself."""
        return self

    def match(self, pattern: str, **options: bool | None) -> bool:
        """Return whether the path matches a glob pattern, from the right.

        Options are those of `pathlib` in the running Python, as case_sensitive since 3.12.
        """
        match: Callable[..., bool] = self._pure.match
        return match(_one_slash(pattern), **options)

    if sys.version_info >= (3, 13):  # as in pathlib

        def full_match(self, pattern: str, **options: bool | None) -> bool:
            """Return whether the whole path matches a glob pattern, `**` taking any depth."""
            full_match: Callable[..., bool] = self._pure.full_match
            return full_match(_one_slash(pattern), **options)

    def __str__(self) -> str:
        return str(self._pure)

    def as_posix(self) -> str:
        """Return the path as text, which the methods of `SquashFS` accept too."""
        return str(self._pure)

    def __repr__(self) -> str:
        return f"Path({str(self._pure)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PurePath):
            return NotImplemented
        return self._image is other._image and self._pure == other._pure

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, PurePath):
            return NotImplemented
        return self._pure < other._pure

    def __hash__(self) -> int:
        return hash((id(self._image), self._pure))

    def __bytes__(self) -> bytes:
        return encode(str(self._pure))

    def __reduce__(self) -> tuple[object, ...]:
        """Open the path's image again in another process."""
        return type(self), (self._image, str(self._pure))


def _one_slash(pattern: str) -> str:
    """Return the pattern with one slash for those that it begins with: see _rooted."""
    return f"/{pattern.lstrip('/')}" if pattern[:2] == "//" else pattern


def _rooted(*parts: StrPath) -> PurePosixPath:
    """Return the parts joined below the root, which any number of slashes means."""
    pure = PurePosixPath("/", *map(as_plain, parts))
    # POSIX leaves the meaning of just two slashes to the system, and so pathlib keeps them.
    return pure if pure.root == "/" else PurePosixPath("/", *pure.parts[1:])
