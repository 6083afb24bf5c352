"""Extended attributes: sets of names and values, which inodes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cache import kept_property
from s3archivefs.device_reads import read_decoded
from s3archivefs.errors import CorruptImageError, LimitExceededError
from s3archivefs.format import (
    XATTR_PREFIXES,
    XATTR_VALUE_ELSEWHERE,
    XattrId,
    XattrKey,
    XattrTableHeader,
)
from s3archivefs.metadata import split_reference
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.superblock import POINTER_SIZE, REFERENCE_SIZE, Extent, block_count
from s3archivefs.tables import LookupTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.device import BlockDevice
    from s3archivefs.limits import Limits
    from s3archivefs.metadata import MetadataCursor, MetadataReader

__all__ = ["XattrTable"]

_PREFIX_MASK = 0xFF
_SMALLEST_PAIR = XattrKey.layout.size + 4  # bytes: an empty name, an empty value and its size


class _Contents(NamedTuple):
    """The parts of the table: records of sets, and a reader of names and values."""

    ids: LookupTable
    pairs: MetadataReader


class XattrTable:
    """The image's sets of extended attributes, read on first use.

    `open_reader` makes a metadata reader from a table's name and extent. `extent` reaches from the
    table's header to the image's end; `lowest` is the first byte that a metadata block may have.

    Format: "Extended Attribute Table".
    """

    def __init__(
        self,
        device: BlockDevice,
        open_reader: Callable[[str, Extent], MetadataReader],
        extent: Extent,
        lowest: int,
        limits: Limits,
    ) -> None:
        self._device = device
        self._open_reader = open_reader
        self._extent = extent
        self._lowest = lowest
        self._limits = limits

    def names(self, index: int) -> list[bytes]:
        """Return the names of a set, in the image's order, without those of unknown prefixes."""
        names: dict[bytes, None] = {}
        for name, _, cursor in self._pairs(index):
            cursor.skip(_u32(cursor))
            if name is not None:
                names[name] = None
        return list(names)

    def value(self, index: int, wanted: bytes) -> bytes | None:
        """Return the value of the first attribute of that name, or None."""
        for name, elsewhere, cursor in self._pairs(index):
            if name != wanted:
                cursor.skip(_u32(cursor))
            elif elsewhere:
                if _u32(cursor) != REFERENCE_SIZE:
                    raise CorruptImageError(
                        f"xattr {wanted!r} has its value elsewhere, and no reference to it",
                        self._extent.start,
                    )
                reference = int.from_bytes(cursor.take(REFERENCE_SIZE), "little")
                return self._value_at(self._cursor(reference))
            else:
                return self._value_at(cursor)
        return None

    def _value_at(self, cursor: MetadataCursor) -> bytes:
        size = _u32(cursor)
        self._check_room(size, "a value")
        if size > self._limits.xattr_value_bytes:
            raise LimitExceededError("xattr_value_bytes", size, self._limits.xattr_value_bytes)
        return cursor.take(size)

    def _pairs(self, index: int) -> Iterator[tuple[bytes | None, bool, MetadataCursor]]:
        """Yield each pair: its name, whether its value stands elsewhere, and a cursor.

        The name is None where its prefix is unknown. The cursor is at the size of the value; the
        caller moves it past the value.
        """
        record = XattrId.decode(self._contents.ids.record(index))
        if not record.count:
            raise CorruptImageError(f"xattr set {index} is empty", self._extent.start)
        self._check_room(record.count * _SMALLEST_PAIR, f"set {index}")
        if record.count > self._limits.xattrs:
            raise LimitExceededError("xattrs", record.count, self._limits.xattrs)
        cursor = self._cursor(record.reference)
        for _ in range(record.count):
            key = XattrKey.decode(cursor.take(XattrKey.layout.size))
            prefix = XATTR_PREFIXES.get(key.type & _PREFIX_MASK)
            if key.type & ~(_PREFIX_MASK | XATTR_VALUE_ELSEWHERE):
                prefix = None
            name = (prefix or b"") + cursor.take(key.name_size)
            if len(name) > self._limits.xattr_name_bytes:
                raise LimitExceededError(
                    "xattr_name_bytes", len(name), self._limits.xattr_name_bytes
                )
            elsewhere = bool(key.type & XATTR_VALUE_ELSEWHERE)
            yield None if prefix is None else name, elsewhere, cursor

    def _check_room(self, size: int, what: str) -> None:
        pairs = self._contents.pairs
        if size > pairs.capacity(pairs.extent.start):
            raise CorruptImageError(
                f"{what} of {size} bytes cannot be within the xattr table", self._extent.start
            )

    def _cursor(self, reference: int) -> MetadataCursor:
        block, offset = split_reference(reference)
        return self._contents.pairs.cursor(self._contents.pairs.extent.start + block, offset)

    @kept_property
    def _contents(self) -> _Contents:
        start, end = self._extent
        size = XattrTableHeader.layout.size
        if start + size > end:
            raise CorruptImageError("the xattr table's header runs past the image's end", start)
        what = "the xattr table's header"
        return read_decoded(self._device, start, size, what, self._decode)

    def _decode(self, raw: bytes) -> _Contents:
        """Return the parts of the table, by its header `raw`."""
        start, end = self._extent
        size = XattrTableHeader.layout.size
        header = XattrTableHeader.parse(raw)
        blocks = block_count(header.count, XattrId.layout.size)
        if not header.count or start + size + blocks * POINTER_SIZE > end:
            raise CorruptImageError(f"the xattr table claims to hold {header.count} sets", start)
        if not self._lowest <= header.pairs_start < start:
            raise CorruptImageError(
                f"the xattr table's pairs start at byte {header.pairs_start}", start
            )
        extent = Extent(header.pairs_start, start)
        ids = LookupTable(
            self._device,
            self._open_reader("xattr id", extent),
            header.count,
            XattrId.layout.size,
            list_start=start + size,
        )
        return _Contents(ids, self._open_reader("xattr", extent))


def _u32(cursor: MetadataCursor) -> int:
    return int.from_bytes(cursor.take(4), "little")
