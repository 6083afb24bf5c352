"""fsspec's patterns of paths, matched in a time that no name can make long.

fsspec itself makes one regular expression of a pattern, which may try a hostile name in as many
ways as its length to the power of the number of stars.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Matches: TypeAlias = Callable[[str], object]

__all__ = ["matcher"]

_MANY = "**"


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the function that tells whether a path matches.

    `*` stands for one name, `**` for any number of them. Raises ValueError where `**` is not by
    itself between slashes.
    """
    parts: list[Matches | None] = []  # None: any number of names
    for name in pattern.split("/"):
        if name == _MANY:
            parts.append(None)
        elif _MANY in name:
            raise ValueError(f"'**' can only stand by itself between slashes: {pattern!r}")
        else:
            parts.append(bool if name == "*" else re.compile(translate(name)).match)
    if parts[-1] is None:
        parts.append(lambda _: True)  # what is below, and not the directory itself
    return lambda path: _do_match(parts, path.split("/"))


def _do_match(parts: list[Matches | None], names: list[str]) -> bool:
    """Return whether the parts match the names: after `**`, as few names as will do."""
    part = name = 0
    after, retried = -1, 0  # the part behind the last `**`, and the name that it was tried at
    while name < len(names):
        matches = parts[part] if part < len(parts) else bool
        if matches is None:
            part += 1
            after, retried = part, name
        elif part < len(parts) and matches(names[name]):
            part, name = part + 1, name + 1
        elif after >= 0:
            retried += 1
            part, name = after, retried
        else:
            return False
    return part == len(parts)
