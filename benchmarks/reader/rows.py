"""The rows of the table: pieces of work, who does each, and the goals.

A way whose reader does not know its work yet is shown as "not there yet": the work becomes known
when its function is added to `ours.py`, and nothing changes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.reader.figures import Cell, milliseconds, over, rates, times
from benchmarks.reader.goals import (
    Goal,
    ahead_of,
    extra_ms_most,
    memory_most,
    ms_most,
    rate_least,
    ratio_most,
    wall_most,
)
from benchmarks.reader.images import Sizes
from benchmarks.reader.source_tree import SOURCE
from benchmarks.reader.ways import Way, describing, extracting, of_peer, of_reader, program

__all__ = ["COLUMNS", "ROWS", "Row"]

OURS, BULK, TOOLS = "s3archivefs", "in bulk", "unsquashfs / rdsquashfs"
PY_SQUASHFS_IMAGE, DISSECT = "PySquashfsImage", "dissect.squashfs"
BARE, PEERS_BARE = "bare Python", "bare Python of the peers"  # only subtracted
COLUMNS = (OURS, BULK, TOOLS, PY_SQUASHFS_IMAGE, DISSECT)
"""The ways that the table shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A piece of work."""

    title: str
    image: str | None
    """The name of what is read, among `images.IMAGES`."""
    ways: dict[str, Way]
    """By their columns."""
    goals: tuple[Goal, ...]
    found: Callable[[Sizes], dict[str, float]] = lambda _: {}
    """What every reader must find, by the names that it prints."""
    cells: Mapping[str, Cell] = field(default_factory=lambda: dict.fromkeys(COLUMNS, times))
    """What a cell of the table has, by its column."""
    check: Way | None = None
    """Fails where this project reads something else than what was packed; not timed."""
    runs: int = 1
    """How often it is run where others are run once: more, where it is short."""


def _peers(work: str) -> dict[str, Way]:
    return {
        PY_SQUASHFS_IMAGE: of_peer("py_squashfs_image", work),
        DISSECT: of_peer("dissect_squashfs", work),
    }


def _read(codec: str, by_path: float, in_bulk: float, *goals: Goal) -> Row:
    return Row(
        title=f"walk, stat and read every file: {codec}",
        image=f"source-{codec.partition(' ')[0]}",
        ways={
            OURS: of_reader("read by path"),
            BULK: of_reader("read in bulk"),
            TOOLS: extracting(),
            **_peers("read"),
        },
        goals=(
            ratio_most(OURS, TOOLS, by_path),
            *goals,
            ratio_most(BULK, TOOLS, in_bulk),
        ),
        found=lambda sizes: {
            "files": sizes.source,
            "bytes": sum(file.size for file in SOURCE.files(sizes.source)),
        },
        check=of_reader("check"),
    )


ROWS: dict[str, Row] = {
    "read-gzip": _read("gzip 128K", 1.4, 0.85, ahead_of(OURS, PY_SQUASHFS_IMAGE)),
    "read-zstd": _read("zstd 1M", 2.2, 0.85),
    "read-lz4": _read("lz4 128K", 1.8, 0.9),
    "walk": Row(
        title="walk + stat *million*",
        image="million",
        ways={
            OURS: of_reader("walk by entry"),
            BULK: of_reader("walk in bulk"),
            TOOLS: describing(),
            **_peers("walk"),
        },
        goals=(
            ratio_most(OURS, TOOLS, 4),
            memory_most(OURS, 128),
            ratio_most(BULK, TOOLS, 2.5),
            memory_most(BULK, 128),
        ),
        found=lambda sizes: {"files": sizes.million, "bytes": 0},
    ),
    "stat-million": Row(
        title="random stat in *million*",
        image="million",
        ways={
            OURS: of_reader("look up million"),
            **_peers("look up million"),
        },
        goals=(
            rate_least(OURS, 40_000, 20_000),
            rate_least(OURS, 100_000, 36_000),
            memory_most(OURS, 160),
        ),
        cells=dict.fromkeys(COLUMNS, rates),
    ),
    "stat-flat": Row(
        title="random stat in *flat*",
        image="flat",
        ways={
            OURS: of_reader("look up flat"),
            **_peers("look up flat"),
        },
        goals=(rate_least(OURS, 100_000, 35_000),),
        cells=dict.fromkeys(COLUMNS, rates),
    ),
    "list": Row(
        title="list *flat*",
        image="flat",
        ways={OURS: of_reader("list"), **_peers("list")},
        goals=(wall_most(OURS, 0.4),),
        found=lambda sizes: {"files": sizes.flat},
        runs=3,
    ),
    "verify": Row(
        title="verify *million*",
        image="million",
        ways={OURS: of_reader("verify")},
        goals=(wall_most(OURS, 5),),
        found=lambda _: {"problems": 0},
    ),
    "open": Row(
        title="open *million* and stat one path",
        image="million",
        ways={
            OURS: program(
                "import sys, s3archivefs\n"
                "with s3archivefs.open(sys.argv[1]) as fs:\n"
                "    fs.stat('/d0050/f0050500.dat')"
            ),
            DISSECT: program(
                "import sys\nfrom dissect.squashfs import SquashFS\n"
                "with open(sys.argv[1], 'rb') as file:\n"
                "    SquashFS(file).get('/d0050/f0050500.dat').size",
                of_peers=True,
            ),
        },
        goals=(wall_most(OURS, 0.13),),
        runs=5,
    ),
    "import": Row(
        title="import, over bare Python",
        image=None,
        ways={
            BARE: program("pass"),
            OURS: program("import s3archivefs"),
            PEERS_BARE: program("pass", of_peers=True),
            PY_SQUASHFS_IMAGE: program("import PySquashfsImage", of_peers=True),
            DISSECT: program("import dissect.squashfs", of_peers=True),
        },
        goals=(extra_ms_most(OURS, BARE, 50),),
        cells={
            OURS: over(BARE),
            PY_SQUASHFS_IMAGE: over(PEERS_BARE),
            DISSECT: over(PEERS_BARE),
        },
        runs=7,
    ),
    "operations": Row(
        title="random 2 KB files through operations, image warm",
        image="small",
        ways={OURS: of_reader("operations")},
        goals=(ms_most(OURS, 0.25),),
        cells={OURS: milliseconds},
    ),
}
