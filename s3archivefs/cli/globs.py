"""Globs as find(1) has them, where fnmatch has neither `[^a]`, `[[:digit:]]` nor backslashes."""

from __future__ import annotations

import re

__all__ = ["expression"]

_CLASSES = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:blank:]": r"\t ",
    "[:cntrl:]": r"\x00-\x1f\x7f",
    "[:digit:]": "0-9",
    "[:graph:]": "!-~",
    "[:lower:]": "a-z",
    "[:print:]": " -~",
    "[:punct:]": r"!-/:-@\[-`{-~",
    "[:space:]": r"\t-\r ",
    "[:upper:]": "A-Z",
    "[:xdigit:]": "0-9A-Fa-f",
}
"""The members of a set that stand for several characters, of ASCII."""
_CHARACTERS = re.compile("|".join([*map(re.escape, _CLASSES), r"\\.", "."]), re.DOTALL)
_NEGATIONS = (["!"], ["^"])


def expression(glob: str) -> str:
    """Return the regular expression for whole texts that a glob matches.

    A star takes slashes too. The expression never goes back over what a star took, as that of
    `fnmatch.translate` does not.
    """
    characters = _CHARACTERS.findall(glob)
    last_end = max((at for at, each in enumerate(characters) if each == "]"), default=0)
    parts = [""]  # between stars
    at = 0
    while at < len(characters):
        each = characters[at]
        at += 1
        if each == "*":
            parts.append("")
        elif each == "?":
            parts[-1] += "."
        elif each == "[" and (start := at + (characters[at : at + 1] in _NEGATIONS)) < last_end:
            end = characters.index("]", start + 1)  # what comes first is a member
            parts[-1] += _set(characters[start:end], negated=start > at)
            at = end + 1
        elif each in _CLASSES:  # outside of a set it is one itself
            parts[-1] += _set([*each[1:-1]], negated=False)
        else:
            parts[-1] += re.escape(each[-1])
    first, *others = parts
    if others:
        *middle, last = others
        first += "".join(f"(?>.*?{part})" for part in middle) + f".*{last}"
    return rf"(?s:{first})\Z"


def _set(members: list[str], *, negated: bool) -> str:
    """Return the expression for one character of a set, or for any other."""
    ranges = []
    at = 0
    while at < len(members):
        if members[at] in _CLASSES:
            ranges.append(_CLASSES[members[at]])
            at += 1
            continue
        start = end = members[at][-1]
        at += 1
        if members[at : at + 1] == ["-"] and _is_character(members[at + 1 : at + 2]):
            end = members[at + 1][-1]
            at += 2
        if start <= end:  # else there is none between
            ranges.append(f"{re.escape(start)}-{re.escape(end)}")
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"


def _is_character(members: list[str]) -> bool:
    """Return whether there is a member, and no class."""
    return bool(members) and members[0] not in _CLASSES
