"""What `find` asks of a file: functions from a node to whether it is wanted."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from s3archivefs.cli.globs import expression
from s3archivefs.inode import FileKind
from s3archivefs.names import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from s3archivefs.cli.descent import Node
    from s3archivefs.image import SquashFS

    Predicate: TypeAlias = Callable[[Node[str]], bool]

__all__ = ["kinds", "moment", "predicates", "size_range"]

_LETTERS = {
    "f": FileKind.FILE,
    "d": FileKind.DIRECTORY,
    "l": FileKind.SYMLINK,
    "b": FileKind.BLOCK_DEVICE,
    "c": FileKind.CHAR_DEVICE,
    "p": FileKind.FIFO,
    "s": FileKind.SOCKET,
}
_UNITS = {"": 1, "c": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def predicates(options: argparse.Namespace, image: SquashFS) -> Iterator[Predicate]:
    """Yield a predicate for each option, those first that cost least."""
    if options.type is not None:
        wanted = options.type
        yield lambda node: node.kind in wanted
    if options.name is not None:
        name = _matching(options.name)
        yield lambda node: name(node.name) is not None
    if options.iname is not None:
        iname = _matching(options.iname, re.IGNORECASE)
        yield lambda node: iname(node.name) is not None
    if options.path is not None:
        path = _matching(options.path)
        yield lambda node: path(node.path) is not None
    if options.size is not None:
        sizes = options.size
        yield lambda node: node.stat(follow_symlinks=False).size in sizes
    if options.newer is not None:
        newer = options.newer
        yield lambda node: node.stat(follow_symlinks=False).mtime > newer
    if options.empty:
        yield _is_empty
    if options.xattr is not None:
        yield _having(options.xattr, image)


def _matching(name: str, flags: int = 0) -> Callable[[str], re.Match[str] | None]:
    """Return what matches a glob, in which a star takes slashes too."""
    return re.compile(expression(name), flags).match


def _is_empty(node: Node[str]) -> bool:
    """Return whether a node is a file without content, or a directory without entries."""
    if node.kind is FileKind.DIRECTORY:
        return next(node.scandir(), None) is None
    return node.kind is FileKind.FILE and not node.stat(follow_symlinks=False).size


def _having(xattr: str, image: SquashFS) -> Predicate:
    if not image.has_xattrs:
        return lambda _: False
    name = encode(xattr)
    return lambda node: name in image.xattrs_of_node(node.reference)


# ---- Arguments -----------------------------------------------------------------------------------


def kinds(text: str) -> frozenset[FileKind]:
    """Return the kinds that letters between commas stand for, for argparse."""
    letters = text.split(",")
    if unknown := [letter for letter in letters if letter not in _LETTERS]:
        known = ", ".join(_LETTERS)
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no type; there are {known}")
    return frozenset(_LETTERS[letter] for letter in letters)


def size_range(text: str) -> range:
    """Return the sizes that `+N`, `-N` or `N` with a unit stands for, for argparse."""
    found = re.fullmatch(r"([+-]?)([0-9]{1,4000})([ckMG]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: +N for more, -N for less, or N, in bytes (c), k, M or G"
        )
    size = int(found[2]) * _UNITS[found[3]]
    return {"+": range(size + 1, 1 << 64), "-": range(size)}.get(found[1], range(size, size + 1))


def moment(text: str) -> float:
    """Return seconds since the epoch, from those or from a date in UTC, for argparse."""
    if text.removeprefix("@").isdecimal() and text.isascii():
        return int(text.removeprefix("@"))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: 2026-11-28, 2026-11-28T12:00, or seconds since 1970"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
