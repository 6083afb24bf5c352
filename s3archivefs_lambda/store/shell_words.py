"""Commands and their words as messages name them, to be given to a shell as they stand."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["shell_command", "shell_word"]


def shell_command(words: Iterable[str]) -> str:
    """One line of printable text that a shell takes for these words."""
    return " ".join(map(shell_word, words))


def shell_word(word: str) -> str:
    r"""Printable text that a shell takes for this word.

    What cannot be printed, or is not UTF-8, stands in `$'...'` as `\xNN` for each byte: bash, ksh
    and zsh take it so.
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
