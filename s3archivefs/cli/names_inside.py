r"""Names inside an image that complete a word: what the shells' scripts ask for.

Only of local images: of one in S3, each word would cost requests, and may need credentials. A name
that a shell cannot take as it is becomes what `ls` prints of it, with `\xNN` for characters.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import closing
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING

from s3archivefs.cli.faults import EXPECTED
from s3archivefs.cli.opened import place_meant
from s3archivefs.device import FileDevice
from s3archivefs.device_reads import read_exactly
from s3archivefs.image import SquashFS
from s3archivefs.inode import FileKind
from s3archivefs.names import decode, encode
from s3archivefs.printed import printed, unprinted
from s3archivefs.superblock import is_image_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s3archivefs.entry import DirEntry

__all__ = ["NAMES_MAX", "UNSAFE", "image_and_path", "names_inside", "names_joined", "unquoted"]

NAMES_MAX = 1000
"""Names that complete a word: who has more of them types on."""
UNSAFE = {
    # readline leaves the first two unquoted, so that bash would expand or run a name; bash takes
    # the third for an earlier command between quotes.
    "bash": re.compile(r"[$`!]"),
    "zsh": re.compile(r"\0"),
    "fish": re.compile(r"\0"),
    # tcsh takes a list apart at blanks, and expands braces in it, and what begins so.
    "tcsh": re.compile(r"^[~=]|[ {}]"),
}
"""By shell the printable characters that it cannot take within a name."""
_QUOTES = ("", "'", '"')  # one may be open yet


def names_inside(words: Sequence[str], shell: str) -> Iterator[bytes]:
    """Yield what the last word of a command may become, directories with a slash.

    The image is the first word that names a local one. Names that would pass for options begin with
    `./`. Raises what opening and reading the image do.
    """
    *before, last = words
    offset = _offset(before)
    for word in before:
        if image := _image(word, offset):
            for path in _paths(image, offset, last, UNSAFE[shell]):
                yield b"./" + path if path.startswith(b"-") else path
            return


def names_joined(words: Sequence[str], shell: str) -> Iterator[bytes]:
    """Yield likewise what an image with a path inside, as one word, may become."""
    *before, last = words
    offset = _offset(before)
    if found := image_and_path(last, offset):
        image, end = found
        for path in _paths(image, offset, last[end:], UNSAFE[shell]):
            yield encode(last[:end]) + path


def image_and_path(word: str, offset: int = 0) -> tuple[str, int] | None:
    """Return the local image a word begins with, and where the path starts; or None."""
    end = word.find("/", 1)
    while end > 0:
        if image := _image(word[:end], offset):
            return image, end
        end = word.find("/", end + 1)
    return None


def unquoted(word: str) -> str:
    """Return what a word of bash means, in which a quote may be open yet."""
    from shlex import split  # noqa: PLC0415 -- for bash alone, which gives words as they are typed

    for quote in _QUOTES:
        try:
            return "".join(split(word + quote))
        except ValueError:
            continue
    return word


def _paths(image: str, offset: int, typed: str, unsafe: re.Pattern[str]) -> Iterator[bytes]:
    """Yield the paths in the image that a path may become."""
    above, slash, begun = typed.rpartition("/")
    plain = encode(begun.partition("\\")[0])  # what is behind may be printed
    with SquashFS(image, offset=offset) as opened:
        top = place_meant(opened, above) if above else b"/"
        for entry in _entries(opened, top, plain):
            name = _spelled(entry.name, unsafe)
            if name.startswith(begun) or decode(entry.name).startswith(begun):
                end = "/" if entry.kind is FileKind.DIRECTORY else ""
                yield encode(above + slash + name + end)


def _entries(image: SquashFS, top: bytes, begun: bytes) -> Iterator[DirEntry[bytes]]:
    """Yield the entries of a directory that begin so: the first, and some of more.

    The latter have no more in common with the first than all have: a shell adds that to a word.
    """
    first = shared = b""
    for entry in islice(_from(image, top, begun, begun), NAMES_MAX):
        first = first or entry.name
        shared = _shared(first, entry.name)
        yield entry
    while len(shared) > len(begun):
        *before, end = shared.rstrip(b"\xff") or b"\xff"
        if end == 0xFF:
            return
        behind = next(_from(image, top, bytes([*before, end + 1]), begun), None)
        if behind is None:
            return
        shared = _shared(shared, behind.name)
        yield behind


def _shared(one: bytes, other: bytes) -> bytes:
    """Return what both begin with."""
    pairs = zip(one, other, strict=False)
    differing = (place for place, (left, right) in enumerate(pairs) if left != right)
    return one[: next(differing, min(len(one), len(other)))]


def _from(image: SquashFS, top: bytes, start: bytes, begun: bytes) -> Iterator[DirEntry[bytes]]:
    """Yield the entries from a name on, as long as they begin so."""
    return takewhile(lambda entry: entry.name.startswith(begun), image.scandir(top, start=start))


def _spelled(stored: bytes, unsafe: re.Pattern[str]) -> str:
    """Return a name as a word can have it that means that name."""
    name = decode(stored)
    if name.isprintable() and unprinted(name) == stored and not unsafe.search(name):
        return name
    return unsafe.sub(lambda found: _escaped(found[0]), printed(name))


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in encode(character))


def _image(word: str, offset: int) -> str | None:
    """Return the path of the local image that a word names, or None."""
    # What the shell would make of it, or of some of it: it gives words as they are typed.
    for path in dict.fromkeys((word, os.path.expandvars(os.path.expanduser(word)))):  # noqa: PTH111 -- pathlib takes 10 ms to import
        try:
            if not _holds_data(os.stat(path).st_mode):  # noqa: PTH116 -- likewise
                continue
            with closing(FileDevice(path)) as device:
                if is_image_start(read_exactly(device, offset, 4, "the magic number")):
                    return os.path.abspath(path)  # noqa: PTH100 -- likewise; no URL is one
        except EXPECTED:
            continue
    return None


def _holds_data(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _offset(words: Sequence[str]) -> int:
    """Return the byte at which the image starts, as the words have it."""
    found = 0
    for word, following in pairwise([*words, ""]):
        value = following if word == "--offset" else word.removeprefix("--offset=")
        if word.startswith("--offset") and value.isascii() and value.isdigit():
            found = int(value)
    return found
