"""The careful way through a listing, with a message for whatever is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.errors import CorruptImageError
from s3archivefs.format import NAME_MAX, RUN_MAX, DirectoryEntry, DirectoryHeader
from s3archivefs.listing import DOTS, DOTS_SIZE, TYPES
from s3archivefs.runs import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.listing import Segment
    from s3archivefs.metadata import MetadataCursor, MetadataReader

__all__ = ["scan"]


def _ignored(start: int) -> None:
    """Do nothing with the start of a run."""


def scan(
    reader: MetadataReader,
    segment: Segment,
    run_at: Callable[[int], object] = _ignored,
) -> Iterator[Entry]:
    """Yield a segment's entries, reading a metadata block at a time.

    `run_at` is called with the start of each run, in bytes from the start of the listing. Raises
    CorruptImageError where a name is out of order, occurs twice, or could lead out of the
    directory.
    """
    left = segment.end - segment.start
    surplus = segment.surplus
    if left <= surplus:
        return  # an empty directory: its position and offset are meaningless
    cursor = reader.cursor(segment.position, segment.offset)
    unpack_entry = DirectoryEntry.layout.unpack_from
    entry_size = DirectoryEntry.layout.size
    header_size = DirectoryHeader.layout.size
    data, at = b"", 0  # bytes of the table; those not yet decoded start at `at`
    expected, previous = segment.first, b""
    while left + len(data) - at > surplus:
        data, left = _refill(cursor, data[at:], left, header_size, segment.position)
        run_at(segment.end - left - len(data))
        header = DirectoryHeader.decode(data)
        at = header_size
        if header.count_minus_one >= RUN_MAX:
            raise CorruptImageError(
                f"a directory header counts {header.count_minus_one + 1} entries; "
                f"{RUN_MAX} are allowed",
                segment.position,
            )
        block = header.inode_block << 16
        for _ in range(header.count_minus_one + 1):
            if len(data) - at < entry_size:
                data, left = _refill(cursor, data[at:], left, entry_size, segment.position)
                at = 0
            offset, delta, kind, size = unpack_entry(data, at)
            at += entry_size
            if size >= NAME_MAX:
                raise CorruptImageError(
                    f"a name is too long: {size + 1} bytes, where {NAME_MAX} are allowed",
                    segment.position,
                )
            if len(data) - at <= size:
                data, left = _refill(cursor, data[at:], left, size + 1, segment.position)
                at = 0
            name = data[at : at + size + 1]
            at += size + 1
            if kind not in TYPES or b"/" in name or b"\0" in name or name in DOTS:
                raise CorruptImageError(
                    f"a directory entry has type {kind} and name {name!r}", segment.position
                )
            if expected and name != expected:
                raise CorruptImageError(
                    f"the directory index names {expected!r} where {name!r} stands",
                    segment.position,
                )
            expected = b""
            # A look-up searches for a name from the next segment's first name on there.
            if name <= previous or (segment.following and name >= segment.following):
                names = (previous, name) if name <= previous else (name, segment.following)
                raise CorruptImageError(
                    f"directory names {names[0]!r} and {names[1]!r} are out of order",
                    segment.position,
                )
            previous = name
            yield Entry(name, kind, block | offset, header.inode_number + delta)
    left += len(data) - at
    if left not in {0, surplus}:
        raise CorruptImageError(
            f"a directory listing ends {left} bytes before its size of {segment.end};"
            f" writers have 0 or {DOTS_SIZE}",
            segment.position,
        )


def _refill(
    cursor: MetadataCursor, data: bytes, left: int, wanted: int, position: int
) -> tuple[bytes, int]:
    """Read blocks of the listing until `data` has `wanted` bytes, and no further."""
    if len(data) + left < wanted:
        raise CorruptImageError("a directory listing ends within an entry", position)
    while len(data) < wanted:
        piece = cursor.take_some(left)
        data += piece
        left -= len(piece)
    return data, left
