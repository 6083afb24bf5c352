r"""Names as the commands print them: on one line, whatever their bytes are, and reversibly.

A backslash is printed as `\\`. What is not printable, or not UTF-8, is printed as `\xNN` for each
byte, and so is a hyphen at the start, since commands take it for an option. So no two names are
the same text; those whose letters or blanks look alike still do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["all_printed", "printed", "unprinted"]

_ESCAPE = re.compile(rb"\\(\\|x[0-9a-fA-F]{2})")


def printed(name: str | bytes, encoding: str = "utf-8") -> str:
    """Return a name or path as text that a terminal of that encoding can show."""
    if isinstance(name, bytes):
        name = decode(name)
    text = name
    if not _is_plain(name, encoding):
        text = "".join(c if _is_plain(c, encoding) else _escaped(c) for c in name)
    return _escaped("-") + text[1:] if text.startswith("-") else text


def all_printed(names: Sequence[str], encoding: str = "utf-8") -> Sequence[str]:
    """Return `printed` of each name: where none is odd, in a tenth of the time."""
    if _is_plain("".join(names), encoding) and not any(name.startswith("-") for name in names):
        return names
    return [printed(name, encoding) for name in names]


def unprinted(text: str) -> bytes:
    """Return the path that is printed as `text`.

    A name that `printed` never returns stands for itself.
    """
    return b"/".join(_unescaped(name) for name in encode(text).split(b"/"))


def _is_plain(text: str, encoding: str) -> bool:
    if "\\" in text or not text.isprintable():
        return False
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _escaped(character: str) -> str:
    if character == "\\":
        return r"\\"
    return "".join(f"\\x{byte:02x}" for byte in encode(character))


def _unescaped(name: bytes) -> bytes:
    plain = _ESCAPE.sub(_meant, name)
    is_printed = b"\\" not in _ESCAPE.sub(b"", name) and b"/" not in plain and b"\0" not in plain
    return plain if is_printed else name


def _meant(escape: re.Match[bytes]) -> bytes:
    return b"\\" if escape[1] == b"\\" else bytes([int(escape[1][1:], 16)])
