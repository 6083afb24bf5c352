"""Glob patterns over the directories of an image, as in `pathlib` of the running Python.

A pattern is a list of parts, and the state of a match is the set of parts to match next. So a
directory is listed once, however many `**` lead to it, and a directory in which nothing matched is
not searched again by way of symlinks or `..`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from fnmatch import translate
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from s3archivefs.errors import CorruptImageError, LimitExceededError, leads_nowhere
from s3archivefs.inode import FileKind
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.names import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from s3archivefs.entry import DirEntry, Tree

__all__ = ["glob", "matches"]

_SINCE_3_13 = sys.version_info >= (3, 13)
"""Whether the running Python has the glob rules of 3.13 and later.

`**` at the end matches files too, unless a slash follows, and `a**` is as `a*`.
"""
_SINCE_3_12 = sys.version_info >= (3, 12)
"""Whether a literal name matches a broken symlink."""
_ANYTHING = "*"
_ANY_DEPTH = "**"
_DIRECTORY = ""
"""The part for a slash at the end, which matches directories alone."""
_PARENT = ".."


class Part(NamedTuple):
    """A part of a pattern."""

    text: str
    matches: Callable[[str], object] | None
    """None for a literal name, `..`, `**` and the slash at the end."""


class _Listing(Protocol):
    def __call__(self, *, start: str | None = None) -> Iterator[DirEntry[str]]: ...


_Key: TypeAlias = tuple[int, frozenset[int]]


class _Outcome(NamedTuple):
    """What becomes of the names that match the same parts."""

    is_match: bool
    must_lead: bool
    """Whether it is one where the name leads anywhere."""
    must_be_directory: bool
    """Whether it is one where the name leads to a directory."""
    below: frozenset[int]
    """The parts to match below."""


class _Rules:
    """What names match, where some parts are to be matched next. Bits stand for parts."""

    __slots__ = ("always", "names", "outcomes", "parts", "patterns")

    def __init__(self, all_parts: Sequence[Part], parts: frozenset[int]) -> None:
        self.parts = parts
        self.names: dict[str, int] = {}
        """The bits of the parts that are literal names."""
        self.patterns: list[tuple[int, Callable[[str], object]]] = []
        """Those of patterns."""
        self.always = 0
        """The bits of patterns that match any name."""
        for index in parts:
            text, matches = all_parts[index]
            if text == _ANYTHING:
                self.always |= 1 << index
            elif matches is not None:
                self.patterns.append((1 << index, matches))
            elif text != _ANY_DEPTH:
                self.names[text] = self.names.get(text, 0) | 1 << index
        self.outcomes: tuple[dict[int, _Outcome], dict[int, _Outcome]] = {}, {}
        """What is known of names by the bits they match: of directories the second."""

    def bits(self, name: str) -> int:
        """Return the bits of the parts that a name matches."""
        bits = self.always
        for bit, matches in self.patterns:
            if matches(name):
                bits |= bit
        return bits | self.names.get(name, 0)


@dataclass(slots=True)
class _Node:
    """A directory that is being searched."""

    prefix: str
    """Its path, with a slash at the end."""
    place: str
    """Another path of the directory, without the pattern's `..`: the shortest."""
    rules: _Rules
    key: _Key
    linked: bool
    """Whether a symlink or `..` led here."""
    children: Iterator[tuple[str, DirEntry[str] | None]]
    has_match: bool = False
    """Whether anything matched in it or below."""


