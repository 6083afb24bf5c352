"""`s3archivefs ls`: list directories of an image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import add_image, add_json, add_no_op, add_paths, examples
from s3archivefs.cli.colours import add_colours, colours_of
from s3archivefs.cli.descent import Descent, Top, leads_to_directory
from s3archivefs.cli.described import described, long_line, target_of
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import in_columns, json_line, shown, write_lines, write_names
from s3archivefs.inode import FileKind, Stat
from s3archivefs.names import decode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeAlias, TypeVar

    from s3archivefs.cli.descent import Node
    from s3archivefs.cli.opened import Opened
    from s3archivefs.image import SquashFS

    Named: TypeAlias = tuple[bytes, Stat]
    Below: TypeAlias = tuple[bytes, Stat, Node[bytes]]
    T = TypeVar("T", Named, Below)

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs ls docs.sqfs", "names in the root directory"),
    ("s3archivefs ls -lh docs.sqfs /linux", "with mode, owner, size and time"),
    ("s3archivefs ls -R --json s3://bucket/a.sqfs/linux", "all below, for a program"),
)

_UNREAD = Stat(0, 0, 0, 0, 0, 0, 0, FileKind.FILE, 0, 0)
"""For attributes that nothing depends on."""
_SORTING: dict[str, Callable[[Named | Below], Any]] = {
    "name": lambda item: item[0],
    "size": lambda item: (-item[1].size, item[0]),
    "time": lambda item: (-item[1].mtime, item[0]),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ls`."""
    add_image(parser)
    add_paths(parser, default="/")
    parser.add_argument("-l", dest="long", action="store_true", help="mode, owner, size and time")
    parser.add_argument(
        "-h", "--human-readable", dest="human", action="store_true", help="sizes as 1.2K or 38M"
    )
    add_no_op(
        parser,
        "-a",
        "-A",
        "--all",
        why="changes nothing: names that begin with a dot are there too",
    )
    parser.add_argument("-R", "--recursive", action="store_true", help="all directories below too")
    parser.add_argument("-d", "--directory", action="store_true", help="directories themselves")
    parser.add_argument(
        "-1", dest="single", action="store_true", help="one name a line, also on a terminal"
    )
    parser.add_argument(
        "--sort",
        choices=(*_SORTING, "none"),
        default="name",
        help="by name, by size from the largest, by time from the newest (name)",
    )
    for letter, order in (("-S", "size"), ("-t", "time")):
        parser.add_argument(
            letter, dest="sort", action="store_const", const=order, help=f"as --sort {order}"
        )
    parser.add_argument("-r", "--reverse", action="store_true", help="in the other order")
    add_colours(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """List the paths: first those that are no directories, as ls(1) does."""
    with opened(options) as found:
        listing = _Listing(found, options)
        directories: list[Named] = []
        files: list[Named] = []
        for path in found.paths:
            with found.faults.reported(path):
                stat = found.image.stat(path, follow_symlinks=False)
                if not options.directory and _is_listed(found.image, path, stat, options):
                    directories.append((path, found.image.stat(path)))
                else:
                    files.append((path, stat))
        listing.write_files(listing.named(files))
        listing.headed = options.recursive or len(found.paths) > 1
        write = listing.list_tree if options.recursive else listing.list_directory
        for path, _ in listing.named(directories):
            write(path)
    return found.faults.code


def _is_listed(image: SquashFS, path: bytes, stat: Stat, options: argparse.Namespace) -> bool:
    """Return whether the contents are listed: of a link to a directory only without -l."""
    if stat.kind is FileKind.SYMLINK and not options.long:
        return leads_to_directory(image, path)
    return stat.kind is FileKind.DIRECTORY


class _Listing:
    """What is listed, and how."""

    def __init__(self, found: Opened, options: argparse.Namespace) -> None:
        self.found = found
        self.options = options
        self._colours = colours_of(options)
        is_described = options.long or options.json or self._colours is not None
        self._needs_stats = is_described or options.sort in {"size", "time"}
        self._stat = found.faults.guarded(_stat_of, lambda node: node.path)
        self.headed = False
        """Whether each directory's names come under a line with its path."""
        self._first = True

    def list_directory(self, path: bytes) -> None:
        """List a directory."""
        image, faults = self.found.image, self.found.faults
        with faults.reported(path):
            if self._needs_stats:
                prefix = _prefix(path)
                items = image.scandir_stats(
                    path, on_error=lambda name, error: faults.report(error, prefix + name)
                )
                self._list(path, items)
            else:
                self._list(path, ((entry.name, _UNREAD) for entry in image.scandir(path)))

    def list_tree(self, path: bytes) -> None:
        """List a directory and all below it, depth first."""
        image, faults = self.found.image, self.found.faults
        descent = Descent(image)
        todo: list[tuple[int, Node[bytes]]] = []
        with faults.reported(path):
            todo.append((0, Top(image, path, follow_symlinks=True)))
        while todo:
            depth, node = todo.pop()
            below: list[Below] = []
            with faults.reported(node.path):
                descent.enter(node, depth)
                self._list(node.path, self._noting_directories(node.scandir(), below))
            todo += ((depth + 1, each) for _, _, each in reversed([*self.sorted(below)]))

    def _list(self, path: bytes, items: Iterable[Named]) -> None:
        self._head(path)
        self.write(self.sorted(items), _prefix(path))

    def _noting_directories(
        self, nodes: Iterable[Node[bytes]], below: list[Below]
    ) -> Iterator[Named]:
        """Yield names with attributes; put the directories among them into a list."""
        for node in nodes:
            stat = self._stat(node) if self._needs_stats else _UNREAD
            if node.kind is FileKind.DIRECTORY:
                below.append((node.name, stat or _UNREAD, node))
            if stat is not None:  # else that was reported
                yield node.name, stat

    def named(self, items: list[Named]) -> Iterable[Named]:
        """Return paths that are named, with attributes, in the order that the options ask for."""
        by_name = items if self.options.sort == "none" else sorted(items, key=_SORTING["name"])
        return self.sorted(by_name)

    def sorted(self, items: Iterable[T]) -> Iterable[T]:
        """Return likewise what the image has in the order of names."""
        order, reverse = self.options.sort, self.options.reverse
        if order == "none" or (order == "name" and not reverse):
            return items  # as the image has them
        return sorted(items, key=_SORTING[order], reverse=reverse)

    def write_files(self, items: Iterable[Named]) -> None:
        """Write paths that are named and no directories, with attributes."""
        items = [*items]
        self.write(items, b"")
        self._first = not items

    def write(self, items: Iterable[Named], prefix: bytes) -> None:
        """Write names with attributes; `prefix` is the path of their directory."""
        if self.options.json:
            write_lines(self._json_lines(items, prefix))
        elif self.options.long:
            write_lines(self._long_lines(items, prefix))
        elif not self.options.single and sys.stdout.isatty():
            self._write_columns([*items])
        elif self._colours is None:
            write_names(decode(name) for name, _ in items)
        else:
            write_lines(f"{self._painted(name, stat)}\n" for name, stat in items)

    def _json_lines(self, items: Iterable[Named], prefix: bytes) -> Iterator[str]:
        image = self.found.image
        for name, stat in items:
            with self.found.faults.reported(prefix + name):
                yield json_line(described(prefix + name, stat, target_of(image, stat)))

    def _long_lines(self, items: Iterable[Named], prefix: bytes) -> Iterator[str]:
        image, human = self.found.image, self.options.human
        for name, stat in items:
            name_shown = self._painted(name, stat)
            with self.found.faults.reported(prefix + name):
                yield long_line(name_shown, stat, target_of(image, stat), human=human)

    def _write_columns(self, items: list[Named]) -> None:
        from shutil import get_terminal_size  # noqa: PLC0415 -- 2 ms, for a terminal alone

        names = [shown(name) for name, _ in items]
        painted = [self._painted(name, stat) for name, stat in items]
        for line in in_columns(names, get_terminal_size().columns, painted):
            sys.stdout.write(line + "\n")

    def _painted(self, name: bytes, stat: Stat) -> str:
        text = shown(name)
        return text if self._colours is None else self._colours.name(text, stat)

    def _head(self, path: bytes) -> None:
        if self.headed and not self.options.json:
            sys.stdout.write(f"{'' if self._first else chr(10)}{shown(path)}:\n")
        self._first = False


def _prefix(path: bytes) -> bytes:
    """Return what the path of anything in a directory begins with."""
    return path if path.endswith(b"/") else path + b"/"


def _stat_of(node: Node[bytes]) -> Stat:
    return node.stat(follow_symlinks=False)
