"""Look-up tables: ids, fragments, exports.

A look-up table has records of one size, in metadata blocks of 8 KiB each, and a list of the blocks'
positions.
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING

from s3archivefs.cache import kept_property
from s3archivefs.device_reads import read_decoded
from s3archivefs.errors import CorruptImageError
from s3archivefs.format import METADATA_BLOCK_SIZE, FragmentEntry
from s3archivefs.metadata import HEADER_SIZE
from s3archivefs.superblock import POINTER_SIZE, REFERENCE_SIZE, block_count

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice
    from s3archivefs.metadata import MetadataReader

__all__ = ["ExportTable", "FragmentTable", "IdTable", "LookupTable"]

_FRAGMENT_COUNT = 16  # bytes from the start of the image to the superblock's field


class LookupTable:
    """A table of `count` records of `record_size` bytes each, read on first use.

    Its metadata blocks lie in the reader's extent, at the end of which the last one ends. The list
    of their positions starts there too, unless `list_start` says otherwise.

    Format: "Storing Lookup Tables".
    """

    def __init__(
        self,
        device: BlockDevice,
        reader: MetadataReader,
        count: int,
        record_size: int,
        *,
        list_start: int | None = None,
    ) -> None:
        self._device = device
        self._reader = reader
        self._name = reader.name
        self._list_start = reader.extent.end if list_start is None else list_start
        self._count = count
        self._record_size = record_size

    def __len__(self) -> int:
        return self._count

    def record(self, index: int) -> bytes:
        """Return the bytes of record `index`, counted from 0."""
        if not 0 <= index < self._count:
            raise CorruptImageError(
                f"{self._name} {index} of {self._count} was asked for", self._list_start
            )
        number, offset = divmod(index * self._record_size, METADATA_BLOCK_SIZE)
        data = self.block(number)
        return data[offset : offset + self._record_size]

    def extent_of(self, index: int) -> tuple[int, int]:
        """Return the range of the image that holds record `index`, by the list of blocks."""
        number = index * self._record_size // METADATA_BLOCK_SIZE
        start, end = (*self._positions[number : number + 2], self._reader.extent.end)[:2]
        return start, end

    def forget_positions(self) -> None:
        """Read the list of blocks again when it is needed next."""
        vars(self).pop("_positions", None)

    def records(self) -> bytes:
        """Return the bytes of all records, in order."""
        return b"".join(self.block(number) for number in range(len(self._positions)))

    def block(self, number: int) -> bytes:
        """Return the bytes of the records in the metadata block of a number."""
        data = self._reader.block(self._positions[number]).data
        due = min(
            METADATA_BLOCK_SIZE, self._count * self._record_size - number * METADATA_BLOCK_SIZE
        )
        if len(data) != due:
            raise CorruptImageError(
                f"block {number} of the {self._name} table holds {len(data)} bytes "
                f"instead of {due}",
                self._positions[number],
            )
        return data

    @kept_property
    def _positions(self) -> array[int]:
        """Starts of the table's metadata blocks, in bytes from the start of the image."""
        blocks = block_count(self._count, self._record_size)
        start = self._list_start
        what = f"the {self._name} table's list of blocks"
        return read_decoded(self._device, start, blocks * POINTER_SIZE, what, self._checked)

    def _checked(self, data: bytes) -> array[int]:
        """Return the positions that the list's bytes hold, each checked."""
        start = self._list_start
        positions = array("Q", struct.unpack(f"<{len(data) // POINTER_SIZE}Q", data))
        # The blocks follow each other without a gap, up to their list (kernel: id.c, fragment.c,
        # export.c).
        lowest, highest = self._reader.extent
        ends = (*positions[1:], highest)
        for position, end in zip(positions, ends, strict=True):
            if not lowest <= position < end <= position + HEADER_SIZE + METADATA_BLOCK_SIZE:
                raise CorruptImageError(
                    f"the {self._name} table's list of blocks names byte {position}, "
                    f"followed by {end}",
                    start,
                )
        return positions


class IdTable:
    """User and group ids: 32 bits each, indexed by the inodes' 16-bit fields.

    Format: "ID Table".
    """

    def __init__(self, table: LookupTable) -> None:
        self._table = table

    @kept_property
    def all(self) -> tuple[int, ...]:
        """All ids, in order."""
        return struct.unpack(f"<{len(self._table)}I", self._table.records())

    def get(self, index: int, position: int) -> int:
        """Return id `index`, which the inode at `position` names.

        `position`, in bytes from the start of the image, is for the error alone.
        """
        try:
            return self.all[index]
        except IndexError:
            raise CorruptImageError(
                f"an inode names id {index} of {len(self._table)}", position
            ) from None


class ExportTable:
    """References of inodes, by inode number.

    Format: "Export Table".
    """

    BLOCK = METADATA_BLOCK_SIZE // REFERENCE_SIZE
    """References in each block of the table but the last."""

    def __init__(self, table: LookupTable) -> None:
        self._table = table

    def __getitem__(self, inode_number: int) -> int:
        """Return the reference of an inode; numbers start at 1."""
        return int.from_bytes(self._table.record(inode_number - 1), "little")

    def block(self, number: int) -> tuple[int, ...]:
        """Return the references in block `number`: from inode BLOCK * number + 1 on."""
        data = self._table.block(number)
        return struct.unpack(f"<{len(data) // REFERENCE_SIZE}Q", data)


class FragmentTable:
    """Positions and sizes of the blocks that hold the tails of files.

    Format: "Fragment Table".
    """

    def __init__(self, table: LookupTable | None) -> None:
        self._table = table

    def __getitem__(self, index: int) -> FragmentEntry:
        if self._table is None:
            raise CorruptImageError(
                f"an inode names fragment {index} in an image without fragments",
                _FRAGMENT_COUNT,
            )
        return FragmentEntry.decode(self._table.record(index))

    def records(self) -> bytes:
        """Return all entries, as FragmentEntry records."""
        return b"" if self._table is None else self._table.records()

    def clear(self) -> None:
        """Forget what was read of the table."""
        if self._table is not None:
            self._table.forget_positions()

    def extents_of(self, index: int) -> list[tuple[int, int]]:
        """Return the range of the image that holds an entry; none without a table."""
        return [] if self._table is None else [self._table.extent_of(index)]
