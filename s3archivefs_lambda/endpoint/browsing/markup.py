"""HTML out of templates, which escape whatever is not HTML already."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Markup", "Template", "joined", "shown"]

_JOINERS = frozenset("\u200c\u200d")
"""Not printable, but harmless: scripts and emojis need them."""


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


class Template:
    """HTML with `{names}`, each within an element or a quoted attribute."""

    __slots__ = ("_source",)

    def __init__(self, source: str) -> None:
        self._source = source

    def __call__(self, **values: str | int) -> Markup:
        """Return the HTML with these values; text that is not Markup is escaped."""
        return Markup(self._source.format_map({k: _escaped(v) for k, v in values.items()}))


def joined(parts: Iterable[Markup]) -> Markup:
    """Return the parts one after the other."""
    return Markup("".join(parts))


def shown(name: str) -> str:
    r"""Return a name as people can read it on one line.

    What is not printable is spelt as in Python: controls, overrides of the direction of writing
    (`\u202e`), and bytes that are not UTF-8 (`\xff`).
    """
    if name.isprintable():
        return name
    return "".join(map(_spelt, name))


def _spelt(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _escaped(value: str | int) -> str:
    return value if isinstance(value, Markup) else escape(str(value))
