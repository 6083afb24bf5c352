"""What a listing walks through: sources of keys in order, and what they yield."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s3archivefs import SquashFS, SquashfsError, Stat
    from s3archivefs_lambda.s3api.listing import ListedObject

__all__ = ["Item", "Source", "Sources", "Span", "Walk", "Work"]


class Item(NamedTuple):
    """An object or, with a key alone, a common prefix or a pause.

    With a source and no more, it is an archive that begins there.
    """

    key: bytes
    stat: Stat | ListedObject | None = None
    """What is listed of an object: a member's attributes, or all of it."""
    source: Source | None = None


class Source(Protocol):
    """A mapped archive, as a listing sees it."""

    @property
    def walk_depth(self) -> int:
        """Levels of directories that are entered."""

    def image(self) -> SquashFS | None:
        """Return the archive's image; None if the listing goes without it."""

    def etags(self, stats: Iterable[Stat]) -> list[str]:
        """Return the ETags of members."""

    def may_list(self, link: bytes) -> bool:
        """Return whether the asker may read what the symlink of this key leads to."""

    def failure(self, error: OSError | SquashfsError) -> Exception:
        """Return the exception to raise when the open image cannot be read."""


class Sources(Protocol):
    """The mapped archives, by their virtual prefixes: empty, or ending in `/`."""

    def around(self, key: bytes) -> Iterable[bytes]:
        """Return the virtual prefixes that a key starts with, the shortest first."""

    def first(self, floor: bytes) -> bytes | None:
        """Return the lowest virtual prefix that is not below `floor`, if there is one."""

    def walk(self, virtual: bytes, span: Span, work: Work) -> Walk:
        """Return the walk through what is mapped to a virtual prefix."""


class Walk(Protocol):
    """The objects of one source, in the order of their keys."""

    @property
    def floor(self) -> bytes:
        """Keys below it are passed over."""

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""

    def next(self) -> Item | None:
        """Return what comes next, as `Item` says; None at the end."""

    def following(self, end: bytes | None, most: int) -> list[Item]:
        """Return objects that come next, below `end`: none, or up to `most`.

        They lie in the directory of the object that `next` returned last: what follows the last
        `/` in their keys is all in which they differ.
        """


class Span(NamedTuple):
    """The keys that a page may have: [floor, end)."""

    floor: bytes
    end: bytes | None
    """None if no key is too high."""


class Work:
    """The steps that a page may still take for what it does not show."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def count(self, steps: int = 1) -> None:
        """Count steps that were taken."""
        self.left -= steps
