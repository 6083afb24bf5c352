"""What a page of ListObjectsV2 costs, by the size of its archive and by its place in it.

    python -m benchmarks listing [--members 10000,1000000] [--keep DIR]

The operation itself, XML included, in the process; the image is a local file. Each archive has a
process of its own for each kind of listing, so its memory is its own. The processes take turns, so
that what else the machine does befalls all alike, and what is measured is processor time. Tables go
to standard output, in Markdown. Images of ten million members take minutes to make: `--keep DIR`
keeps them there for the next run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

from benchmarks.listing_images import FLAT, PER_DIRECTORY, TREE, Shape
from s3archivefs import FileDevice
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["main"]

GOAL = 1.2
"""What a page may cost: of the largest archive against the smallest, the last against the first."""
_PAGE = 1000
_ROUNDS = 30
_PLACES = ("first", "middle", "last")


# ---- Pages ---------------------------------------------------------------------------------------


class Page(NamedTuple):
    """A page to ask for."""

    query: dict[str, str]
    first_item: str
    """What it must begin with."""
    is_last: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A kind of listing of an archive of some shape."""

    name: str
    shape: Shape
    delimiter: str = ""

    def pages(self, members: int) -> dict[str, Page]:
        """Full pages by their places, all that there are among `_PLACES`."""
        items = members // PER_DIRECTORY if self.delimiter else members
        starts = {"first": 0, "middle": items // 2, "last": items - _PAGE}
        return {
            place: self._page(start, is_last=start + _PAGE == items)
            for place, start in starts.items()
            if place == "first" or 0 < start <= items - _PAGE
            if items >= _PAGE
        }

    def _page(self, start: int, *, is_last: bool) -> Page:
        query = {"list-type": "2", "delimiter": self.delimiter}
        if start:
            query["start-after"] = self._item(start - 1)
        return Page(query, self._item(start), is_last)

    def _item(self, number: int) -> str:
        if self.delimiter:
            head, _, _ = self.shape.key(number * PER_DIRECTORY).partition(self.delimiter)
            return head + self.delimiter
        return self.shape.key(number)


LISTINGS = (
    Listing("keys, in directories of 1,000", TREE),
    Listing("keys, in one directory", FLAT),
    Listing("common prefixes, each a directory of 1,000", TREE, "/"),
)


# ---- The process of one archive ------------------------------------------------------------------


class Cost(NamedTuple):
    """What a page took."""

    seconds: float
    """Of processor time."""
    reads: int
    """Reads of the image: one for each metadata block that was not in memory."""


def serve(connection: Connection, image: Path) -> None:
    """Answer each Page with its Cost, and None with the bytes of memory that they took."""
    config = Config.from_environ({"S3ARCHIVEFS_PREFIX_VMAP1": f"|file://{image}"})
    operations = Operations(Archives(config))
    with _counted_reads() as reads:
        while (page := connection.recv()) is not None:
            reads.clear()
            start = time.process_time()
            response = operations.list_objects_v2(S3Request(query=page.query))
            document = b"".join(response.body)
            seconds = time.process_time() - start
            response.close()
            _check(page, document.decode())
            connection.send(Cost(seconds, len(reads)))
    connection.send(_peak_memory())


@contextmanager
def _counted_reads() -> Iterator[list[int]]:
    """The offsets of the reads of images."""
    reads: list[int] = []
    read = FileDevice.pread

    def pread(device: FileDevice, offset: int, length: int) -> bytes:
        reads.append(offset)
        return read(device, offset, length)

    with patch.object(FileDevice, "pread", pread):
        yield reads


def _check(page: Page, document: str) -> None:
    """What is measured must be right."""
    items = re.findall(r"<(?:Key|CommonPrefixes><Prefix)>([^<]+)<", document)
    truncated = "<IsTruncated>true<" in document
    assert (items[0], len(items), truncated) == (page.first_item, _PAGE, not page.is_last)


def _peak_memory() -> int:
    # Not getrusage: what that gives begins with the parent's.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


# ---- Measuring -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Measured:
    """What the pages of an archive took."""

    listing: Listing
    members: int
    cold: dict[str, Cost] = field(default_factory=dict)
    warm: dict[str, list[Cost]] = field(default_factory=dict)
    memory: int = 0
    """Bytes that the process had in memory at most."""

    def milliseconds(self, place: str) -> float:
        """The median of a page that was asked for before."""
        return median(cost.seconds for cost in self.warm[place]) * 1000


def measure(listings: Sequence[Listing], sizes: Sequence[int], directory: Path) -> list[Measured]:
    """Each listing of each archive that is large enough for a page of it."""
    found = [
        Measured(listing, members)
        for listing in listings
        for members in sizes
        if members <= listing.shape.members_max and listing.pages(members)
    ]
    context = multiprocessing.get_context("spawn")
    connections = []
    for each in found:
        _say(f"{each.listing.name}: packing {each.members:,}, unless they are there")
        image = each.listing.shape.image(each.members, directory)
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, image), daemon=True).start()
        theirs.close()  # so that its end is noticed
        connections.append(ours)
    _say("measuring")
    for number in range(_ROUNDS):
        for each, connection in zip(found, connections, strict=True):
            for place, page in each.listing.pages(each.members).items():
                first, second = _cost(connection, page), _cost(connection, page)
                if number == 0:
                    each.cold[place] = first
                each.warm.setdefault(place, []).append(second)
    for each, connection in zip(found, connections, strict=True):
        connection.send(None)
        each.memory = connection.recv()
    return found


