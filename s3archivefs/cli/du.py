"""`s3archivefs du`: sum up how much lies below a path."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import add_image, add_json, add_paths, count, examples
from s3archivefs.cli.descent import SeenInodes, descend
from s3archivefs.cli.described import KIND_NAMES
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import human_size, json_line, named, shown, write_lines
from s3archivefs.inode import FileKind
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from s3archivefs.cli.descent import Node
    from s3archivefs.cli.opened import Opened
    from s3archivefs.inode import Stat

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs du -h docs.sqfs", "bytes of content below each directory"),
    ("s3archivefs du -sh docs.sqfs /linux /git", "a line for each of these two"),
    note="A regular file counts once, where it comes first, however many hard links or PATHs lead "
    "to it.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `du`."""
    add_image(parser)
    add_paths(parser, default="/")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument(
        "-s",
        "--summarize",
        dest="max_depth",
        action="store_const",
        const=0,
        help="a line for each PATH alone",
    )
    depth.add_argument(
        "--max-depth", type=count, metavar="N", help="lines for at most N levels below each PATH"
    )
    parser.add_argument("-a", "--all", action="store_true", help="files too, not directories alone")
    parser.add_argument(
        "-h", "--human-readable", dest="human", action="store_true", help="sizes as 1.2K or 38M"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the sums, of a directory behind those of what it holds."""
    with opened(options) as found:
        seen = _Seen(is_met_again=len(found.paths) > 1)
        for path in found.paths:
            with found.faults.reported(path):
                sums = _sums(found, decode(path), seen)
                write_lines(_line(each, options) for each in sums if _is_wanted(each, options))
    return found.faults.code


class _Seen:
    """Regular files that were counted, of all paths together."""

    def __init__(self, *, is_met_again: bool) -> None:
        self._inodes = SeenInodes()
        self._is_met_again = is_met_again
        """Whether also what has one link may be met twice."""

    def add(self, stat: Stat) -> bool:
        """Add a file; return whether it is new."""
        may_be_old = self._is_met_again or stat.nlink > 1
        return not may_be_old or self._inodes.add(stat.reference)


class _Sum:
    """What a path holds: bytes of content, and regular files that are new."""

    def __init__(self, node: Node[str], depth: int, size: int = 0, files: int = 0) -> None:
        self.path = node.path
        self.kind = node.kind
        self.depth = depth
        self.size = size
        self.files = files


def _sums(found: Opened, path: str, seen: _Seen) -> Iterator[_Sum]:
    """Yield the sum of each path from the lowest up."""
    sum_of = found.faults.guarded(partial(_of_other, seen), lambda step: step[1].path)
    on_the_way: list[_Sum] = []
    for step in descend(found.image, path, found.faults):
        depth, node = step
        yield from _ended(on_the_way, depth)
        if node.kind is FileKind.DIRECTORY:
            on_the_way.append(_Sum(node, depth))
        elif (own := sum_of(step)) is not None:
            yield own
            if on_the_way:
                on_the_way[-1].size += own.size
                on_the_way[-1].files += own.files
    yield from _ended(on_the_way, 0)


def _of_other(seen: _Seen, step: tuple[int, Node[str]]) -> _Sum | None:
    """Return the sum of what is no directory; None for a file seen before."""
    depth, node = step
    if node.kind is not FileKind.FILE:
        return _Sum(node, depth)
    stat = node.stat(follow_symlinks=False)
    if not seen.add(stat):
        return None
    return _Sum(node, depth, stat.size, 1)


def _ended(on_the_way: list[_Sum], depth: int) -> Iterator[_Sum]:
    """Yield the directories that end where a path of that depth comes next."""
    while len(on_the_way) > depth:
        ended = on_the_way.pop()
        yield ended
        if on_the_way:
            on_the_way[-1].size += ended.size
            on_the_way[-1].files += ended.files


def _is_wanted(each: _Sum, options: argparse.Namespace) -> bool:
    if options.max_depth is not None and each.depth > options.max_depth:
        return False
    return each.kind is FileKind.DIRECTORY or each.depth == 0 or options.all


def _line(each: _Sum, options: argparse.Namespace) -> str:
    if options.json:
        kind, path = KIND_NAMES[each.kind], named("path", encode(each.path))
        return json_line({**path, "kind": kind, "size": each.size, "files": each.files})
    size = human_size(each.size) if options.human else each.size
    return f"{size}\t{shown(each.path)}\n"
