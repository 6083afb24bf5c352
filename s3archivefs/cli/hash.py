"""`s3archivefs hash`: checksums of files in an image, as sha256sum(1) writes and checks them."""

from __future__ import annotations

import errno
import hashlib
import sys
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from s3archivefs.cli.arguments import UsageError, add_image, add_json, add_paths, examples
from s3archivefs.cli.descent import descend
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import named, shown, write_json
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.cli.totals import totals
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    import argparse
    import io
    from collections.abc import Iterator

    from s3archivefs.cli.opened import Opened
    from s3archivefs.cli.progress import Progress

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs hash docs.sqfs > SHA256SUMS", "every file; check: sha256sum -c SHA256SUMS"),
    ("s3archivefs hash docs.sqfs /README.md /linux", "a file, and all files of a directory"),
    ("s3archivefs hash --stored s3://bucket/a.sqfs", "as pack --checksums stored them, at once"),
    ("s3archivefs hash --algorithm md5 --json s3://bucket/a.sqfs", "for a program"),
)

ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5", "blake2b")
_PIECE = 1 << 20
_ESCAPES = ((b"\\", rb"\\"), (b"\n", rb"\n"), (b"\r", rb"\r"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hash`."""
    add_image(parser)
    add_paths(parser, default="/")
    parser.add_argument(
        "--algorithm", choices=ALGORITHMS, default="sha256", help="which checksum (%(default)s)"
    )
    parser.add_argument(
        "--stored",
        action="store_true",
        help="write the SHA-256s that files have as the attribute user.sha256, and read no content",
    )
    add_json(parser)
    add_progress(parser)


def run(options: argparse.Namespace) -> int:
    """Write a line for each regular file, in the order of the disk."""
    if options.stored and options.algorithm != "sha256":
        raise UsageError("--stored writes SHA-256s, which the image has: leave --algorithm out")
    with (
        opened(options) as found,
        progress_shown(options.progress, totals=partial(totals, found.image, found.paths)) as done,
    ):
        for path in found.paths:
            with found.faults.reported(path):
                hashes = (
                    _stored(found, path, done)
                    if options.stored
                    else _hashes(found, path, options.algorithm, done)
                )
                for each, digest, size in hashes:
                    if options.json:
                        told = named("path", each)
                        write_json({**told, "size": size, options.algorithm: digest})
                    else:
                        _write_line(each, digest)
    return found.faults.code


def _hashes(
    found: Opened, path: bytes, algorithm: str, progress: Progress
) -> Iterator[tuple[bytes, str, int]]:
    """Yield path, checksum and size of a file, or of each file below a directory."""
    image = found.image
    if image.stat(path).kind is FileKind.DIRECTORY:
        files = image.walk_files(path, on_error=lambda at, error: found.faults.report(error, at))
        for each, stat, file in files:
            with found.faults.reported(each):
                yield each, _digest(file, algorithm, progress), stat.size
    else:
        with image.open(path) as file:
            yield path, _digest(file, algorithm, progress), file.size


def _stored(found: Opened, path: bytes, progress: Progress) -> Iterator[tuple[bytes, str, int]]:
    """Yield the same as the image has it, in the order of names."""
    image = found.image
    image.stat(path)  # which is to be there
    if not image.has_xattrs:  # one line, not one for each file
        text = "its files have no attributes, and so no SHA-256: pack --checksums stores them"
        raise OSError(errno.ENODATA, text)
    for _, node in descend(image, path, found.faults, follow_top=True):
        if node.kind is not FileKind.FILE:
            continue
        with found.faults.reported(node.path):
            digest = image.checksum_of_node(node.reference)
            if digest is None:
                raise OSError(errno.ENODATA, "no SHA-256 in an attribute user.sha256", node.path)
            progress(1, 0)
            yield node.path, digest.hex(), node.stat(follow_symlinks=False).size


def _digest(file: io.BufferedIOBase | BinaryIO, algorithm: str, progress: Progress) -> str:
    """Return the checksum of a file as it is read."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while piece := file.read(_PIECE):
        digest.update(piece)
        progress(0, len(piece))
    progress(1, 0)
    return digest.hexdigest()


def _write_line(path: bytes, digest: str) -> None:
    """Write a line that `sha256sum -c` reads where the image is extracted to."""
    name = path.lstrip(b"/")
    if sys.stdout.isatty():
        print(f"{digest}  {shown(name)}")
        return
    if name == b"-":
        name = b"./-"  # sha256sum -c would read standard input
    start = b""
    for character, escape in _ESCAPES:
        if character in name:
            name, start = name.replace(character, escape), b"\\"
    sys.stdout.buffer.write(b"%b%b  %b\n" % (start, digest.encode(), name))
