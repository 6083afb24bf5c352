"""Names inside an image that complete a word: what the shells' scripts ask for.

Only of local images: of one in S3, each word would cost requests, and may need credentials.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import TYPE_CHECKING

from s3archivefs.image import SquashFS
from s3archivefs.inode import FileKind
from s3archivefs.names import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["NAMES_MAX", "choices_inside", "names_inside", "unquoted"]

NAMES_MAX = 1000
"""Names that complete a word: who has more of them types on."""
_LEVELS_MAX = 64  # of directories that hold another, and nothing else
_QUOTES = ("", "'", '"')  # one may be open yet
_EXPANDED = frozenset(b"$`")  # readline leaves them unquoted, so that bash would run a name


def names_inside(words: Sequence[str]) -> Iterator[bytes]:
    """Yield what the last of a command's words may become, directories with a slash.

    The image is the first word that names a local file. Names with characters for terminals are
    left out, and those that would pass for options begin with `./`. Raises what opening and reading
    the image do.
    """
    *before, last = words
    source = next(filter(_is_file, before), None)
    if source is None:
        return
    above, slash, begun = encode(last).rpartition(b"/")
    with SquashFS(source, offset=_offset(before)) as image:
        entries = image.scandir(above or b"/", start=begun)
        for entry in islice(entries, NAMES_MAX):
            if not entry.name.startswith(begun):
                return
            if min(entry.name) >= ord(" "):
                end = b"/" if entry.kind is FileKind.DIRECTORY else b""
                path = above + slash + entry.name + end
                yield b"./" + path if path.startswith(b"-") else path


def choices_inside(words: Sequence[str]) -> list[bytes]:
    """Return likewise what to choose from: in place of a single directory, what it holds.

    bash takes a word that can become but one name for complete, and adds a space to it. Names that
    it would expand are left out: an image could have it run commands.
    """
    found = _as_they_are(names_inside(words))
    for _ in range(_LEVELS_MAX):
        if len(found) != 1 or not found[0].endswith(b"/"):
            break
        deeper = _as_they_are(names_inside([*words[:-1], os.fsdecode(found[0])]))
        found = deeper or found
    return found


def _as_they_are(names: Iterator[bytes]) -> list[bytes]:
    """Return the names that bash takes as they are, once readline has quoted them."""
    return [name for name in names if _EXPANDED.isdisjoint(name)]


def unquoted(word: str) -> str:
    """Return what a word of bash means, in which a quote may be open yet."""
    from shlex import split  # noqa: PLC0415 -- for bash alone, which gives words as they are typed

    for quote in _QUOTES:
        try:
            return "".join(split(word + quote))
        except ValueError:
            continue
    return word


def _is_file(word: str) -> bool:
    try:
        mode = os.stat(word).st_mode  # noqa: PTH116 -- pathlib takes 10 ms to import
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _offset(words: Sequence[str]) -> int:
    """Return the byte at which the image starts, as the words have it."""
    found = 0
    for word, following in zip(words, [*words[1:], ""], strict=True):
        value = following if word == "--offset" else word.removeprefix("--offset=")
        if word.startswith("--offset") and value.isascii() and value.isdigit():
            found = int(value)
    return found
