"""Which members are extracted: patterns that include, and patterns that exclude.

They are glob patterns as `Path.glob` has them. One with a slash, but for a slash at its end, is for
paths from the image's root; one without is for names at any depth. A directory that matches stands
for all below it. Excluded is excluded, whatever includes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs.extraction.filters import names_of
from s3archivefs.globbing import Part, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Selection", "State"]

_ANY_DEPTH = "**"
_States: TypeAlias = "tuple[frozenset[int], ...]"
"""Of each pattern, the parts that may match next."""


class State(NamedTuple):
    """What the names on the way to a directory leave to be matched."""

    included: _States | None
    """None where all is included."""
    excluded: _States


class _Pattern:
    """One pattern, matched name by name."""

    def __init__(self, text: str, argument: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"{argument} has {text!r}: give patterns as text")
        if not names_of(text):
            raise ValueError(f"{argument} has {text!r}, which matches no name: give one as '*.txt'")
        try:
            parts = parsed(text.lstrip("/"), at_any_depth=False)
        except ValueError as error:
            raise ValueError(f"{argument} has {text!r}: {error}") from error
        if "/" not in text.rstrip("/") and parts[0].text != _ANY_DEPTH:
            parts.insert(0, Part(_ANY_DEPTH, None))
        self._is_for_directories = parts[-1].text == ""
        if self._is_for_directories:
            parts.pop()
        if parts[-1].text == _ANY_DEPTH:
            self._is_for_directories = False
        self._parts: Sequence[Part] = parts
        self.start = self._from(0)

    def step(
        self, wanted: frozenset[int], name: str, *, is_directory: bool
    ) -> tuple[bool, frozenset[int]]:
        """Return whether a name matches the pattern, and what is left to match below it."""
        after: frozenset[int] = frozenset()
        is_matched = False
        last = len(self._parts) - 1
        for index in wanted:
            text, matches = self._parts[index]
            if text == _ANY_DEPTH:
                after |= self._from(index)
                is_matched |= index == last
            elif text == name if matches is None else matches(name):
                if index == last:
                    is_matched |= is_directory or not self._is_for_directories
                else:
                    after |= self._from(index + 1)
        return is_matched, after

    def _from(self, index: int) -> frozenset[int]:
        """Return the part, and the next one too where this may match nothing."""
        if self._parts[index].text == _ANY_DEPTH and index + 1 < len(self._parts):
            return frozenset((index, index + 1))
        return frozenset((index,))


class Selection:
    """Patterns that include, and patterns that exclude; without the former all is included.

    Raises TypeError for what is no text, ValueError where `pathlib` refuses a pattern.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = [_Pattern(text, "include") for text in include]
        self._exclude = [_Pattern(text, "exclude") for text in exclude]
        included = tuple(pattern.start for pattern in self._include) if self._include else None
        self.start = State(included, tuple(pattern.start for pattern in self._exclude))
        """The state at the image's root."""
        self.is_all = not self._include and not self._exclude

    def step(self, state: State, name: str, *, is_directory: bool) -> tuple[bool, State | None]:
        """Return whether a name is taken, and the state below it, or None."""
        is_excluded, excluded = _step(self._exclude, state.excluded, name, is_directory)
        if is_excluded:
            return False, None
        if state.included is None:
            return True, State(None, excluded)
        is_included, included = _step(self._include, state.included, name, is_directory)
        if is_included:
            return True, State(None, excluded)
        return False, State(included, excluded) if any(included) else None


def _step(
    patterns: Sequence[_Pattern],
    states: _States,
    name: str,
    is_directory: bool,  # noqa: FBT001 -- passed on from the keyword
) -> tuple[bool, _States]:
    steps = [
        pattern.step(wanted, name, is_directory=is_directory)
        for pattern, wanted in zip(patterns, states, strict=True)
    ]
    return any(matched for matched, _ in steps), tuple(after for _, after in steps)
