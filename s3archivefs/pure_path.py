"""What a path in an image answers without reading."""

from __future__ import annotations

from functools import total_ordering
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from s3archivefs.names import as_plain, encode

if TYPE_CHECKING:
    from s3archivefs.names import StrPath

__all__ = ["PurePath"]

Image = TypeVar("Image")


@total_ordering
class PurePath(Generic[Image]):
    """A path and the image it leads through, as `pathlib.PurePosixPath` answers."""

    __slots__ = ("_image", "_pure")

    def __init__(self, image: Image, path: StrPath = "/") -> None:
        self._image = image
        self._pure = PurePosixPath("/", as_plain(path))

    def _at(self, pure: PurePosixPath) -> Self:
        return type(self)(self._image, pure)

    @property
    def name(self) -> str:
        """The last part; empty for the root."""
        return self._pure.name

    @property
    def anchor(self) -> str:
        """Always `/`."""
        return self._pure.anchor

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The name's last suffix, its dot included."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes of the name."""
        return self._pure.suffixes

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts, beginning with `/`."""
        return self._pure.parts

    @property
    def parent(self) -> Self:
        """The directory above; the root is its own."""
        return self._at(self._pure.parent)

    @property
    def parents(self) -> tuple[Self, ...]:
        """The directories above, the nearest first."""
        return tuple(self._at(parent) for parent in self._pure.parents)

    def joinpath(self, *descendants: StrPath) -> Self:
        """The path below this one; an absolute one starts at the root again."""
        return self._at(self._pure.joinpath(*map(as_plain, descendants)))

    def __truediv__(self, descendant: StrPath) -> Self:
        return self.joinpath(descendant)

    def __rtruediv__(self, above: StrPath) -> Self:
        return self._at(PurePosixPath("/", as_plain(above), self._pure))

    def with_name(self, name: str) -> Self:
        """The path with another last part."""
        return self._at(self._pure.with_name(name))

    def with_suffix(self, suffix: str) -> Self:
        """The path with another last suffix."""
        return self._at(self._pure.with_suffix(suffix))

    def with_stem(self, stem: str) -> Self:
        """The path with another last part, its suffix kept."""
        return self._at(self._pure.with_stem(stem))

    def relative_to(self, other: Self | StrPath) -> PurePosixPath:
        """The way here from a path above, which starts at the root with or without a slash.

        Raises ValueError where `other` is not above.
        """
        return self._pure.relative_to(PurePosixPath("/", as_plain(other)))

    def is_relative_to(self, other: Self | StrPath) -> bool:
        """Whether `other` is this path, or above it."""
        return self._pure.is_relative_to(PurePosixPath("/", as_plain(other)))

    def is_absolute(self) -> bool:
        """Always true: a path starts at the image's root."""
        return True

    def absolute(self) -> Self:
        """The path itself."""
        return self

    def match(self, pattern: str) -> bool:
        """Whether the path matches a glob pattern, from the right."""
        return self._pure.match(pattern)

    def __str__(self) -> str:
        return str(self._pure)

    def as_posix(self) -> str:
        """The path as text, which `SquashFS` takes too."""
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
        """Led through its image, opened anew, in another process."""
        return type(self), (self._image, str(self._pure))
