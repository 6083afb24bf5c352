"""Ranges of many files, read with few reads, several at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.device import readahead_of
from s3archivefs.parallel import Workers, start_work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from s3archivefs.image import SquashFS
    from s3archivefs.parallel import Work

__all__ = ["Wanted", "read_ranges"]

_RUN_BYTES = 16 << 20  # of ranges that are read at once, unless one alone has more
_readers = Workers(8, "s3archivefs-ranges")
"""The threads for a distant device, which wait more than they decode."""


class Wanted(NamedTuple):
    """A slice of a file, and its number among those that were asked for."""

    number: int
    start: int | None
    end: int | None


class _Run(NamedTuple):
    """A range that is read at once, and number, start and end of those within."""

    start: int
    end: int
    ranges: list[tuple[int, int, int]]


def read_ranges(
    image: SquashFS, files: Mapping[str, list[Wanted]], gap: int
) -> Iterator[tuple[int, bytes | Exception]]:
    """Yield the number and the bytes of each range, or the error of reading it.

    `files` has the ranges by the names of their files. Those that lie within `gap` bytes of each
    other are read at once.
    """
    start = _readers.start if _is_distant(image) else start_work
    works: list[Work[list[tuple[int, bytes | Exception]]]] = []
    for name, wanted in files.items():
        try:
            size = image.stat("/" + name).size
        except Exception as error:  # noqa: BLE001 -- handed on
            yield from ((each.number, error) for each in wanted)
            continue
        works += [start(partial(_read, image, name, run)) for run in _runs(wanted, size, gap)]
    for work in works:
        yield from work.result()


def _runs(wanted: Iterable[Wanted], size: int, gap: int) -> Iterator[_Run]:
    """Yield the ranges of a file of `size` bytes in runs, in order."""
    ranges = []
    for number, start, end in wanted:
        first, stop = slice(start, end).indices(size)[:2]
        ranges.append((first, max(first, stop), number))
    run: _Run | None = None
    for first, stop, number in sorted(ranges):
        if run is not None and first <= run.end + gap and stop <= run.start + _RUN_BYTES:
            run.ranges.append((number, first, stop))
            run = run._replace(end=max(run.end, stop))
            continue
        if run is not None:
            yield run
        run = _Run(first, stop, [(number, first, stop)])
    if run is not None:
        yield run


def _read(image: SquashFS, name: str, run: _Run) -> list[tuple[int, bytes | Exception]]:
    try:
        with image.open("/" + name) as file:
            file.seek(run.start)
            data = file.read(run.end - run.start)
    except Exception as error:  # noqa: BLE001 -- handed on
        return [(number, error) for number, _, _ in run.ranges]
    return [
        (number, data[start - run.start : end - run.start]) for number, start, end in run.ranges
    ]


def _is_distant(image: SquashFS) -> bool:
    """Return whether the device has readahead, as one has that begins reads slowly."""
    ahead = readahead_of(image.device, 0, 1)
    if ahead is not None:
        ahead.close()
    return ahead is not None
