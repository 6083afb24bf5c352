"""Very many small objects, which workers pack: a prefix becomes an archive."""

from __future__ import annotations

from pathlib import Path
from random import Random

from benchmarks.data.packing import Files, put_all
from benchmarks.data.report import costs, rate
from benchmarks.data.story import Column, Contender, Goal, Made, Story
from benchmarks.remote.store import Store

__all__ = ["STORY"]

_WORKS = "benchmarks.data.prefixes_works"
_PREFIXES = 8
_FULL, _QUICK = 2_500, 250  # objects of each prefix
_SIZE_LEAST, _SIZE_SPREAD = 200, 1_600  # bytes

ONE, TWO = "pack_prefixes.py, 1 worker", "pack_prefixes.py, 2 workers"


def _objects(count: int) -> Files:
    """Yield objects of noise, `count` for each prefix."""
    draw = Random(1)
    for number in range(_PREFIXES * count):
        size = _SIZE_LEAST + draw.randrange(_SIZE_SPREAD)
        yield f"raw/{number // count}/{number % count:06}", draw.randbytes(size)


def make(_directory: Path, store: Store, is_quick: bool) -> Made:  # noqa: FBT001 -- as Story has it
    """Store the objects."""
    count = _QUICK if is_quick else _FULL
    put_all(store, _objects(count))
    size = sum(len(content) for _, content in _objects(count))
    return Made(
        note=(
            f"{_PREFIXES * count:,} objects of 0.2 to 1.8 KB below {_PREFIXES} prefixes, each of"
            " which becomes an archive beside them, by Dask's processes."
        ),
        parameters={},
        expected={"pack": {"archives": _PREFIXES, "items": _PREFIXES * count, "bytes": size}},
    )


STORY = Story(
    title="Prefixes",
    measures="Dask: prefixes of small objects become archives, with 1 and 2 workers",
    make=make,
    contenders=(
        Contender(name=ONE, work=f"{_WORKS}:packed", options={"workers": 1}),
        Contender(name=TWO, work=f"{_WORKS}:packed", options={"workers": 2}),
    ),
    columns=(Column("all", "pack", costs), Column("objects", "pack", rate)),
    goals=(
        Goal(
            text="2 workers ahead of one",
            figure=lambda figures: figures.wall(ONE, "pack") / figures.wall(TWO, "pack"),
            bound=1,
        ),
    ),
)
