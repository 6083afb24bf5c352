"""A squashfs image under way: members in any order, then the tables, then the superblock.

Contents are written as they come. Of each member, the tree keeps what its inode needs; the tables
are made of that at the end. So the writer seeks nowhere, and stands on any `Output`.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from os import cpu_count
from typing import TYPE_CHECKING, NamedTuple, Self

from s3archivefs.checksums import CHECKSUM
from s3archivefs.errors import PackingError
from s3archivefs.format import (
    ABSENT_32,
    ABSENT_64,
    MAGIC,
    METADATA_BLOCK_STORED,
    FragmentEntry,
    Superblock,
    SuperblockFlags,
)
from s3archivefs.inode import FileKind
from s3archivefs.parallel import Workers
from s3archivefs.printed import printed
from s3archivefs.writer.compressors import compressor_for
from s3archivefs.writer.data import DataWriter
from s3archivefs.writer.entries import Entry, HardLink, UnfitError
from s3archivefs.writer.ids import IdTable
from s3archivefs.writer.inode_records import (
    DUPLICATE,
    Attributes,
    device_record,
    file_record,
    ipc_record,
    marked,
    symlink_record,
)
from s3archivefs.writer.metadata import Positions, write_lookup_table
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.pruning import prune
from s3archivefs.writer.tree import Directory, Tree
from s3archivefs.writer.tree_tables import TreeTables
from s3archivefs.writer.xattrs import XattrTable

if TYPE_CHECKING:
    from collections.abc import Container
    from types import TracebackType

    from s3archivefs.writer.compressors import Compressor
    from s3archivefs.writer.data import Stored
    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.output import Output

__all__ = ["ImageWriter", "Packed"]

_TIME_MAX = (1 << 32) - 1
_PERMISSIONS = 0o7777
_VERSION = (4, 0)
_UNCOMPRESSED = (
    SuperblockFlags.UNCOMPRESSED_INODES,
    SuperblockFlags.UNCOMPRESSED_DATA,
    SuperblockFlags.UNCOMPRESSED_FRAGMENTS,
    SuperblockFlags.UNCOMPRESSED_XATTRS,
    SuperblockFlags.UNCOMPRESSED_IDS,
)


class Packed(NamedTuple):
    """What an image holds."""

    size: int
    """Bytes of the image, without its padding."""
    inodes: int
    files: int
    """Regular files that were added, but for those that later members replaced."""
    content_bytes: int
    """Bytes of those files, as they would be extracted."""
    duplicates: int
    """Files among them whose content the image held already when they came."""


class ImageWriter:
    """Writes one image to an output; a context manager.

        with ImageWriter(FileOutput("a.sqfs")) as image:
            image.add(Entry(b"docs/README", open=lambda: io.BytesIO(b"Hello"), mtime=1700000000))

    Leaving the context finishes the image; an error abandons it. One thread uses it at a time.
    """

    def __init__(
        self,
        output: Output,
        options: PackOptions | None = None,
        *,
        compressor: Compressor | None = None,
        start: int = 0,
        fragment_entries: bytes = b"",
        repeated_sizes: Container[int] | None = None,
    ) -> None:
        """Begin an image; one that extends another begins at `start`, with its fragments.

        `repeated_sizes` are those that several files to come have, where that is known: others are
        not compared, and so not hashed either.
        """
        self._options = options = options or PackOptions()
        self._output = output
        self._compressor = compressor = compressor or compressor_for(options)
        self._image = Positions(output.write, start)
        self._workers = Workers(cpu_count() or 1, "s3archivefs-pack")
        self._tree = Tree()
        self._ids = IdTable()
        self._xattrs = XattrTable(compressor, self._workers)
        self._data = DataWriter(
            self._image, compressor.encode, self._workers, options, fragment_entries
        )
        self._repeated_sizes = repeated_sizes
        self._newest = 0
        self._files = self._content_bytes = self._duplicates = 0
        if start:
            return
        self._image.write(bytes(Superblock.layout.size))
        if compressor.options:
            header = len(compressor.options) | METADATA_BLOCK_STORED
            self._image.write(header.to_bytes(2, "little") + compressor.options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        else:
            self.abandon()

    def add(self, member: Member) -> int:
        """Add a member, and return its bytes of content.

        It takes the place of an earlier one of its path.

        Raises PackingError for what no image can hold, what the member's source raises, and what
        the output raises; after these, only `abandon` may be called.
        """
        try:
            if isinstance(member, HardLink):
                self._add_link(member)
            elif member.kind is FileKind.FILE:
                return self._add_file(member)
            elif member.kind is FileKind.DIRECTORY:
                self._tree.declare(member.path, self._attributes(member))
            else:
                self._tree.put(*self._place_of(member), self._special_record(member))
        except UnfitError as error:
            raise _unfit(member, error) from error
        return 0

    def finish(self) -> Packed:
        """Write the tables and the superblock; return what the image holds."""
        try:
            packed = self._finish()
        except BaseException:
            self.abandon()
            raise
        self._workers.end()
        return packed

    def abandon(self) -> None:
        """Leave no image."""
        self._workers.end()
        self._output.abandon()

    # ---- Members ---------------------------------------------------------------------------------

    def _add_link(self, link: HardLink) -> None:
        if self._tree.is_pending(link.existing) or self._tree.is_pending(link.path):
            self._data.settle()
        self._tree.link(link.path, link.existing)

    def _place_of(self, entry: Entry) -> tuple[Directory, bytes]:
        """Return the directory that a member goes into, and its name there."""
        directory, name = self._tree.parent_of(entry.path)
        if directory.children.get(name, b"") is None:  # its place may come any time
            self._data.settle()
        return directory, name

    def _add_file(self, entry: Entry) -> int:
        directory, name = self._place_of(entry)
        placed = partial(self._placed, entry, directory, name)
        opened = entry.open or BytesIO  # an empty one
        size, repeated = entry.size, self._repeated_sizes
        is_alone = repeated is not None and size is not None and size not in repeated
        content = opened()
        try:
            reopen = opened if entry.reopens else None
            length, stored = self._data.store(
                content,
                placed,
                reopen,
                size=size,
                is_alone=is_alone,
                is_at_hand=entry.is_at_hand,
            )
        finally:
            content.close()
        if stored is None:
            self._tree.put(directory, name, None)
        else:
            placed(stored)
        if size is not None and length != size:
            raise PackingError(
                f"{printed(entry.path)}: changed while it was packed: {length} bytes, where there"
                f" were {size}; pack again while nothing writes to it"
            )
        self._files += 1
        self._content_bytes += length
        return length

    def _placed(self, entry: Entry, directory: Directory, name: bytes, stored: Stored) -> None:
        """Make a file a member, now that its content has its place."""
        try:
            attributes = self._attributes(entry, stored.digest)
        except UnfitError as error:  # perhaps while another member is added
            raise _unfit(entry, error) from error
        record = file_record(attributes, stored.placement)
        if stored.duplicate:
            self._duplicates += 1
            record = marked(record, DUPLICATE)
        self._tree.put(directory, name, record)

    def _special_record(self, entry: Entry) -> bytes:
        """Return the record of a symlink, device, fifo or socket."""
        attributes = self._attributes(entry)
        if entry.kind is FileKind.SYMLINK:
            return symlink_record(attributes, entry.target)
        if entry.kind in {FileKind.BLOCK_DEVICE, FileKind.CHAR_DEVICE}:
            return device_record(entry.kind.value, attributes, entry.rdev)
        return ipc_record(entry.kind.value, attributes)

    def _attributes(self, entry: Entry, digest: bytes | None = None) -> Attributes:
        xattrs, mtime = entry.xattrs, entry.mtime
        is_shared = True
        if digest is not None and self._options.checksums:
            others = tuple(each for each in xattrs if each[0] != CHECKSUM)
            xattrs = (*others, (CHECKSUM, digest.hex().encode()))
            is_shared = False
        if not 0 <= mtime <= _TIME_MAX:
            mtime = 0 if mtime < 0 else _TIME_MAX
        self._newest = max(self._newest, mtime)
        return Attributes(
            entry.mode & _PERMISSIONS,
            *self._ids.owners(entry.uid, entry.gid),
            mtime,
            self._xattrs.index(xattrs, shared=is_shared) if xattrs else ABSENT_32,
        )

    # ---- Tables ----------------------------------------------------------------------------------

    def _finish(self) -> Packed:
        self._data.finish()
        self._prune()
        time = self._options.image_time(self._newest)
        # unsquashfs refuses images of more ids than two an inode: none is noted unused.
        owner = self._ids.index(0) if self._tree.undeclared else 0
        undeclared = Attributes(0o755, owner, owner, time)
        tables = TreeTables(self._tree, undeclared, self._compressor.encode, self._workers)
        image, options = self._image, self._options
        fragments = bytes(self._data.fragment_entries)
        superblock = Superblock.layout.pack(
            MAGIC,
            self._tree.inode_count,
            time,
            options.block_size,
            len(fragments) // FragmentEntry.layout.size,
            self._compressor.compression,
            options.block_size.bit_length() - 1,
            self._flags(),
            len(self._ids),
            *_VERSION,
            tables.root_reference,
            *self._write_tables(tables, fragments),
        )
        self._output.finish(superblock)
        return Packed(
            image.position,
            self._tree.inode_count,
            self._files - self._tree.lost_files,
            self._content_bytes - self._tree.lost_bytes,
            self._duplicates - self._tree.lost_duplicates,
        )

    def _prune(self) -> None:
        """Leave out of the tables what nothing names any more.

        It looks at all members, which takes 4 % of the time of packing small ones: where none was
        replaced or removed, there is nothing to find.
        """
        if self._tree.has_losses:
            data = self._data
            pruned = prune(self._tree, self._ids, self._xattrs, bytes(data.fragment_entries))
            self._ids, data.fragment_entries = pruned.ids, bytearray(pruned.fragment_entries)
            self._newest = pruned.newest
            self._tree.has_losses = False

    def _write_tables(self, tables: TreeTables, fragments: bytes) -> tuple[int, ...]:
        """Write all tables, in mksquashfs's order; return the end of the image and their starts.

        Format: "The Superblock".
        """
        image, encode = self._image, self._compressor.encode
        inodes = image.write_all(tables.inodes.blocks)
        directories = image.write_all(tables.directories.blocks)
        # Without fragments too, the table has a start: some readers stop at ABSENT_64.
        fragment_list = write_lookup_table(image, fragments, encode)
        export = ABSENT_64
        if self._options.exportable:
            export = write_lookup_table(image, tables.export_table(), encode)
        ids = write_lookup_table(image, self._ids.table(), encode)
        xattrs = self._xattrs.write(image)
        return image.position, ids, xattrs, inodes, directories, fragment_list, export

    def _flags(self) -> int:
        options = self._options
        flags = {
            SuperblockFlags.NO_FRAGMENTS: not options.fragments,
            SuperblockFlags.ALWAYS_FRAGMENTS: options.fragments and options.tail_ends,
            SuperblockFlags.DUPLICATES: options.deduplicate,
            SuperblockFlags.EXPORTABLE: options.exportable,
            SuperblockFlags.NO_XATTRS: not len(self._xattrs),
            SuperblockFlags.COMPRESSOR_OPTIONS: bool(self._compressor.options),
        }
        uncompressed = self._compressor.encode is None
        for flag in _UNCOMPRESSED:
            flags[flag] = uncompressed
        return sum(flag for flag, is_set in flags.items() if is_set)


def _unfit(member: Member, error: UnfitError) -> PackingError:
    return PackingError(f"{printed(member.path)}: {error}; leave it out")
