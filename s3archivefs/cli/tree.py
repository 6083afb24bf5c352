"""`s3archivefs tree`: draw what lies below a path."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from s3archivefs.cli.arguments import (
    add_image,
    add_json,
    add_no_op,
    add_paths,
    count,
    examples,
)
from s3archivefs.cli.colours import add_colours, colours_of
from s3archivefs.cli.descent import Descent, Top, descend, leads_to_directory
from s3archivefs.cli.described import described, target_of
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import counted, json_line, shown, write_lines
from s3archivefs.inode import FileKind
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from s3archivefs.cli.descent import Node
    from s3archivefs.cli.opened import Opened

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs tree docs.sqfs", "all of an image"),
    ("s3archivefs tree -d -L 2 s3://bucket/a.sqfs/linux", "two levels of directories"),
)

T = TypeVar("T")


class _Strokes(NamedTuple):
    """What stands before a name, and before all below it."""

    branch: str
    last_branch: str
    below: str
    below_last: str


_LINES = _Strokes("├── ", "└── ", "│   ", "    ")
_ASCII = _Strokes("|-- ", "`-- ", "|   ", "    ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `tree`."""
    add_image(parser)
    add_paths(parser, default="/")
    parser.add_argument(
        "-L", dest="level", type=count, metavar="N", help="at most N levels below each PATH"
    )
    parser.add_argument(
        "-d", dest="directories_only", action="store_true", help="directories alone"
    )
    add_no_op(parser, "-a", why="changes nothing: names that begin with a dot are there too")
    add_colours(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Draw the paths, and count what was drawn."""
    with opened(options) as found:
        drawing = _Drawing(found, options)
        for given in found.paths:
            path = decode(given)
            with found.faults.reported(path):
                write_lines(drawing.objects(path) if options.json else drawing.lines(path))
        if not options.json:
            sys.stdout.write(f"\n{drawing.totals}\n")
    return found.faults.code


class _Drawing:
    """What is drawn, and how much so far."""

    def __init__(self, found: Opened, options: argparse.Namespace) -> None:
        self._image = found.image
        self._faults = found.faults
        self._level: int | None = options.level
        self._directories_only: bool = options.directories_only
        self._colours = colours_of(options)
        self._strokes = _LINES if _can_be_shown("".join(_LINES)) else _ASCII
        self._directories = self._others = 0

    @property
    def totals(self) -> str:
        """How many directories and files were drawn below the paths."""
        directories = counted(self._directories, "directory", "directories")
        if self._directories_only:
            return directories
        return f"{directories}, {counted(self._others, 'file', 'files')}"

    def objects(self, path: str) -> Iterator[str]:
        """Yield lines of JSON, each with the depth below the path."""

        def line(depth: int, node: Node[str]) -> str:
            stat = node.stat(follow_symlinks=False)
            item = described(encode(node.path), stat, target_of(self._image, stat))
            return json_line({**item, "depth": depth})

        follow = leads_to_directory(self._image, path)
        nodes = descend(self._image, path, self._faults, max_depth=self._level, follow_top=follow)
        for depth, node in nodes:
            if self._is_drawn(node):
                with self._faults.reported(node.path):
                    yield line(depth, node)

    def lines(self, path: str) -> Iterator[str]:
        """Yield the lines of a drawing."""
        top = Top(self._image, path, follow_symlinks=leads_to_directory(self._image, path))
        descent = Descent(self._image)
        yield f"{self._name(top, path)}\n"
        indents = [""]
        on_the_way: list[Iterator[tuple[Node[str], bool]]] = []
        if top.kind is FileKind.DIRECTORY and self._level != 0:
            on_the_way.append(self._drawn(top, descent.entries(top, 0)))
        while on_the_way:
            depth = len(on_the_way)
            for node, is_last in on_the_way[-1]:
                branch = self._strokes.last_branch if is_last else self._strokes.branch
                yield f"{indents[-1]}{branch}{self._name(node, node.name)}\n"
                if node.kind is not FileKind.DIRECTORY:
                    self._others += 1
                    continue
                self._directories += 1
                if depth != self._level:
                    below = self._strokes.below_last if is_last else self._strokes.below
                    indents.append(indents[-1] + below)
                    on_the_way.append(self._drawn(node, descent.entries(node, depth)))
                    break
            else:
                on_the_way.pop()
                indents.pop()

    def _drawn(
        self, directory: Node[str], entries: Iterator[Node[str]]
    ) -> Iterator[tuple[Node[str], bool]]:
        """Yield the entries that are drawn, each with whether it is the last."""
        sound = self._faults.until_fault(entries, directory.path)
        return _with_end(filter(self._is_drawn, sound))

    def _is_drawn(self, node: Node[str]) -> bool:
        return not self._directories_only or node.kind is FileKind.DIRECTORY

    def _name(self, node: Node[str], name: str) -> str:
        """Return the name as it is drawn, with its colour and a symlink's target."""
        text = shown(name)
        with self._faults.reported(node.path):
            if self._colours is not None:
                text = self._colours.name(text, node.stat(follow_symlinks=False))
            if node.kind is FileKind.SYMLINK:
                text += f" -> {shown(self._image.target_of_node(node.reference))}"
        return text


def _with_end(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Yield each item, and whether it is the last."""
    items = iter(items)
    for item in items:
        for following in items:
            yield item, False
            item = following  # noqa: PLW2901 -- one behind
        yield item, True


def _can_be_shown(text: str) -> bool:
    """Return whether the encoding of the output has these characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
