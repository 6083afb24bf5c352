"""`s3archivefs find`: search an image."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import add_image, add_json, add_paths, count, examples
from s3archivefs.cli.colours import add_colours, colours_of
from s3archivefs.cli.descent import descend
from s3archivefs.cli.described import described, long_line, target_of
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import json_line, shown, write_lines, write_names
from s3archivefs.cli.predicates import kinds, moment, predicates, size_range
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from s3archivefs.cli.colours import Colours
    from s3archivefs.cli.descent import Node
    from s3archivefs.cli.opened import Opened
    from s3archivefs.image import SquashFS

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs find docs.sqfs --name '*.md'", "paths whose last name ends in .md"),
    ("s3archivefs find docs.sqfs /linux --type f --size +1M --long", "files of more than 1 MiB"),
    ("s3archivefs find --newer 2026-11-01 -0 docs.sqfs | xargs -0 ...", "for another program"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `find`."""
    add_image(parser)
    add_paths(parser, default="/")
    wanted = parser.add_argument_group("what is wanted", "all of what is given must hold")
    wanted.add_argument("--name", metavar="GLOB", help="the last name matches")
    wanted.add_argument("--iname", metavar="GLOB", help="likewise, whatever the case of letters")
    wanted.add_argument("--path", metavar="GLOB", help="the whole path matches; * takes / too")
    wanted.add_argument(
        "--type",
        type=kinds,
        metavar="f,d,l,b,c,p,s",
        help="it is a file, directory, symlink, block or character device, fifo or socket",
    )
    wanted.add_argument(
        "--size",
        type=size_range,
        metavar="[+-]N[ckMG]",
        help="it has more (+N), less (-N) or just N bytes (c), KiB, MiB or GiB",
    )
    wanted.add_argument(
        "--newer",
        type=moment,
        metavar="TIME",
        help="it was modified after a date (UTC, 2026-11-28T12:00) or so many seconds since 1970",
    )
    wanted.add_argument("--xattr", metavar="NAME", help="it has that extended attribute")
    wanted.add_argument(
        "--empty", action="store_true", help="it is a file or directory with nothing in it"
    )
    parser.add_argument(
        "--max-depth", type=count, metavar="N", help="at most N levels below each PATH"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "-0",
        "--print0",
        action="store_true",
        help="write paths as they are, each with a NUL behind it",
    )
    form.add_argument("--long", action="store_true", help="mode, owner, size and time, as ls -l")
    add_json(form)
    add_colours(parser)


def run(options: argparse.Namespace) -> int:
    """Write what is wanted, as it is found."""
    with opened(options) as found:
        faults = found.faults
        tests = [faults.guarded(test, _path_of) for test in predicates(options, found.image)]
        for given in found.paths:
            path = decode(given)
            with faults.reported(path):
                steps = descend(found.image, path, faults, max_depth=options.max_depth)
                nodes: Iterable[Node[str]] = (node for _, node in steps)
                for test in tests:
                    nodes = filter(test, nodes)
                _write(nodes, found, options)
    return faults.code


def _write(nodes: Iterable[Node[str]], found: Opened, options: argparse.Namespace) -> None:
    colours = colours_of(options)
    form: Callable[[Node[str]], str]
    if options.print0:
        for node in nodes:
            sys.stdout.buffer.write(encode(node.path) + b"\0")
        return
    if options.json:
        form = partial(_object, found.image)
    elif options.long:
        form = partial(_line, found.image, colours)
    elif colours is not None:
        form = partial(_painted_line, colours)
    else:
        write_names(node.path for node in nodes)
        return
    lines = map(found.faults.guarded(form, _path_of), nodes)
    write_lines(line for line in lines if line is not None)


def _path_of(node: Node[str]) -> str:
    return node.path


def _object(image: SquashFS, node: Node[str]) -> str:
    stat = node.stat(follow_symlinks=False)
    return json_line(described(encode(node.path), stat, target_of(image, stat)))


def _line(image: SquashFS, colours: Colours | None, node: Node[str]) -> str:
    stat, text = node.stat(follow_symlinks=False), shown(node.path)
    name = text if colours is None else colours.name(text, stat)
    return long_line(name, stat, target_of(image, stat))


def _painted_line(colours: Colours, node: Node[str]) -> str:
    return f"{colours.name(shown(node.path), node.stat(follow_symlinks=False))}\n"
