"""Text: keys and paths as bytes, words of a shell, values of header fields.

Text is UTF-8, with surrogateescape for bytes that are not.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["header_text", "shell_command", "shell_word", "to_bytes", "to_text"]


def to_bytes(text: str) -> bytes:
    """Return the bytes that the text stands for.

    Raises UnicodeEncodeError for a surrogate that stands for no byte.
    """
    return text.encode("utf-8", "surrogateescape")


def to_text(raw: bytes) -> str:
    """Return bytes as text, from which `to_bytes` makes them again."""
    return raw.decode("utf-8", "surrogateescape")


def header_text(text: str) -> str:
    """Return text as one line of ASCII, with `?` for what is not.

    botocore signs other text as UTF-8, and sends it as latin-1; it signs a tab as a blank, and
    sends the tab. S3 would refuse the signature. So each line break, and each other control
    character, is a blank.
    """
    line = " ".join(text.splitlines())
    return re.sub(r"[\0-\x1f\x7f]", " ", line).encode("ascii", "replace").decode()


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
