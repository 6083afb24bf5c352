"""`s3archivefs pack`: make an image of directories, archives and files."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, add_json, examples
from s3archivefs.cli.changing import counts
from s3archivefs.cli.exit_codes import OK
from s3archivefs.cli.interruption import interrupt_at_signals
from s3archivefs.cli.output import counted, human_size, named, shown, write_json
from s3archivefs.cli.pack_sources import repeated_sizes_of, size_of
from s3archivefs.cli.packing import Packing, add_packing_arguments, add_sources
from s3archivefs.cli.read_back import faults_of
from s3archivefs.names import encode
from s3archivefs.writer.compressors import compressor_for
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.options import COMPRESSORS, PackOptions
from s3archivefs.writer.output import FileOutput

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.image_writer import Packed
    from s3archivefs.writer.output import Output

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs pack photos photos.sqfs", "a directory"),
    ("s3archivefs pack --compressor none --no-fragments photos photos.sqfs", "of JPEG files"),
    ("tar c docs | s3archivefs pack - docs.sqfs", "a tar stream"),
    ("s3archivefs pack a.zip b.tar.zst notes both.sqfs", "what they hold, and a directory notes"),
    ("s3archivefs pack photos s3://my-bucket/photos.sqfs", "into S3, without a temporary file"),
    ("s3archivefs pack s3://my-bucket/raw/ s3://my-bucket/raw.sqfs", "objects into one archive"),
    note="One directory's members go to the image's root, each of several under its name; what "
    "archives hold keeps its paths. A later member of the same path takes the place of an earlier "
    "one.",
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
_EXISTS = "exists; --force replaces it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pack`."""
    add_sources(parser)
    parser.add_argument(
        "target", metavar="IMAGE", help="the image to make, or its URL: s3://bucket/key"
    )
    parser.add_argument(
        "--compressor",
        choices=(*COMPRESSORS, "none"),
        default="zstd",
        help="how blocks are compressed (zstd); none for files that are compressed already",
    )
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
    add_packing_arguments(parser)
    parser.add_argument("-f", "--force", action="store_true", help="replace an image that exists")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Pack the sources, and say what the image holds."""
    interrupt_at_signals()  # and leave no half image behind
    manner = _manner(options)
    with _existing_explained(), ExitStack() as opened:
        packing = Packing(options, opened)
        # A file is made before the sources are looked at, since it may be among them.
        local = None if "://" in options.target else _file_output(options)
        if local is not None:
            opened.callback(local.abandon)  # does nothing once the image is whole
        sources = packing.sources(
            options.target, local.identities if local is not None else frozenset()
        )
        output = local or _remote_output(options, size_of(sources))
        opened.callback(output.abandon)
        repeated = None if options.checksums else repeated_sizes_of(sources)
        packed = _pack(packing, packing.members(sources), output, manner, repeated)
    code = faults_of(options.target, checksums=options.checksums) if options.verify else OK
    _report(options, packed)
    return code


def _manner(options: argparse.Namespace) -> PackOptions:
    """Return how to pack. Raises PackOptionsError where no image can be packed so."""
    manner = PackOptions(
        compressor=options.compressor,
        level=options.level,
        block_size=options.block_size,
        fragments=not options.no_fragments,
        tail_ends=options.tail_ends,
        checksums=options.checksums,
    )
    compressor_for(manner)
    return manner


def _pack(
    packing: Packing,
    members: Iterable[Member],
    output: Output,
    manner: PackOptions,
    repeated_sizes: Container[int] | None,
) -> Packed:
    """Write the image, or leave none."""
    writer = ImageWriter(output, manner, repeated_sizes=repeated_sizes)
    try:
        packing.add(members, writer)
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


def _file_output(options: argparse.Namespace) -> FileOutput:
    if not options.target:
        raise UsageError("the name of the IMAGE is empty: give a path")
    return FileOutput(options.target, replace=options.force)


def _remote_output(options: argparse.Namespace, estimate: int | None) -> Output:
    """Return the output at a URL, by an installed package that knows its scheme."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 20 ms, and few commands need it

    scheme = options.target.partition("://")[0]
    for entry in entry_points(group="s3archivefs.outputs", name=scheme):
        made: Output = entry.load()(options.target, estimate=estimate, replace=options.force)
        return made
    raise UsageError(f"{options.target}: no installed package writes images to {scheme}:// URLs")


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
                **named("image", encode(options.target)),
                "size": packed.size,
                **counts(packed),
            }
        )
        return
    print(
        f"{shown(os.fspath(options.target))}: {counted(packed.files, 'file', 'files')} of "
        f"{human_size(packed.content_bytes)} in {human_size(packed.size)}",
        file=sys.stdout,
    )
