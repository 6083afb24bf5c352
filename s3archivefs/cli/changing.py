"""What `append`, `remove` and `compact` share: an image that another takes the place of.

Installed packages add places for schemes of URLs in the entry-point group `s3archivefs.extensions`:
functions that take a URL, and return a context manager with the properties and methods of Place.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from s3archivefs.cli.arguments import UsageError, add_json
from s3archivefs.cli.interruption import interrupt_at_signals
from s3archivefs.cli.output import counted, human_size, named, shown, write_json
from s3archivefs.names import encode
from s3archivefs.writer.replacing import HeldImage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Container, Iterator, Sequence
    from contextlib import AbstractContextManager

    from s3archivefs.image import SquashFS
    from s3archivefs.writer.extending import Cost, ExtensionOutput
    from s3archivefs.writer.image_writer import ImageWriter, Packed

__all__ = [
    "Place",
    "abandoned_by_errors",
    "add_change_arguments",
    "changed",
    "counts",
    "inner_path",
    "report",
]


class Place(Protocol):
    """Where the image lies, and the one that takes its place will."""

    @property
    def image(self) -> SquashFS:
        """The image that is there."""

    @property
    def identities(self) -> Container[tuple[int, int]]:
        """Device and inode of local files that are no input, those of `output` among them."""

    @property
    def claimed(self) -> int | None:
        """Bytes of contents that are found by their checksums; None for all: see ImageExtension."""

    def output(
        self, superblock: bytes = b"", added: Callable[[], int | None] = lambda: 0
    ) -> ExtensionOutput:
        """Return what takes the image that replaces it, of a superblock if that is known.

        `added` returns the bytes of the sources to come, or None if nobody knows.
        """

    def cost(self, ranges: Sequence[tuple[int, int]], size: int) -> Cost:
        """Return what an image of `size` bytes costs, which begins with ranges of this one."""


def add_change_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that these commands have."""
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="change nothing, and say what it would take: bytes and requests",
    )
    add_json(parser)


@contextmanager
def changed(options: argparse.Namespace) -> Iterator[Place]:
    """Open the image of the arguments to change it.

    Raises UsageError for no image, or a URL of which no package knows how to replace what is there.
    """
    interrupt_at_signals()  # and leave no half image behind
    if not options.image:
        raise UsageError("the name of the IMAGE is empty: give a path or a URL")
    held = _held_at(options.image) if "://" in options.image else HeldImage(options.image)
    with held as place:
        yield place


@contextmanager
def abandoned_by_errors(writer: ImageWriter) -> Iterator[None]:
    """Let an error that ends the block leave the image unchanged."""
    try:
        yield
    except BaseException:
        writer.abandon()
        raise


def inner_path(path: bytes) -> bytes:
    """Return a path inside an image as the writer has it, without outer slashes."""
    return b"/".join(name for name in path.split(b"/") if name)


def counts(packed: Packed) -> dict[str, int]:
    """Return what was packed, for an object of JSON."""
    return {
        "inodes": packed.inodes,
        "files": packed.files,
        "content_size": packed.content_bytes,
        "duplicates": packed.duplicates,
    }


def report(options: argparse.Namespace, size: int, cost: Cost, what: str, **facts: object) -> None:
    """Say what was done, as `what` or the `facts` have it, and the cost."""
    if options.json:
        write_json(
            {
                **named("image", encode(options.image)),
                "dry_run": options.dry_run,
                "size": size,
                **facts,
                **cost._asdict(),
            }
        )
        return
    parts = [f"{human_size(cost.copied)} copied"]
    if cost.requests:
        parts.append(f"{human_size(cost.sent)} sent, {human_size(cost.received)} received")
        parts.append(counted(cost.requests, "request", "requests"))
    else:
        parts.append(f"{human_size(cost.sent)} written")
    done = "to be " if options.dry_run else ""
    print(
        f"{shown(options.image)}: {what.format(done)}, {human_size(size)} in all: "
        f"{', '.join(parts)}",
        file=sys.stdout,
    )


def _held_at(url: str) -> AbstractContextManager[Place]:
    """Return the image at a URL, by an installed package that knows its scheme."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 20 ms, and few commands need it

    scheme = url.partition("://")[0]
    for entry in entry_points(group="s3archivefs.extensions", name=scheme):
        return cast("AbstractContextManager[Place]", entry.load()(url))
    raise UsageError(f"{url}: no installed package replaces images at {scheme}:// URLs")
