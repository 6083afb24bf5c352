"""Ranges of many files, read with few reads, several at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.device import readahead_of
from s3archivefs.errors import LimitExceededError
from s3archivefs.file import check_limit
from s3archivefs.parallel import Workers, start_work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from s3archivefs.image import SquashFS
    from s3archivefs.parallel import Work

__all__ = ["Wanted", "read_ranges", "span"]

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
        ranges = []
        for each in wanted:
            try:
                first, stop = span(each.start, each.end, size, image.limits.read_all_bytes)
            except LimitExceededError as error:
                yield each.number, error
            else:
                ranges.append((first, stop, each.number))
        works += [start(partial(_read, image, name, run)) for run in _runs(ranges, gap)]
    for work in works:
        yield from work.result()


def span(start: int | None, end: int | None, size: int, most: int) -> tuple[int, int]:
    """Return the first byte and the end of a slice of `size` bytes.

    Raises LimitExceededError where it has more than `most`, and that is the size's doing: no `end`
    says how many it may be, or one counted from the file's own.
    """
    first, stop = slice(start, end).indices(size)[:2]
    if end is None or end < 0:
        check_limit(stop - first, most)
    return first, max(first, stop)


def _runs(ranges: Iterable[tuple[int, int, int]], gap: int) -> Iterator[_Run]:
    """Yield ranges of a file, each with its number, in runs, in order."""
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
