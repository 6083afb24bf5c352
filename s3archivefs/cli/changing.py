"""What `append` and `remove` share: an image that another takes the place of.

Installed packages add places for schemes of URLs in the entry-point group `s3archivefs.extensions`:
functions that take a URL, and return a context manager with the properties and methods of Place.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from s3archivefs.cli.arguments import UsageError, add_json
from s3archivefs.cli.output import counted, human_size, named, shown, write_json
from s3archivefs.names import encode
from s3archivefs.writer.extending import ImageExtension, kept_bytes
from s3archivefs.writer.output import padded
from s3archivefs.writer.replacing import HeldImage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from s3archivefs.image import SquashFS
    from s3archivefs.writer.extending import Cost, ExtensionOutput
    from s3archivefs.writer.image_writer import Packed

__all__ = ["Change", "Place", "add_change_arguments", "changed", "inner_path", "report"]


class Place(Protocol):
    """Where the image lies, and the one that takes its place will."""

    @property
    def image(self) -> SquashFS:
        """The image that is there."""

    @property
    def identities(self) -> frozenset[tuple[int, int]]:
        """Device and inode of local files that are no input."""

    def output(self) -> ExtensionOutput:
        """Return what takes the image that replaces it."""

    def cost(self, kept: int, size: int) -> Cost:
        """Return what an image of `size` bytes costs, of which `kept` are there."""


class Change(NamedTuple):
    """A change under way."""

    place: Place
    writer: ImageExtension


class _Nowhere:
    """Takes an image that nobody keeps."""

    def keep(self, length: int) -> None:
        """Do nothing."""

    def write(self, content: bytes) -> None:
        """Do nothing."""

    def finish(self, superblock: bytes) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


def add_change_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that both commands have."""
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="change nothing, and say what it would take: bytes and requests",
    )
    add_json(parser)


@contextmanager
def changed(options: argparse.Namespace, **manner: object) -> Iterator[Change]:
    """Open the image of the arguments to change it.

    An error that ends the block leaves it unchanged. `manner` are further arguments of
    ImageExtension. Raises UsageError for no image, or a URL of which no package knows how to
    replace what is there.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no half image behind
    if not options.image:
        raise UsageError("the name of the IMAGE is empty: give a path or a URL")
    held = _held_at(options.image) if "://" in options.image else HeldImage(options.image)
    with held as place:
        output = _Nowhere() if options.dry_run else place.output()
        writer = ImageExtension(place.image, output, **manner)  # type: ignore[arg-type]
        try:
            yield Change(place, writer)
        except BaseException:
            writer.abandon()
            raise


def inner_path(path: bytes) -> bytes:
    """Return a path inside an image as the writer has it, without outer slashes."""
    return b"/".join(name for name in path.split(b"/") if name)


def report(options: argparse.Namespace, change: Change, packed: Packed, what: str) -> None:
    """Say what was done, as `what` has it, and what it took."""
    place = change.place
    cost = place.cost(kept_bytes(place.image), padded(packed.size))
    if options.json:
        write_json(
            {
                **named("image", encode(options.image)),
                "dry_run": options.dry_run,
                "size": packed.size,
                "inodes": packed.inodes,
                "files": packed.files,
                "content_size": packed.content_bytes,
                "duplicates": packed.duplicates,
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
        f"{shown(options.image)}: {what.format(done)}, {human_size(packed.size)} in all: "
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
