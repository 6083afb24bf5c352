"""Exact reads of a device, repeated where the bytes do not decode."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from s3archivefs.cached_only import check_may_wait
from s3archivefs.errors import CorruptImageError, SquashfsError, TruncatedImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from s3archivefs.device import BlockDevice, Discard

__all__ = ["decoded", "discard_ranges", "read_decoded", "read_exactly"]

T = TypeVar("T")

_NEAR = 8192  # bytes between ranges that are discarded as one


def read_exactly(device: BlockDevice, offset: int, length: int, what: str) -> bytes:
    """Return exactly the `length` bytes of a device at `offset`.

    Raises TruncatedImageError, naming `what` was read, where the device has fewer, and
    CorruptImageError where it returns more; NotCachedError within `only_cached`.
    """
    check_may_wait()
    if offset < 0 or offset + length > device.size:
        raise TruncatedImageError(
            f"{what} ends at byte {offset + length}, "
            f"past the end of the image's {device.size} bytes",
            offset,
        )
    if not length:
        return b""  # no device need know an empty range
    data = device.pread(offset, length)
    # A device that breaks its contract must not become wrong data.
    if data is None or len(data) < length:  # type: ignore[redundant-expr]  # no type stops a device
        raise TruncatedImageError(
            f"{what}: the device returned {len(data or b'')} bytes of {length}", offset
        )
    if len(data) > length:
        raise CorruptImageError(
            f"{what}: the device returned {len(data)} bytes where {length} were asked for", offset
        )
    return data


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
