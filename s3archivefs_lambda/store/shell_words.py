"""Commands in messages, quoted so that they can be pasted into a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["shell_command", "shell_word"]


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
