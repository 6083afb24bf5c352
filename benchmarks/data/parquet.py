"""A table in many Parquet files, aggregated."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

from benchmarks.data.packing import Files, pack_image, put_all, put_image
from benchmarks.data.report import costs
from benchmarks.data.story import Column, Contender, Figures, Goal, Made, Story
from benchmarks.remote.store import Store

__all__ = ["STORY"]

_WORKS = "benchmarks.data.parquet_works"
_FULL, _QUICK = 1_000, 100  # files

_OURS = "s3archivefs"


def make(directory: Path, store: Store, is_quick: bool) -> Made:  # noqa: FBT001 -- as Story has it
    """Write the table, and upload it as image, zip and objects."""
    count = _QUICK if is_quick else _FULL
    packed, image, known = (directory / f"table.{end}" for end in ("zip", "sqfs", "json"))
    if not known.exists():
        # pyarrow is in the contenders' environment alone.
        command = [os.environ["BENCHMARKS_DATA_PYTHON"], "-m", "benchmarks.data.parquet_files"]
        told = subprocess.run(
            [*command, str(packed), str(count)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            check=True,
        )
        known.write_bytes(told.stdout)
    pack_image(image, _members(packed))
    put_image(store, "table.sqfs", image)
    store.gateway.client().upload_file(str(packed), store.bucket, "table.zip")
    put_all(store, ((f"plain/{path}", content) for path, content in _members(packed)))
    expected = json.loads(known.read_text("utf-8"))
    return Made(
        note=(
            f"{count:,} Parquet files of {packed.stat().st_size / count / 1e6:.1f} MB in 10"
            " directories, each of 3 groups of rows and 4 columns. Summed is one column for each"
            " value of another. DuckDB's own client is its extension httpfs."
        ),
        parameters={"files": count},
        expected={"sum": expected},
    )


def _members(packed: Path) -> Files:
    with zipfile.ZipFile(packed) as archive:
        for name in sorted(archive.namelist()):  # as they lie in a directory
            yield name, archive.read(name)


def _contenders(library: str) -> dict[str, Contender]:
    """Return the ways to read with a library, by the way."""
    works = {
        _OURS: "archive",
        "plain objects, s3fs": "plain_objects",
        "plain objects, its own client": "own_clients",
        "zip through fsspec": "zip_through_fsspec",
        "squashfsspec": "through_squashfsspec",
    }
    options = {"library": library}
    return {
        way: Contender(name=f"{library}: {way}", work=f"{_WORKS}:{work}", options=options)
        for way, work in works.items()
    }


_BY_LIBRARY = {library: _contenders(library) for library in ("DuckDB", "pyarrow")}


def _ahead(library: str) -> Goal:
    ours, *peers = (contender.name for contender in _BY_LIBRARY[library].values())

    def figure(figures: Figures) -> float:
        best = min(figures.wall(peer, "sum") for peer in peers if figures.has(peer, "sum"))
        return best / figures.wall(ours, "sum")

    return Goal(text=f"{library}: the time of the best peer, by ours", figure=figure, bound=1)


STORY = Story(
    title="Parquet",
    measures="Parquet: an aggregate over many files, by DuckDB and pyarrow",
    make=make,
    contenders=tuple(each for ways in _BY_LIBRARY.values() for each in ways.values()),
    columns=(Column("wall / processor / requests / MB", "sum", costs),),
    goals=tuple(map(_ahead, _BY_LIBRARY)),
)
