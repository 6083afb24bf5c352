"""Whether those who list directories want attributes: as they wanted them before.

The kernel does not tell whether a program looks at what it listed, only what it misses. So some
listings leave out those of one file. Who lists one directory after the other and has none of them
looked up gets names alone, until it has a file looked up.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from s3archivefs.mount.listings import Form

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Callers"]

_PATIENCE = 4
"""Listings without a look at what they leave out, until names are enough."""
_LONGEST = 64
"""Listings at most from one that leaves something out to the next."""
_CALLERS_MAX = 256  # that are remembered
_DIRECTORIES_MAX = 1024  # likewise

_Key = TypeVar("_Key", bound="Hashable")
_Value = TypeVar("_Value")


class _Caller:
    """A thread that lists directories."""

    __slots__ = ("interval", "left", "unasked")

    def __init__(self) -> None:
        self.interval = self.left = 0
        """Listings between two that leave something out, and those until the next."""
        self.unasked = 0
        """Listings that left something out, since anything was looked up."""


class Callers:
    """What is known of those who list directories."""

    def __init__(self) -> None:
        self._callers: dict[int, _Caller] = {}
        self._probing: dict[int, _Caller] = {}
        """By directories of which something may be left out, who lists them."""
        self._listed: dict[int, _Caller] = {}
        """By directories of which something was left out, who listed them."""

    def form(self, caller: int, directory: int) -> Form:
        """Return the form of the listing that somebody begins to read."""
        known = self._callers.get(caller)
        if known is None:
            known = _Caller()
            _put(self._callers, caller, known, _CALLERS_MAX)
        if known.unasked >= _PATIENCE:
            _put(self._listed, directory, known, _DIRECTORIES_MAX)
            return Form.NAMES
        if known.left and not known.unasked:
            known.left -= 1
            return Form.ATTRIBUTES
        _put(self._probing, directory, known, _DIRECTORIES_MAX)
        return Form.PROBE

    def leave_out(self, directory: int) -> bool:
        """Return whether a probe is to leave out a file, as each does once."""
        known = self._probing.pop(directory, None)
        if known is None:
            return False
        known.unasked += 1
        _put(self._listed, directory, known, _DIRECTORIES_MAX)
        return True

    def look_up(self, directory: int) -> None:
        """Take note that a file in a directory is looked up."""
        known = self._listed.pop(directory, None)
        if known is not None and known.unasked:
            known.unasked = 0
            known.interval = known.left = min(known.interval * 2 + 1, _LONGEST)


def _put(kept: dict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Keep something, and drop the oldest where that is too much."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        with suppress(RuntimeError):  # another thread drops one too
            kept.pop(next(iter(kept)), None)