def parsed(pattern: str | bytes, *, at_any_depth: bool) -> list[Part]:
    """Split a pattern into its parts.

    Raises ValueError or NotImplementedError where `pathlib` does, TypeError for bytes.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern is text, not {type(pattern).__name__}: {pattern!r}")
    names = [name for name in pattern.split("/") if name not in {"", "."}]
    if pattern.startswith("/"):
        raise NotImplementedError(f"a pattern is relative to its path; not so {pattern!r}")
    if at_any_depth:
        names.insert(0, _ANY_DEPTH)
    if not names:
        raise ValueError(f"Unacceptable pattern: {pattern!r}")
    repeats = (pair == (_ANY_DEPTH, _ANY_DEPTH) for pair in zip(names, ["", *names], strict=False))
    parts = [_part(name) for name, repeat in zip(names, repeats, strict=True) if not repeat]
    if names[-1] == _ANY_DEPTH or pattern.endswith("/"):
        parts.append(Part(_DIRECTORY, None))
    return parts


def _part(name: str) -> Part:
    if name != _ANY_DEPTH and _ANY_DEPTH in name and not _SINCE_3_13:
        raise ValueError("Invalid pattern: '**' can only be an entire path component")
    is_pattern = name != _ANY_DEPTH and not {*"*?["}.isdisjoint(name)
    return Part(name, re.compile(translate(name)).match if is_pattern else None)


def glob(image: Tree, start: str, pattern: str, *, at_any_depth: bool) -> Iterator[str]:
    """Return the paths below `start` that match, each once, depth first in byte order.

    Raises CorruptImageError where a directory is in the tree twice, LimitExceededError past
    Limits.walk_depth, and what `pathlib` raises for the pattern.
    """
    search = _Search(image, pattern, at_any_depth=at_any_depth)
    return (prefix + name for prefix, name, _ in search.below(start))


def matches(
    image: Tree, start: str, pattern: str
) -> Iterator[tuple[str, str, DirEntry[str] | None]]:
    """Return what `glob` returns, each path with its entry, whose attributes cost no reading.

    A path comes in two parts: that of its directory, with a slash at the end, and its name. What no
    entry of a directory led to, as the start and `..`, is a directory and has none.
    """
    return _Search(image, pattern, at_any_depth=False).below(start)


class _Search:
    def __init__(self, image: Tree, pattern: str, *, at_any_depth: bool) -> None:
        self._image = image
        self._parts = parsed(pattern, at_any_depth=at_any_depth)
        self._end = len(self._parts)
        # `rglob` puts the pattern behind `**/`: so "" ends in a slash, and "." in `**`.
        is_bare = pattern != "" and not pattern.endswith("/")
        self._takes_files = _SINCE_3_13 and is_bare and self._parts[-1].text == _DIRECTORY
        self._met: set[_Key] = set()
        self._without_match: set[_Key] = set()
        """Keys of directories without a match: symlinks need not lead there again."""
        self._rules: dict[frozenset[int], _Rules] = {}

    def below(self, start: str) -> Iterator[tuple[str, str, DirEntry[str] | None]]:
        try:
            found = self._image.stat(start)
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return
        if found.kind is not FileKind.DIRECTORY:
            return
        wanted = self._from(0)
        if self._accepts(wanted):
            yield start, "", None
        listing = self._listing(start)
        stack = [self._node(start, start, wanted, found.reference, listing, linked=False)]
        while stack:
            node = stack[-1]
            child = next(node.children, None)
            if child is None:
                stack.pop()
                if not node.has_match:
                    self._without_match.add(node.key)
                elif stack:
                    stack[-1].has_match = True
                continue
            name, entry = child
            matched, below = self._matched(node.rules, name, entry)
            if matched:
                node.has_match = True
                yield node.prefix, name, entry
            if below and (deeper := self._entered(node, name, entry, below)) is not None:
                if len(stack) > self._image.limits.walk_depth:
                    raise LimitExceededError(
                        "walk_depth", len(stack), self._image.limits.walk_depth
                    )
                stack.append(deeper)

    def _matched(
        self, rules: _Rules, name: str, entry: DirEntry[str] | None
    ) -> tuple[bool, frozenset[int]]:
        """Return whether a name matches the pattern, and the parts to match below it."""
        if entry is None:
            wanted = self._after(rules.names[name])
            return self._accepts(wanted), wanted - {self._end}
        bits = rules.bits(name)
        is_directory = entry.is_dir(follow_symlinks=False)
        outcome = rules.outcomes[is_directory].get(bits)
        if outcome is None:
            outcome = self._outcome(rules, bits, is_directory=is_directory)
            rules.outcomes[is_directory][bits] = outcome
        matched, must_lead, must_be_directory, below = outcome
        if must_lead:
            matched = not entry.is_symlink() or _leads_somewhere(entry)
        if must_be_directory and not matched:
            matched = entry.is_dir()
        return matched, below

    def _outcome(self, rules: _Rules, bits: int, *, is_directory: bool) -> _Outcome:
        """Return what becomes of the names that match some parts."""
        spelt_out = self._after(bits & sum(rules.names.values()))
        wanted = self._after(bits & ~sum(rules.names.values()))
        is_match = self._end in wanted
        must_lead = False
        if self._end in spelt_out and not is_match:
            is_match, must_lead = True, not _SINCE_3_12
        wanted |= spelt_out
        deeper = {index for index in rules.parts if self._text(index) == _ANY_DEPTH}
        if deeper and is_directory:
            wanted = wanted.union(*map(self._from, deeper))
        elif self._takes_files and self._end - 2 in deeper:
            is_match, must_lead = True, False
        below = wanted - {self._end}
        must_be_directory = (must_lead or not is_match) and self._accepts(below)
        return _Outcome(is_match, must_lead, must_be_directory, below)

    def _entered(
        self, node: _Node, name: str, entry: DirEntry[str] | None, wanted: frozenset[int]
    ) -> _Node | None:
        """Return the directory of a name, or None where there is nothing to search."""
        if all(self._text(index) == _DIRECTORY for index in wanted):
            return None
        path, place = node.prefix + name, _below(node.place, name)
        if entry is None:
            place = self._image.realpath(place, strict=False)
            reference, listing = self._image.stat(place).reference, self._listing(place)
        elif entry.is_dir():
            linked = entry.is_symlink()
            reference = entry.stat().reference if linked else entry.reference
            listing = entry.scandir
        else:
            return None
        key = reference, wanted
        linked = node.linked or entry is None or entry.is_symlink()
        if linked and key in self._without_match:
            return None
        if not linked and key in self._met:
            raise CorruptImageError(f"directory {path!r} is in the tree twice")
        return self._node(path, place, wanted, reference, listing, linked=linked)

    def _node(
        self,
        path: str,
        place: str,
        wanted: frozenset[int],
        reference: int,
        listing: _Listing,
        *,
        linked: bool,
    ) -> _Node:
        key = reference, wanted
        if not linked:
            self._met.add(key)
        rules = self._rules.get(wanted)
        if rules is None:
            rules = self._rules[wanted] = _Rules(self._parts, wanted)
        children = self._children(wanted, listing)
        return _Node(_below(path, ""), place, rules, key, linked, children)

    def _children(
        self, wanted: frozenset[int], listing: _Listing
    ) -> Iterator[tuple[str, DirEntry[str] | None]]:
        """Yield the names of a directory that may match."""
        parts = [self._parts[index] for index in wanted if self._text(index) != _DIRECTORY]
        names = {part.text for part in parts}
        if _PARENT in names:
            yield _PARENT, None
        if any(part.matches is not None or part.text == _ANY_DEPTH for part in parts):
            for entry in listing():
                yield entry.name, entry
            return
        for name in sorted(names - {_PARENT}, key=encode):
            for entry in listing(start=name):
                if entry.name == name:
                    yield name, entry
                break

    def _listing(self, path: str) -> _Listing:
        return partial(self._image.scandir, path)

    def _text(self, index: int) -> str | None:
        return self._parts[index].text if index < self._end else None

    def _from(self, index: int) -> frozenset[int]:
        """Return the part, and the next one too where this may match nothing."""
        if self._text(index) == _ANY_DEPTH:
            return frozenset((index, index + 1))
        return frozenset((index,))

    def _after(self, bits: int) -> frozenset[int]:
        """Return the parts that follow those of some bits."""
        found = (index for index in range(self._end) if bits >> index & 1)
        return frozenset().union(*(self._from(index + 1) for index in found))

    def _accepts(self, wanted: frozenset[int]) -> bool:
        """Return whether a directory matches when these parts are left to match."""
        return any(self._text(index) in {None, _DIRECTORY} for index in wanted)


def _below(path: str, name: str) -> str:
    return path + name if path.endswith("/") else f"{path}/{name}"


def _leads_somewhere(entry: DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError as error:
        if not leads_nowhere(error):
            raise
        return False
    return True
