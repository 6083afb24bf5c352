"""Keys and paths as text: of bytes, as bytes, and as words of a shell.

Text is UTF-8, with surrogateescape for bytes that are not.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["shell_command", "shell_word", "to_bytes", "to_text"]


def to_bytes(text: str) -> bytes:
    """Return the bytes that the text stands for.

    Raises UnicodeEncodeError for a surrogate that stands for no byte.
    """
    return text.encode("utf-8", "surrogateescape")


def to_text(raw: bytes) -> str:
    """Return bytes as text, from which `to_bytes` makes them again."""
    return raw.decode("utf-8", "surrogateescape")


def shell_command(words: Iterable[str]) -> str:
    """Return one line of printable text that a shell parses as these words."""
    return " ".join(map(shell_word, words))


def shell_word(word: str) -> str:
    r"""Return printable text that a shell parses as this word.

    Bytes that cannot be printed or are not UTF-8 become `\xNN` within `$'...'`, which bash, ksh and
    zsh understand.
    """
    quoted = shlex.quote(word)
    if quoted.isprintable():
        return quoted
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in to_bytes(character))
