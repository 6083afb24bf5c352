"""The readers of one open image, and the caches that they share."""

from __future__ import annotations

import struct
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, cast

from s3archivefs.cache import WeightedCache
from s3archivefs.compression import codec_for
from s3archivefs.data import DataReader, FragmentBlocks
from s3archivefs.directory import Directory
from s3archivefs.entry_stats import EntryStats
from s3archivefs.errors import CorruptImageError
from s3archivefs.format import EXTENDED, FragmentEntry
from s3archivefs.inode import FileKind, InodeTable
from s3archivefs.metadata import Block, MetadataReader
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.superblock import ID_SIZE, REFERENCE_SIZE, Extent, tables_of
from s3archivefs.tables import ExportTable, FragmentTable, IdTable, LookupTable
from s3archivefs.xattr import XattrTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.device import BlockDevice
    from s3archivefs.format import Superblock
    from s3archivefs.inode import Inode, Stat
    from s3archivefs.limits import Limits
    from s3archivefs.runs import Entry

__all__ = ["Readers", "open_readers"]

# These bound what one fault may cost: a path leads through few blocks, and lists are short.
_KEPT_IN_DOUBT = 64  # blocks and what was made of them
_LIST_BYTES = 4096  # of one list
_LISTING_BYTES = 256 << 10  # of listings' blocks: neighbouring listings share a block
_FRAGMENTS_SHARE = 64  # places of fragment blocks take one such part of the cache
_weight = attrgetter("weight")


class Pooled(Protocol):
    """What is made of metadata blocks, and kept beside them."""

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, roughly."""

    @property
    def extents(self) -> Sequence[tuple[int, int]]:
        """Ranges of the image that it was decoded from."""


class Readers(NamedTuple):
    """The readers of one image, and the caches they share."""

    inodes: InodeTable
    stats: EntryStats
    data: DataReader
    fragments: FragmentBlocks
    xattrs: XattrTable | None
    exports: ExportTable | None
    listings: MetadataReader
    pool: WeightedCache[Block | Pooled]
    """Metadata of all kinds: what is used most takes the most."""
    listing_blocks: WeightedCache[Block]
    """A few blocks of listings; the pool has what they hold, as Listings."""
    data_blocks: WeightedCache[bytes]
    lists: tuple[Extent, ...]
    """Extents of the look-up tables' lists of block positions."""

    def in_doubt(self) -> list[tuple[int, int]]:
        """Return the ranges of the image that may be damaged where its metadata is.

        These are where the metadata used last was decoded from, and the beginnings of the look-up
        tables' lists.
        """
        ranges = [(start, min(end, start + _LIST_BYTES)) for start, end in self.lists]
        for key, kept in (
            *self.pool.newest(_KEPT_IN_DOUBT),
            *self.listing_blocks.newest(_KEPT_IN_DOUBT),
        ):
            if isinstance(kept, Block):
                ranges.append((cast("int", key), kept.end))
            else:
                ranges += kept.extents
        return ranges + self.fragments.in_doubt()

    def forget(self) -> None:
        """Clear the caches."""
        for cache in self._caches:
            cache.clear()
        self.stats.forget()

    @property
    def cached_bytes(self) -> int:
        """Bytes that the caches hold."""
        # Asked for with each use of an archive: a sum over `_caches` takes three times as long.
        own = self.pool.weight + self.listing_blocks.weight + self.data_blocks.weight
        return own + self.fragments.weight

    @property
    def _caches(self) -> tuple[WeightedCache[Any] | FragmentBlocks, ...]:
        return self.pool, self.listing_blocks, self.data_blocks, self.fragments

    def directory(self, inode: Inode) -> Directory:
        """Return the directory of an inode."""
        pool = cast("WeightedCache[Any]", self.pool)
        return Directory(inode, self.inodes, self.listings, pool, pool)

    def root(self, reference: int) -> Directory:
        """Return the root directory, by its inode's reference."""
        inode = self.inodes.inode(reference)
        if inode.kind is not FileKind.DIRECTORY:
            kind = inode.kind.name.lower()
            raise CorruptImageError(f"the root inode is a {kind}, not a directory", inode.tail[0])
        return self.directory(inode)

    def content_place(self, stat: Stat) -> ContentPlace:
        """Return where the content of a regular file lies, by its attributes."""
        try:
            return self.stats.content_of(stat)
        except struct.error:  # the inode continues in the next block
            return self.inodes.inode(stat.reference).content

    def entry_inode(self, entry: Entry) -> Inode:
        """Return the inode of a directory's entry.

        Raises CorruptImageError where entry and inode differ in number or type.
        """
        inode = self.inodes.inode(entry.reference)
        header = inode.header
        # Entries have the basic type of an extended inode too.
        is_of_type = entry.type in {header.type, header.type - EXTENDED}
        if header.inode_number != entry.inode_number or not is_of_type:
            raise CorruptImageError(
                f"directory entry {entry.name!r} says inode {entry.inode_number} of type"
                f" {entry.type}; its inode says {header.inode_number} of type"
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
    data_bytes = limits.cache_bytes * 3 // 8
    listing_bytes = min(limits.cache_bytes // 8, _LISTING_BYTES)
    fragment_bytes = limits.cache_bytes // _FRAGMENTS_SHARE
    pool_bytes = limits.cache_bytes - data_bytes - listing_bytes - fragment_bytes
    pool: WeightedCache[Any] = WeightedCache(pool_bytes, _weight)
    listing_blocks: WeightedCache[Block] = WeightedCache(listing_bytes, _weight)
    # Data takes what metadata leaves free: a small tree of many files has little of that.
    data_blocks: WeightedCache[bytes] = WeightedCache(data_bytes, len, lender=pool)
    lowest = tables.directories.start

    def metadata(name: str, extent: Extent) -> MetadataReader:
        return MetadataReader(device, codec, pool, extent, name)

    def lookup(name: str, extent: Extent, count: int, record_size: int) -> LookupTable:
        reader = metadata(name, Extent(lowest, extent.start))
        return LookupTable(device, reader, count, record_size)

    ids = IdTable(lookup("id", tables.ids, superblock.id_count, ID_SIZE))
    inodes = metadata("inode", tables.inodes)
    entries = exports = xattrs = None
    if tables.fragments is not None:
        size = FragmentEntry.layout.size
        entries = lookup("fragment", tables.fragments, superblock.fragment_count, size)
    fragments = FragmentBlocks(FragmentTable(entries), fragment_bytes)
    if tables.exports is not None:
        exports = ExportTable(
            lookup("export", tables.exports, superblock.inode_count, REFERENCE_SIZE)
        )
    if tables.xattrs is not None:
        xattrs = XattrTable(device, metadata, tables.xattrs, lowest, limits, cache=pool)
    return Readers(
        inodes=InodeTable(inodes, ids, superblock.inode_count, superblock.block_size, limits),
        stats=EntryStats(inodes, ids, superblock.inode_count, superblock.block_size),
        data=DataReader(
            device,
            codec,
            data_blocks,
            fragments,
            superblock,
            limits=limits,
        ),
        fragments=fragments,
        xattrs=xattrs,
        exports=exports,
        listings=MetadataReader(device, codec, listing_blocks, tables.directories, "directory"),
        pool=pool,
        listing_blocks=listing_blocks,
        data_blocks=data_blocks,
        lists=tuple(
            extent
            for extent in (tables.ids, tables.fragments, tables.exports, tables.xattrs)
            if extent is not None
        ),
    )
