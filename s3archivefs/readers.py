"""The readers of one open image, and the caches that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from s3archivefs.cache import WeightedCache
from s3archivefs.compression import codec_for
from s3archivefs.data import DataReader
from s3archivefs.directory import Directory
from s3archivefs.errors import CorruptImageError
from s3archivefs.format import FragmentEntry
from s3archivefs.inode import FileKind, InodeTable
from s3archivefs.metadata import Block, MetadataReader
from s3archivefs.superblock import ID_SIZE, REFERENCE_SIZE, Extent, tables_of
from s3archivefs.tables import ExportTable, FragmentTable, IdTable, LookupTable
from s3archivefs.xattr import XattrTable

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice
    from s3archivefs.directory import Entry, Segment
    from s3archivefs.format import Superblock
    from s3archivefs.inode import Inode
    from s3archivefs.limits import Limits

__all__ = ["Readers", "open_readers"]

_DIRECTORY_WEIGHT = 1000  # bytes of memory that an open directory takes, roughly
_ENTRY_WEIGHT = 250  # bytes, likewise, of an entry, or of a segment of a listing
_BLOCK_WEIGHT = 100  # bytes, likewise, of a block besides its content
# These bound what one fault may cost: a path leads through few blocks, and lists are short.
_BLOCKS_IN_DOUBT = 32  # metadata blocks
_LIST_BYTES = 4096  # of one list


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers of one image, and the caches they share."""

    inodes: InodeTable
    data: DataReader
    xattrs: XattrTable | None
    exports: ExportTable | None
    listings: MetadataReader
    entries: WeightedCache[dict[bytes, Entry]]
    segments: WeightedCache[list[Segment]]
    directories: WeightedCache[Directory]
    metadata_blocks: WeightedCache[Block]
    data_blocks: WeightedCache[bytes]
    lists: tuple[Extent, ...]
    """Extents of the look-up tables' lists of block positions."""

    def in_doubt(self) -> list[tuple[int, int]]:
        """Return the ranges of the image that may be damaged where its metadata is.

        These are the metadata blocks used last, and the beginnings of the look-up tables' lists.
        """
        lists = [(start, min(end, start + _LIST_BYTES)) for start, end in self.lists]
        blocks = self.metadata_blocks.newest(_BLOCKS_IN_DOUBT)
        return lists + [(cast("int", position), block.end) for position, block in blocks]

    def forget(self) -> None:
        """Clear the caches."""
        for cache in self._caches:
            cache.clear()

    @property
    def cached_bytes(self) -> int:
        """Bytes that the caches hold."""
        return sum(cache.weight for cache in self._caches)

    @property
    def _caches(self) -> tuple[WeightedCache[Any], ...]:
        return (
            self.entries,
            self.segments,
            self.directories,
            self.metadata_blocks,
            self.data_blocks,
        )

    def directory(self, inode: Inode) -> Directory:
        """Return the directory of an inode."""
        return self.directories.get(
            inode.reference,
            lambda: Directory(inode, self.inodes, self.listings, self.entries, self.segments),
        )

    def root(self, reference: int) -> Directory:
        """Return the root directory, by its inode's reference."""
        inode = self.inodes.inode(reference)
        if inode.kind is not FileKind.DIRECTORY:
            kind = inode.kind.name.lower()
            raise CorruptImageError(f"the root inode is a {kind}, not a directory", inode.tail[0])
        return self.directory(inode)

    def entry_inode(self, entry: Entry) -> Inode:
        """Return the inode of a directory's entry.

        Raises CorruptImageError where entry and inode differ in number or type.
        """
        inode = self.inodes.inode(entry.reference)
        if inode.kind.value != entry.type or inode.header.inode_number != entry.inode_number:
            raise CorruptImageError(
                f"directory entry {entry.name!r} says inode {entry.inode_number} of type"
                f" {entry.type}; its inode says {inode.header.inode_number} of type"
                f" {inode.kind.value}",
                inode.tail[0],
            )
        return inode


def open_readers(device: BlockDevice, superblock: Superblock, limits: Limits) -> Readers:
    """Return the readers of an image whose superblock is sound.

    Raises CorruptImageError where tables are out of order, CodecUnavailableError.
    """
    tables = tables_of(superblock)
    codec = codec_for(superblock.compression, limits)
    blocks: WeightedCache[Block] = WeightedCache(
        limits.cache_bytes // 4, lambda block: len(block.data) + _BLOCK_WEIGHT
    )
    data_blocks: WeightedCache[bytes] = WeightedCache(limits.cache_bytes * 3 // 8, len)
    lowest = tables.directories.start

    def metadata(name: str, extent: Extent) -> MetadataReader:
        return MetadataReader(device, codec, blocks, extent, name)

    def lookup(name: str, extent: Extent, count: int, record_size: int) -> LookupTable:
        reader = metadata(name, Extent(lowest, extent.start))
        return LookupTable(device, reader, count, record_size)

    ids = IdTable(lookup("id", tables.ids, superblock.id_count, ID_SIZE))
    fragments = exports = xattrs = None
    if tables.fragments is not None:
        size = FragmentEntry.layout.size
        fragments = lookup("fragment", tables.fragments, superblock.fragment_count, size)
    if tables.exports is not None:
        exports = ExportTable(
            lookup("export", tables.exports, superblock.inode_count, REFERENCE_SIZE)
        )
    if tables.xattrs is not None:
        xattrs = XattrTable(device, metadata, tables.xattrs, lowest, limits)
    return Readers(
        inodes=InodeTable(
            metadata("inode", tables.inodes),
            ids,
            superblock.inode_count,
            superblock.block_size,
            limits,
        ),
        data=DataReader(
            device,
            codec,
            data_blocks,
            FragmentTable(fragments),
            superblock,
            limits=limits,
        ),
        xattrs=xattrs,
        exports=exports,
        listings=metadata("directory", tables.directories),
        entries=WeightedCache(
            limits.cache_bytes * 3 // 16,
            lambda entries: _DIRECTORY_WEIGHT + len(entries) * _ENTRY_WEIGHT,
        ),
        segments=WeightedCache(
            limits.cache_bytes // 8, lambda segments: len(segments) * _ENTRY_WEIGHT
        ),
        directories=WeightedCache(limits.cache_bytes // 16, lambda _: _DIRECTORY_WEIGHT),
        metadata_blocks=blocks,
        data_blocks=data_blocks,
        lists=tuple(
            extent
            for extent in (tables.ids, tables.fragments, tables.exports, tables.xattrs)
            if extent is not None
        ),
    )
