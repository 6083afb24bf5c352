"""Exact reads of a device, repeated where the bytes do not decode."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from s3archivefs.cached_only import check_may_wait
from s3archivefs.device import pread_among
from s3archivefs.errors import CorruptImageError, SquashfsError, TruncatedImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from s3archivefs.device import BlockDevice, Discard

    Piece: TypeAlias = bytes | memoryview

__all__ = ["Stretch", "decoded", "discard_ranges", "read_decoded", "read_exactly", "read_stretch"]

T = TypeVar("T")

_NEAR = 8192  # bytes between ranges that are discarded as one


def read_exactly(device: BlockDevice, offset: int, length: int, what: str, among: int = 0) -> bytes:
    """Return exactly the `length` bytes of a device at `offset`.

    `among` is of how many bytes they are part that are asked for in random order, if they are.

    Raises TruncatedImageError, naming `what` was read, where the device has fewer, and
    CorruptImageError where it returns more; NotCachedError within `only_cached`.
    """
    _check_range(device, offset, length, what)
    if not length:
        return b""  # no device need know an empty range
    read = device.pread if not among else partial(pread_among, device, total=among)
    data = read(offset, length)
    _check_length(len(data or b""), offset, length, what)  # no type stops a device
    return data


def read_stretch(device: BlockDevice, offset: int, length: int, what: str) -> Stretch:
    """Return the bytes as `read_exactly` does, but joined only where the device joins them."""
    read: Callable[[int, int], Sequence[Piece]] | None = getattr(device, "pread_pieces", None)
    if read is None or not length:
        return Stretch([read_exactly(device, offset, length, what)])
    _check_range(device, offset, length, what)
    stretch = Stretch(read(offset, length))
    _check_length(stretch.size, offset, length, what)
    return stretch


class Stretch:
    """Bytes that follow each other, in pieces."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._ends = [*accumulate(map(len, pieces))]

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._ends[-1] if self._ends else 0

    def part(self, start: int, stop: int) -> Piece:
        """Return the bytes [start, stop), joined only if they lie in several pieces."""
        parts: list[Piece] = []
        index = bisect_right(self._ends, start)
        while start < stop:
            piece, end = self._pieces[index], self._ends[index]
            begin = end - len(piece)
            parts.append(memoryview(piece)[start - begin : stop - begin])
            start, index = end, index + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_range(device: BlockDevice, offset: int, length: int, what: str) -> None:
    check_may_wait()
    if offset < 0 or offset + length > device.size:
        raise TruncatedImageError(
            f"{what} ends at byte {offset + length}, "
            f"past the end of the image's {device.size} bytes",
            offset,
        )


def _check_length(found: int, offset: int, length: int, what: str) -> None:
    """Refuse what a device returned: one that breaks its contract must not become wrong data."""
    if found < length:
        raise TruncatedImageError(f"{what}: the device returned {found} bytes of {length}", offset)
    if found > length:
        raise CorruptImageError(
            f"{what}: the device returned {found} bytes where {length} were asked for", offset
        )


def read_decoded(
    device: BlockDevice, offset: int, length: int, what: str, decode: Callable[[bytes], T]
) -> T:
    """Read a range of a device and return it decoded, as `decoded` does.

    Raises what `decode` and `read_exactly` raise.
    """
    raw = read_exactly(device, offset, length, what)
    return decoded(device, offset, raw, what, lambda raw: decode(bytes(raw)))


def discard_ranges(device: BlockDevice, ranges: Iterable[tuple[int, int]]) -> bool:
    """Have the device discard its copies of ranges [start, stop), which may be damaged.

    Return whether another read may bring other bytes.
    """
    discard: Discard | None = getattr(device, "discard", None)
    if discard is None:
        return False
    may_differ = False
    for start, stop in _joined(ranges):
        may_differ |= discard(start, device.pread(start, stop - start))
    return may_differ


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges in order, with those joined that overlap or are near.

    A device's copy is likely to hold more than one of them.
    """
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1] + _NEAR:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def decoded(
    device: BlockDevice,
    offset: int,
    raw: bytes | memoryview,
    what: str,
    decode: Callable[[bytes | memoryview], T],
) -> T:
    """Return `decode(raw)`, of bytes that were read at `offset`.

    Where it raises a SquashfsError, the device may have kept a damaged copy: the device is told to
    discard that, and the bytes are read and decoded a second time.
    """
    try:
        return decode(raw)
    except SquashfsError:
        discard: Discard | None = getattr(device, "discard", None)
        if discard is None or not discard(offset, bytes(raw)):
            raise
    return decode(read_exactly(device, offset, len(raw), what))
