"""A zarr array of very many small chunks, read by slices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from random import Random
from zlib import crc32

import zstandard

from benchmarks.data.packing import Files, pack_image, pack_zip, put_all, put_image
from benchmarks.data.report import costs
from benchmarks.data.story import Column, Contender, Figures, Goal, Made, Story
from benchmarks.remote.store import Store

__all__ = ["STORY"]

_WORKS = "benchmarks.data.zarr_works"
_CHUNK = 8, 16, 16  # of 16-bit numbers: 4 KiB
_ROWS, _COLUMNS = 20, 50  # of chunks, each of _CHUNK[0] times
_FULL, _QUICK = 200, 20  # such layers
_DASK_LAYERS = 4  # that Dask sums
_POOL_BYTES = 1 << 20

OURS, PLAIN = "s3archivefs", "plain objects"
SLICES = {"map": "a map", "series": "a series", "box": "a box", "dask": "Dask's sum"}
_ZIP_STORE = "ZipStore, downloaded"
_IN_PLACE = (PLAIN, "zip through fsspec", "squashfsspec")


class _Array:
    """The values of the array, by chunks: noise over what their places give."""

    def __init__(self, layers: int) -> None:
        self.grid = layers, _ROWS, _COLUMNS
        self.shape = tuple(size * count for size, count in zip(_CHUNK, self.grid, strict=True))
        self._noise = Random(1).randbytes(_POOL_BYTES).translate(bytes(range(16)) * 16)

    @lru_cache(maxsize=2000)  # noqa: B019 -- there is one array
    def values(self, place: tuple[int, int, int]) -> bytes:
        """Return the values of a chunk, little-endian and in C order."""
        count = _CHUNK[0] * _CHUNK[1] * _CHUNK[2]
        draw = Random(repr(place))
        start = draw.randrange(_POOL_BYTES - count)
        values = bytearray(2 * count)
        values[::2] = self._noise[start : start + count]
        values[1::2] = bytes([draw.randrange(100)]) * count
        return bytes(values)

    def files(self, places: Iterable[tuple[int, ...]]) -> Files:
        """Yield the files of zarr, format 3, for some chunks."""
        compressor = zstandard.ZstdCompressor(level=1)
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        yield "air.zarr/zarr.json", json.dumps(group).encode()
        yield "air.zarr/air/zarr.json", json.dumps(self._metadata()).encode()
        for layer, row, column in places:
            content = compressor.compress(self.values((layer, row, column)))
            yield f"air.zarr/air/c/{layer}/{row}/{column}", content

    def _metadata(self) -> dict[str, object]:
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": "int16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": _CHUNK}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
            ],
            "attributes": {},
            "dimension_names": ["time", "y", "x"],
        }

    def part(self, ranges: list[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the values of a slice in C order, by pieces."""
        (_, _), (_, _), (left, right) = ranges
        wide = _CHUNK[2]
        for time, y in product(*(range(*each) for each in ranges[:2])):
            inner = (time % _CHUNK[0] * _CHUNK[1] + y % _CHUNK[1]) * wide
            for column in range(left // wide, -(-right // wide)):
                values = self.values((time // _CHUNK[0], y // _CHUNK[1], column))
                first = max(left - column * wide, 0)
                end = min(right - column * wide, wide)
                yield values[2 * (inner + first) : 2 * (inner + end)]

    def chunks(self, ranges: list[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
        """Yield the places of the chunks that a slice has."""
        return product(
            *(
                range(start // size, -(-stop // size))
                for (start, stop), size in zip(ranges, _CHUNK, strict=True)
            )
        )


def make(directory: Path, store: Store, is_quick: bool) -> Made:  # noqa: FBT001 -- as Story has it
    """Pack and upload the array, and of its chunks as objects those that are read."""
    array = _Array(_QUICK if is_quick else _FULL)
    times, height, width = array.shape
    first = times // 2 // _CHUNK[0] * _CHUNK[0]
    slices = {
        "map": [(times // 3, times // 3 + 1), (0, height), (0, width)],
        "series": [(0, times), (100, 101), (200, 201)],
        "box": [(0, 40), (10, 90), (30, 130)],
        "dask": [(first, first + _DASK_LAYERS * _CHUNK[0]), (0, height), (0, width)],
    }
    image, packed = directory / "air.sqfs", directory / "air.zip"
    everything = [*product(*map(range, array.grid))]
    pack_image(image, array.files(everything))
    pack_zip(packed, array.files(everything))
    put_image(store, "air.sqfs", image)
    store.gateway.client().upload_file(str(packed), store.bucket, "air.zip")
    read = {place for ranges in slices.values() for place in array.chunks(ranges)}
    put_all(store, ((f"plain/{path}", content) for path, content in array.files(sorted(read))))
    counts = {name: len([*array.chunks(ranges)]) for name, ranges in slices.items()}
    return Made(
        note=(
            f"A zarr 3 array of {len(everything):,} chunks of 4 KiB,"
            f" {image.stat().st_size / 1e6:,.0f} MB as an image, read by xarray: a map at one time"
            f" ({counts['map']:,} chunks), the series of a place ({counts['series']:,}), a box"
            f" ({counts['box']:,}), and the sum of {counts['dask']:,} chunks by Dask, 2 spawned"
            " processes. As objects there are only the chunks that are read."
        ),
        parameters={"slices": slices, "layer": [_CHUNK[0], height, width]},
        expected={
            name: {"check": _check(array.part(ranges))}
            for name, ranges in slices.items()
            if name != "dask"
        }
        | {"dask": {"sum": _sum(array.part(slices["dask"]))}},
    )


def _check(pieces: Iterable[bytes]) -> int:
    check = 0
    for piece in pieces:
        check = crc32(piece, check)
    return check


def _sum(pieces: Iterable[bytes]) -> int:
    return sum(sum(piece[::2]) + 256 * sum(piece[1::2]) for piece in pieces)


def _ahead(step: str) -> Goal:
    def figure(figures: Figures) -> float:
        best = min(figures.wall(peer, step) for peer in _IN_PLACE if figures.has(peer, step))
        return best / figures.wall(OURS, step)

    text = f"{SLICES[step]}: the time of the best peer that reads in place, by ours"
    return Goal(text=text, figure=figure, bound=1)


def _downloaded(figures: Figures) -> float:
    def seconds(contender: str) -> float:
        return sum(figures.wall(contender, step) for step in ("open", *SLICES))

    return seconds(_ZIP_STORE) / seconds(OURS)


STORY = Story(
    title="zarr",
    measures="zarr: slices of an array of many small chunks, by xarray and Dask",
    make=make,
    contenders=(
        Contender(name=OURS, work=f"{_WORKS}:archive"),
        Contender(name=PLAIN, work=f"{_WORKS}:plain_objects"),
        Contender(name="zip through fsspec", work=f"{_WORKS}:zip_through_fsspec"),
        Contender(name=_ZIP_STORE, work=f"{_WORKS}:zip_store"),
        Contender(name="squashfsspec", work=f"{_WORKS}:through_squashfsspec", once=True),
    ),
    columns=(
        Column("open", "open", costs),
        *(Column(title, step, costs) for step, title in SLICES.items()),
    ),
    goals=(
        *map(_ahead, SLICES),
        Goal(text="all with opening: the time of ZipStore, by ours", figure=_downloaded, bound=1),
    ),
)