def _cost(connection: Connection, page: Page) -> Cost:
    connection.send(page)
    cost = connection.recv()
    assert isinstance(cost, Cost)
    return cost


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---- Telling -------------------------------------------------------------------------------------


def report(measured: Sequence[Measured]) -> Iterator[str]:
    """Tables and what they say of the goal, in Markdown."""
    for listing in dict.fromkeys(each.listing for each in measured):
        found = [each for each in measured if each.listing == listing]
        yield f"### {listing.name.capitalize()}"
        yield ""
        yield f"| {' | '.join(_COLUMNS)} |"
        yield "|--:" * len(_COLUMNS) + "|"
        for each in found:
            yield _row(each)
        smallest, largest = found[0], found[-1]
        if smallest is not largest:
            yield ""
            yield f"{largest.members:,} members against {smallest.members:,}: " + ", ".join(
                f"{place} page {_held(largest.milliseconds(place), smallest.milliseconds(place))}"
                for place in largest.warm
                if place in smallest.warm
            )
        yield ""


_COLUMNS = (
    "members",
    "first page",
    "middle",
    "last",
    "last / first",
    "reads, at first",
    "again",
    "memory",
)


def _row(each: Measured) -> str:
    times = [
        f"{each.milliseconds(place):.1f} ms" if place in each.warm else "" for place in _PLACES
    ]
    ratio = ""
    if "last" in each.warm:
        ratio = _held(each.milliseconds("last"), each.milliseconds("first"))
    new = max(cost.reads for cost in each.cold.values())
    again = max(cost.reads for costs in each.warm.values() for cost in costs)
    memory = f"{each.memory / 1e6:.0f} MB"
    cells = (f"{each.members:,}", *times, ratio, f"{new:,}", f"{again:,}", memory)
    return f"| {' | '.join(cells)} |"


def _held(cost: float, against: float) -> str:
    """A ratio, and whether it misses the goal."""
    ratio = cost / against
    return f"{ratio:.2f}" + ("" if ratio <= GOAL else " (missed)")


def surroundings() -> Iterator[str]:
    """What the figures depend on."""
    tool = subprocess.run(["mksquashfs", "-version"], capture_output=True, text=True, check=False)
    model = re.search(
        r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("ascii"), re.MULTILINE
    )
    yield f"- {model[1] if model else platform.machine()}, {os.cpu_count()} processors"
    yield f"- {platform.python_implementation()} {platform.python_version()}"
    yield f"- {tool.stdout.splitlines()[0]}"
    yield f"- {_peak_memory() / 1e6:.0f} MB of each process's memory are Python and what it imports"


def _sizes(text: str) -> list[int]:
    sizes = sorted({int(each) for each in text.split(",")})
    if any(size < _PAGE or size % PER_DIRECTORY for size in sizes):
        raise argparse.ArgumentTypeError("archives have a multiple of 1,000 members")
    return sizes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks listing", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--members",
        type=_sizes,
        default=[10_000, 100_000, 1_000_000, 10_000_000],
        metavar="N,...",
        help="sizes of archives, each a multiple of 1,000",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where images are kept")
    options = parser.parse_args(arguments)
    with ExitStack() as ending:
        if options.keep is None:
            directory = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        else:
            directory = options.keep.resolve()
            directory.mkdir(parents=True, exist_ok=True)
        for line in (*surroundings(), "", *report(measure(LISTINGS, options.members, directory))):
            print(line, flush=True)


if __name__ == "__main__":
    main()
