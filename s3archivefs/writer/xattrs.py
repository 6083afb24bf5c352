"""The table of extended attributes: sets of names and values, each stored once.

Format: "Extended Attribute Table".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.compression import codec_for
from s3archivefs.format import (
    ABSENT_32,
    ABSENT_64,
    METADATA_BLOCK_SIZE,
    XATTR_PREFIXES,
    XattrId,
    XattrKey,
    XattrTableHeader,
)
from s3archivefs.limits import Limits
from s3archivefs.printed import printed
from s3archivefs.writer.entries import UnfitError
from s3archivefs.writer.metadata import MetadataTable, encoded_block

if TYPE_CHECKING:
    from collections.abc import Collection

    from s3archivefs.parallel import Workers
    from s3archivefs.writer.compressors import Compressor
    from s3archivefs.writer.metadata import Positions

__all__ = ["XattrTable", "has_place"]

_VALUE_MAX = 64 << 10  # bytes: Linux's XATTR_SIZE_MAX
_NAME_MAX = 255  # bytes, with the prefix: Linux's XATTR_NAME_MAX
_TYPES = {prefix: number for number, prefix in XATTR_PREFIXES.items()}


def has_place(name: bytes) -> bool:
    """Return whether the format holds an attribute of that name: user., trusted. or security."""
    return name.partition(b".")[0] + b"." in _TYPES


class XattrTable:
    """The attributes of an image under way."""

    def __init__(self, compressor: Compressor, workers: Workers) -> None:
        self._compressor = compressor
        self._workers = workers
        self._pairs = MetadataTable(compressor.encode, workers)
        self._places: list[tuple[int, int, int]] = []
        """Of each set: place of the first pair, number of pairs, bytes of names."""
        self._known: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def index(self, xattrs: tuple[tuple[bytes, bytes], ...], *, shared: bool) -> int:
        """Return the index of a set; ABSENT_32 for an empty one.

        Sets that other members may have are `shared`: they are looked for among those stored.
        Raises UnfitError for what the format cannot hold.
        """
        if not xattrs:
            return ABSENT_32
        pairs = b"".join(_pair(name, value) for name, value in sorted(xattrs))
        if shared and (known := self._known.get(pairs)) is not None:
            return known
        names = sum(len(name) + 1 for name, _ in xattrs)  # as listxattr(2) counts
        self._places.append((self._pairs.append(pairs), len(xattrs), names))
        index = len(self._places) - 1
        if shared:
            self._known[pairs] = index
        return index

    def keep(self, indexes: Collection[int]) -> dict[int, int]:
        """Leave out all sets but those of some indexes; return the new indexes of these."""
        former, end = self._pairs, self._pairs.place
        former.finish()
        places, known = self._places, self._known
        self._pairs = MetadataTable(self._compressor.encode, self._workers)
        self._places = []
        new_indexes: dict[int, int] = {}
        contents = former.contents(self._decode)
        rest = bytearray()
        ends = [*(place for place, _, _ in places[1:]), end]
        for index, (place, count, names) in enumerate(places):
            size = ends[index] - place  # places are adjacent, and all blocks before the last full
            while len(rest) < size:  # a set may have many blocks
                rest += next(contents)
            if index in indexes:
                new_indexes[index] = len(self._places)
                self._places.append((self._pairs.append(bytes(rest[:size])), count, names))
            del rest[:size]
        self._known = {
            pairs: new_indexes[index] for pairs, index in known.items() if index in new_indexes
        }
        return new_indexes

    def _decode(self, block: bytes) -> bytes:
        codec = codec_for(self._compressor.compression, Limits())
        return codec.decode(block, METADATA_BLOCK_SIZE, "a block of attributes", 0)

    def write(self, image: Positions) -> int:
        """Write the table; return its start, or ABSENT_64 for one without sets."""
        if not self._places:
            return ABSENT_64
        self._pairs.finish()
        pairs_start = image.write_all(self._pairs.blocks)
        ids = b"".join(
            XattrId.layout.pack(self._pairs.reference(place), count, size)
            for place, count, size in self._places
        )
        encode = self._compressor.encode
        positions = [
            image.write(encoded_block(ids[start : start + METADATA_BLOCK_SIZE], encode))
            for start in range(0, len(ids), METADATA_BLOCK_SIZE)
        ]
        header = XattrTableHeader.layout.pack(pairs_start, len(self._places), 0)
        pointers = b"".join(position.to_bytes(8, "little") for position in positions)
        return image.write(header + pointers)


def _pair(name: bytes, value: bytes) -> bytes:
    prefix, _, rest = name.partition(b".")
    kind = _TYPES.get(prefix + b".")
    if kind is None or not rest or len(name) > _NAME_MAX or len(value) > _VALUE_MAX:
        raise UnfitError(
            f"its attribute {printed(name)} of {len(value)} bytes has no place in"
            f" squashfs, which holds user., trusted. and security. with names up to {_NAME_MAX} and"
            f" values up to {_VALUE_MAX} bytes"
        )
    return XattrKey.layout.pack(kind, len(rest)) + rest + len(value).to_bytes(4, "little") + value
