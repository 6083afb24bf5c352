"""How many bytes of an image each of its tables takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.device_reads import read_decoded
from s3archivefs.errors import CorruptImageError
from s3archivefs.superblock import POINTER_SIZE, tables_of

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice
    from s3archivefs.format import Superblock

__all__ = ["table_sizes"]


def table_sizes(device: BlockDevice, superblock: Superblock) -> dict[str, int]:
    """Return the bytes of each table that the image has, by its name.

    They stand in the order of the disk, and add up to the image's metadata. Reads the start of each
    list of block positions, since the blocks lie before it. Raises CorruptImageError where tables
    overlap.

    Format: "Overview", "Storing Lookup Tables".
    """
    tables = tables_of(superblock)
    starts = {"inodes": tables.inodes.start, "directories": tables.directories.start}
    lists = {
        "fragments": tables.fragments,
        "exports": tables.exports,
        "ids": tables.ids,
        "xattrs": tables.xattrs,
    }
    for name, extent in lists.items():
        if extent is None:
            continue
        # A list begins with the position of the first block, and so does the header of xattrs.
        what = f"the start of the {name} table"
        first = read_decoded(device, extent.start, POINTER_SIZE, what, _position)
        if not max(starts.values()) <= first <= extent.start:
            raise CorruptImageError(f"the {name} table claims to start at {first}", extent.start)
        starts[name] = first
    ends = [*starts.values(), superblock.bytes_used][1:]
    return {name: end - start for (name, start), end in zip(starts.items(), ends, strict=True)}


def _position(data: bytes) -> int:
    return int.from_bytes(data, "little")
