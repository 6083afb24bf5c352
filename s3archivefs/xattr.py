"""Extended attributes: sets of names and values, which inodes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    from s3archivefs.cache import WeightedCache
    from s3archivefs.device import BlockDevice
    from s3archivefs.limits import Limits
    from s3archivefs.metadata import MetadataCursor, MetadataReader

__all__ = ["XattrSet", "XattrTable"]

_PREFIX_MASK = 0xFF
_FEW = 16  # pairs that take no longer than other work on an inode
_PAIR_WEIGHT = 300  # bytes of memory that a name's place takes besides the name, roughly
_SMALLEST_PAIR = XattrKey.layout.size + 4  # bytes: an empty name, an empty value and its size


class XattrSet(NamedTuple):
    """Where a set stands, and its number of pairs. It is one for all indices that lead there."""

    reference: int
    pair_count: int

    @property
    def is_large(self) -> bool:
        """Whether reading the set anew for each of its inodes would take long."""
        return self.pair_count > _FEW


class _Place(NamedTuple):
    """Where the size of a value stands."""

    position: int
    """Its metadata block, in bytes from the start of the image."""
    offset: int
    """Bytes in the decoded block."""
    is_elsewhere: bool
    """Whether a reference stands there in place of the value."""


class _Places(NamedTuple):
    """The names of a large set, and where their values stand: cached."""

    by_name: dict[bytes, _Place]
    weight: int
    extents: tuple[tuple[int, int], ...]


class _Contents(NamedTuple):
    """The parts of the table: records of sets, and a reader of names and values."""

    ids: LookupTable
    pairs: MetadataReader


class XattrTable:
    """The image's sets of extended attributes, read on first use.

    `open_reader` makes a metadata reader from a table's name and extent. `extent` reaches from the
    table's header to the image's end; `lowest` is the first byte that a metadata block may have.
    `cache` keeps where the values of large sets stand.

    Format: "Extended Attribute Table".
    """

    def __init__(
        self,
        device: BlockDevice,
        open_reader: Callable[[str, Extent], MetadataReader],
        extent: Extent,
        lowest: int,
        limits: Limits,
        *,
        cache: WeightedCache[Any],
    ) -> None:
        self._device = device
        self._open_reader = open_reader
        self._extent = extent
        self._lowest = lowest
        self._limits = limits
        self._cache = cache

    def set_at(self, index: int) -> XattrSet:
        """Return the set of an index."""
        record = XattrId.decode(self._contents.ids.record(index))
        if not record.count:
            raise CorruptImageError(f"xattr set {index} is empty", self._extent.start)
        self._check_room(record.count * _SMALLEST_PAIR, f"set {index}")
        if record.count > self._limits.xattrs:
            raise LimitExceededError("xattrs", record.count, self._limits.xattrs)
        return XattrSet(record.reference, record.count)

    def names(self, index: int) -> list[bytes]:
        """Return the names of a set, in the image's order, without those of unknown prefixes."""
        return list(self._places(self.set_at(index)).by_name)

    def pairs(self, index: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the attributes of a set in one pass: the first of each name."""
        for name, place in self._places(self.set_at(index)).by_name.items():
            yield name, self._value(name, place)

    def value(self, index: int, wanted: bytes) -> bytes | None:
        """Return the value of the first attribute of that name, or None."""
        found = self.set_at(index)
        if found.is_large:
            place = self._places(found).by_name.get(wanted)
        else:
            walk = self._walk(found, self._cursor(found.reference))
            place = next((place for name, place in walk if name == wanted), None)
        return None if place is None else self._value(wanted, place)

    def _value(self, name: bytes, place: _Place) -> bytes:
        cursor = self._contents.pairs.cursor(place.position, place.offset)
        if place.is_elsewhere:
            if _u32(cursor) != REFERENCE_SIZE:
                raise CorruptImageError(
                    f"xattr {name!r} has its value elsewhere, and no reference to it",
                    self._extent.start,
                )
            cursor = self._cursor(int.from_bytes(cursor.take(REFERENCE_SIZE), "little"))
        size = _u32(cursor)
        self._check_room(size, "a value")
        if size > self._limits.xattr_value_bytes:
            raise LimitExceededError("xattr_value_bytes", size, self._limits.xattr_value_bytes)
        return cursor.take(size)

    def _places(self, found: XattrSet) -> _Places:
        """Return where a set's values stand. A large set is cached: inodes share it."""
        key = "xattrs", *found
        places: _Places | None = self._cache.peek(key) if found.is_large else None
        if places is None:
            cursor = self._cursor(found.reference)
            by_name: dict[bytes, _Place] = {}
            for name, place in self._walk(found, cursor):
                if name is not None:
                    by_name.setdefault(name, place)
            weight = sum(map(len, by_name)) + _PAIR_WEIGHT * len(by_name)
            places = _Places(by_name, weight, (cursor.extent,))
            if found.is_large:
                self._cache.put(key, places)
        return places

    def _walk(
        self, found: XattrSet, cursor: MetadataCursor
    ) -> Iterator[tuple[bytes | None, _Place]]:
        """Yield each pair's name, None where its prefix is unknown, and where its value stands."""
        for _ in range(found.pair_count):
            key = XattrKey.decode(cursor.take(XattrKey.layout.size))
            prefix = XATTR_PREFIXES.get(key.type & _PREFIX_MASK)
            if key.type & ~(_PREFIX_MASK | XATTR_VALUE_ELSEWHERE):
                prefix = None
            name = (prefix or b"") + cursor.take(key.name_size)
            if len(name) > self._limits.xattr_name_bytes:
                raise LimitExceededError(
                    "xattr_name_bytes", len(name), self._limits.xattr_name_bytes
                )
            place = _Place(*cursor.place, bool(key.type & XATTR_VALUE_ELSEWHERE))
            yield None if prefix is None else name, place
            cursor.skip(_u32(cursor))

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
