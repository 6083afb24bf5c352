"""Whether a regular expression takes linear time on any text, judged by its form.

After a repeat that took all it could, Python's re tries what follows; where that fails, it gives
back one character after the other and tries again. So time grows with the square of a text's length
or worse where what follows a repeat can begin with what the repeat takes, where repeats stand in
each other, and where a search that fails at the end of a repeat starts again within it.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONG = 64
"""Times: a repeat that is bounded by no more costs a constant."""

_sre: Any = importlib.import_module("re._parser")
_op: Any = importlib.import_module("re._constants")

_SINGLE = {_op.LITERAL, _op.NOT_LITERAL, _op.ANY, _op.IN}
_REPEATS = {_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT}
_ALPHABET = frozenset([*map(chr, range(256)), "\u0661", "\u2003", "\u20ac", "\ufffe"])
"""What stands for all characters: Latin-1, a digit, a space, a symbol, and one that is none."""
_TEST = ""
"""Among characters that may follow: a test that takes none, such as `$`."""
_CATEGORIES = {
    _op.CATEGORY_DIGIT: r"\d",
    _op.CATEGORY_NOT_DIGIT: r"\D",
    _op.CATEGORY_SPACE: r"\s",
    _op.CATEGORY_NOT_SPACE: r"\S",
    _op.CATEGORY_WORD: r"\w",
    _op.CATEGORY_NOT_WORD: r"\W",
}


def faults_of_pattern(pattern: str | bytes, flags: int = 0, *, is_searched: bool) -> list[str]:
    """What makes the pattern slow; empty for a linear one.

    `is_searched` says that a match may begin anywhere in a text: search, sub, split, findall.
    """
    parsed = _sre.parse(pattern, flags)
    form = _Form(parsed.state.flags)
    begins = form.check(parsed, frozenset(), form.flags)
    if is_searched:
        for taken, is_tried_again in form.repeats:
            if is_tried_again and taken & begins:
                form.faults.append("a search can start again within a repeat that it has to leave")
    return form.faults


class _Form:
    """The check of one pattern, from its end to its beginning."""

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.faults: list[str] = []
        self.repeats: list[tuple[frozenset[str], bool]] = []
        """Of each long repeat what it takes, and whether something can fail behind it."""

    def check(self, items: Iterable[Any], follow: frozenset[str], flags: int) -> frozenset[str]:
        """The characters that items can begin with, `follow` being those that what stands behind
        them can; empty where nothing does.
        """
        for op, value in reversed([*items]):
            follow = self._item(op, value, follow, flags)
        return follow

    def _item(self, op: Any, value: Any, follow: frozenset[str], flags: int) -> frozenset[str]:  # noqa: ANN401 -- of re's own parser
        if op in _SINGLE:
            begins = _characters(op, value, flags)
        elif op in _REPEATS:
            begins = self._repeat(op, value, follow, flags)
        elif op is _op.SUBPATTERN:
            _, added, removed, body = value
            begins = self.check(body, follow, (flags | added) & ~removed)
        elif op is _op.BRANCH:
            begins = frozenset().union(*(self.check(body, follow, flags) for body in value[1]))
        elif op is _op.ATOMIC_GROUP:
            begins = self.check(value, follow, flags)
        else:
            begins = follow | {_TEST}
            if op in {_op.ASSERT, _op.ASSERT_NOT}:
                self.check(value[1], frozenset(), flags)
            elif op is not _op.AT:
                self.faults.append(f"{op} is not understood here")
        return begins

    def _repeat(self, op: Any, value: Any, follow: frozenset[str], flags: int) -> frozenset[str]:  # noqa: ANN401
        least, most, body = value
        if most <= _LONG:
            again = _Form(flags).check(body, follow, flags) if most > 1 else frozenset()
            begins = self.check(body, follow | again, flags)
            return begins if least else begins | follow
        taken = _one_character(body, flags)
        if taken is None:
            self.faults.append("a long repeat of more than one character")
            return follow
        if op is not _op.POSSESSIVE_REPEAT and taken & follow:
            self.faults.append("a long repeat before what it takes itself")
        self.repeats.append((taken, bool(follow)))
        return taken if least else taken | follow


def _one_character(body: Any, flags: int) -> frozenset[str] | None:  # noqa: ANN401 -- of re's own parser
    """What a repeat takes each time; None where that may be more than one character."""
    if len(body) != 1:
        return None
    op, value = body[0]
    if op is _op.SUBPATTERN:
        return _one_character(value[3], (flags | value[1]) & ~value[2])
    return _characters(op, value, flags) if op in _SINGLE else None


def _characters(op: Any, value: Any, flags: int) -> frozenset[str]:  # noqa: ANN401 -- of re's own parser
    if op is _op.ANY:
        return _ALPHABET if flags & re.DOTALL else _ALPHABET - {"\n"}
    members = [(_op.LITERAL, value)] if op in {_op.LITERAL, _op.NOT_LITERAL} else value
    found: set[str] = set()
    negated = op is _op.NOT_LITERAL
    for kind, member in members:
        if kind is _op.NEGATE:
            negated = True
        elif kind is _op.LITERAL:
            found.add(chr(member))
        elif kind is _op.RANGE:
            found |= {letter for letter in _ALPHABET if member[0] <= ord(letter) <= member[1]}
        else:
            category = re.compile(_CATEGORIES[member], flags & re.ASCII)
            found |= {letter for letter in _ALPHABET if category.fullmatch(letter)}
    if flags & re.IGNORECASE:
        found |= {letter.swapcase() for letter in found}
    return _ALPHABET - found if negated else frozenset(found)
