"""`s3archivefs pack`: make an image of directories, archives and files."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

from s3archivefs.cli.arguments import UsageError, add_json, count, examples
from s3archivefs.cli.output import counted, human_size, named, shown, write_json
from s3archivefs.cli.pack_sources import members_of, source_of
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.errors import PackingError
from s3archivefs.inode import FileKind
from s3archivefs.names import encode
from s3archivefs.writer.compressors import compressor_for
from s3archivefs.writer.entries import Entry
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.inputs.arranged import Exclusion, order_of
from s3archivefs.writer.options import COMPRESSORS, PackOptions
from s3archivefs.writer.output import FileOutput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs.cli.progress import Progress
    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.image_writer import Packed
    from s3archivefs.writer.output import Output

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs pack photos photos.sqfs", "a directory"),
    ("s3archivefs pack --compressor none --no-fragments photos photos.sqfs", "of JPEG files"),
    ("tar c docs | s3archivefs pack - docs.sqfs", "a tar stream"),
    ("s3archivefs pack a.zip b.tar.zst notes both.sqfs", "what they hold, and a directory notes"),
    note="One directory's members go to the image's root, each of several under its name; what "
    "archives hold keeps its paths. A later member of the same path takes the place of an earlier "
    "one.",
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
_EXISTS = "exists; --force replaces it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pack`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a directory, a tar stream (compressed or not; - is standard input), a zip archive, a "
        "squashfs image, or any other file",
    )
    parser.add_argument("image", metavar="IMAGE", help="the image to make")
    parser.add_argument(
        "--compressor",
        choices=(*COMPRESSORS, "none"),
        default="zstd",
        help="how blocks are compressed (zstd); none for files that are compressed already",
    )
    parser.add_argument("--level", type=count, metavar="N", help="the compressor's level")
    parser.add_argument(
        "--block-size",
        type=_block_size,
        default=128 << 10,
        metavar="BYTES",
        help="a power of two from 4K to 1M (128K)",
    )
    parser.add_argument(
        "--no-fragments", action="store_true", help="give each file blocks of its own"
    )
    parser.add_argument(
        "--tail-ends", action="store_true", help="let last parts of larger files share blocks too"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out what matches, and all below: a pattern without a slash matches names at "
        "any depth, one with a slash paths from the source's root; may be given several times",
    )
    parser.add_argument(
        "--order",
        metavar="FILE",
        help="store the files first that this file names: a path a line, as ls -R prints it, from "
        "the image's root",
    )
    parser.add_argument(
        "--checksums",
        action="store_true",
        help="give each file its SHA-256 as the attribute user.sha256",
    )
    parser.add_argument(
        "--xattrs",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pack extended attributes of files on disk, which is the default",
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace an image that exists")
    add_progress(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Pack the sources, and say what the image holds."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no half image behind
    manner = _manner(options)
    exclusion = Exclusion(options.exclude)
    first = order_of(options.order) if options.order else []
    with _existing_explained(), ExitStack() as opened:
        output = _output(options)
        opened.callback(output.abandon)  # does nothing once the image is whole
        without = output.identities if isinstance(output, FileOutput) else frozenset()
        sources = [
            source_of(each, exclusion, opened, xattrs=options.xattrs, without=without)
            for each in options.sources
        ]
        members = members_of(sources, exclusion, first)
        with progress_shown(options.progress) as progress:
            packed = _pack(members, output, manner, progress)
    _report(options, packed)
    return 0


def _manner(options: argparse.Namespace) -> PackOptions:
    """Return how to pack. Raises UsageError where no image can be packed so."""
    try:
        manner = PackOptions(
            compressor=options.compressor,
            level=options.level,
            block_size=options.block_size,
            fragments=not options.no_fragments,
            tail_ends=options.tail_ends,
            checksums=options.checksums,
        )
        compressor_for(manner)
    except PackingError as error:
        raise UsageError(str(error)) from error
    return manner


def _pack(
    members: Iterable[Member], output: Output, manner: PackOptions, progress: Progress
) -> Packed:
    """Write the image, or leave none."""
    writer = ImageWriter(output, manner)
    try:
        for member in members:
            is_file = isinstance(member, Entry) and member.kind is FileKind.FILE
            progress(is_file, writer.add(member))
    except BaseException:
        writer.abandon()
        raise
    return writer.finish()


@contextmanager
def _existing_explained() -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, _EXISTS, error.filename) from None


def _output(options: argparse.Namespace) -> Output:
    image = options.image
    if not image:
        raise UsageError("the name of the IMAGE is empty: give a path")
    if "://" in image:
        _no_output(image)
    return FileOutput(image, replace=options.force)


def _no_output(image: str) -> NoReturn:
    scheme = image.partition("://")[0]
    raise UsageError(f"{image}: images are written to files; upload sends them to {scheme}://")


def _block_size(text: str) -> int:
    """Return a number of bytes, which may end in K or M, for argparse."""
    unit = text[-1:].upper() if text[-1:].upper() in _UNITS else ""
    digits = text[: -len(unit)] if unit else text
    if not (digits.isascii() and digits.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 128K")
    return int(digits) * _UNITS[unit]


def _report(options: argparse.Namespace, packed: Packed) -> None:
    if options.json:
        write_json(
            {
                **named("image", encode(options.image)),
                "size": packed.size,
                "inodes": packed.inodes,
                "files": packed.files,
                "content_size": packed.content_bytes,
                "duplicates": packed.duplicates,
            }
        )
        return
    print(
        f"{shown(os.fspath(options.image))}: {counted(packed.files, 'file', 'files')} of "
        f"{human_size(packed.content_bytes)} in {human_size(packed.size)}",
        file=sys.stdout,
    )
