"""What very many files cost, computed from what was measured on single machines.

    python -m benchmarks scale [--files 1000000000] [--mean 10000,1000000]

No table of docs/scale.md is measured as a whole: each follows from the constants below, which are,
from S3's published limits, and from prices that anyone should put in anew. A simulation tells how
often a reader must open an archive first. It is the same at each run: docs/scale.md has its output,
and a test compares the two.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["main", "report"]

# ---- Measured, in docs/performance.md and by the commands beside each ----------------------------

METADATA_PER_FILE = 12.2
"""Bytes of metadata for each of a million small files, in directories of 1,000."""
MAPPING_BYTES = 560
"""Bytes of memory for each mapping, and 5.5 µs to load it: a million mappings."""
PACK_SECONDS_PER_MILLION = 18
"""Seconds of one processor to pack a million small files, without their compression."""
OPEN_REQUESTS = 2
"""Requests that open an archive: its end, and its start without that in metadata."""
OPEN_METADATA = 512 << 10
"""Bytes of metadata that opening brings; beyond them a directory is one request more."""

# ---- S3: published limits, and list prices of us-east-1 in dollars -------------------------------

PUT_PRICE, GET_PRICE, LIST_PRICE = 5e-6, 0.4e-6, 5e-6
STORAGE_PRICE = 0.022e-9  # a byte and month, between the tiers
INFREQUENT_MINIMUM = 128 << 10
"""Bytes that infrequent access charges for a smaller object."""
PARTS_MAX = 10_000
PART_MIN = 16 << 20
"""Bytes of a part that `pack` sends, unless 10,000 would not hold the archive."""
LIST_PAGE = 1000
GETS_PER_PREFIX = 5500
"""Requests a second that S3 takes for each prefix before it divides it."""

ARCHIVE_BYTES = (1_000_000_000, 10_000_000_000, 100_000_000_000, 1_000_000_000_000)
_HEAD = (
    "| an archive of | archives | files in each | metadata of each | mappings in memory"
    " | opens for 100 reads, 100 kept open | 1,000 kept | requests for 100 reads |"
)
READS = 100_000
WARM = (100, 1000)
"""Archives that a reader keeps open: 256 MiB hold some hundreds of 100,000 files each."""
SKEW = 0.8
"""The n-th archive is asked for n**-SKEW as often as the first."""


def missed(archives: int, kept: int) -> float:
    """Return the share of reads whose archive is not open, where `kept` stay open."""
    chance = random.Random(archives * kept)
    weights = [*accumulate(number**-SKEW for number in range(1, archives + 1))]
    opened: OrderedDict[int, None] = OrderedDict()
    opens = 0
    for asked in chance.choices(range(archives), cum_weights=weights, k=READS):
        if asked in opened:
            opened.move_to_end(asked)
            continue
        opens += 1
        opened[asked] = None
        if len(opened) > kept:
            opened.popitem(last=False)
    return opens / READS


def part_bytes(archive: int) -> int:
    """Return the bytes of the parts in which `pack` sends an archive."""
    return max(PART_MIN, math.ceil(archive / PARTS_MAX / (1 << 20)) << 20)


def report(files: int, means: Sequence[int]) -> Iterator[str]:
    """Yield the tables, in Markdown."""
    for mean in means:
        total = files * mean
        yield f"### {files:,} files of {_size(mean)}: {_size(total)}"
        yield ""
        yield _HEAD
        yield "|--:|--:|--:|--:|--:|--:|--:|--:|"
        for archive in ARCHIVE_BYTES:
            count = max(1, total // archive)
            each = files // count
            metadata = each * METADATA_PER_FILE
            further = 1 if metadata > OPEN_METADATA else 0
            few, many = (missed(count, kept) for kept in WARM)
            cells = [
                _size(archive),
                f"{count:,}",
                f"{each:,}",
                _size(metadata),
                _size(count * MAPPING_BYTES),
                f"{100 * few:.0f}",
                f"{100 * many:.0f}",
                f"{100 * (1 + many * OPEN_REQUESTS + further * many):.0f}",
            ]
            yield f"| {' | '.join(cells)} |"
        yield ""
        yield from _prices(files, mean)


def _prices(files: int, mean: int) -> Iterator[str]:
    """Yield what objects cost, and what archives of 10 GB do."""
    total, archive = files * mean, ARCHIVE_BYTES[1]
    archives = math.ceil(total / archive)
    puts = archives * math.ceil(archive / part_bytes(archive))
    metadata = files * METADATA_PER_FILE
    rows = {
        "storing all, once": (files * PUT_PRICE, puts * PUT_PRICE),
        "a month of storage": (total * STORAGE_PRICE, (total + metadata) * STORAGE_PRICE),
        "the same, charged as infrequent access does": (
            files * max(mean, INFREQUENT_MINIMUM) * STORAGE_PRICE,
            (total + metadata) * STORAGE_PRICE,
        ),
        "listing all": (
            files / LIST_PAGE * LIST_PRICE,
            archives * math.ceil(metadata / archives / (1 << 20)) * GET_PRICE,
        ),
        "a million reads, warm": (1e6 * GET_PRICE, 1e6 * GET_PRICE),
    }
    yield "| dollars | plain objects | archives of 10 GB |"
    yield "|---|--:|--:|"
    for what, (objects, archived) in rows.items():
        yield f"| {what} | {_dollars(objects)} | {_dollars(archived)} |"
    yield ""


def _size(number: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB", "TB", "PB"):
        if number < 1000 or unit == "PB":
            break
        number /= 1000
    return f"{number:.3g} {unit}"


def _dollars(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    summary = (__doc__ or "").split("\n", maxsplit=1)[0]
    parser = argparse.ArgumentParser(prog="benchmarks scale", description=summary)
    parser.add_argument("--files", type=int, default=10**9)
    parser.add_argument("--mean", default="10000,1000000", help="bytes of a file, with commas")
    options = parser.parse_args(arguments)
    print("\n".join(report(options.files, [int(each) for each in options.mean.split(",")])))
