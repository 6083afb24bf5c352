"""Attributes of a directory's entries, decoded many at once from one metadata block.

`InodeTable` reads one inode after the other, and says what is wrong with it. Whatever is not plain
and sound here is left to it; a property test holds that both return the same.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

from s3archivefs.content_place import ContentPlace
from s3archivefs.errors import SquashfsError
from s3archivefs.file_stats import stats_of_basic_files
from s3archivefs.format import ABSENT_32, EXTENDED, SYMLINK_MAX, BasicFile, ExtendedFile, InodeType
from s3archivefs.inode import FORMAT_BITS, RECORDS, FileKind, Stat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s3archivefs.metadata import MetadataReader
    from s3archivefs.runs import Entry, Run
    from s3archivefs.tables import IdTable

__all__ = ["EntryStats"]

_FILE_TYPE = int(InodeType.FILE)
_EXTENDED_FILE_TYPE = _FILE_TYPE + EXTENDED
_FILE = FileKind.FILE
_FILE_BITS = FORMAT_BITS[_FILE]
_OTHERS = {number: found for number, found in RECORDS.items() if found[0] is not _FILE}
"""Kind and record by type, but for regular files."""
_BITS = (0, *(FORMAT_BITS[kind] for kind in FileKind))
"""Bits of the mode by basic type."""
_MANY = 16  # inodes from which columns take less time
_PERMISSIONS_END = 0o10000
_SIZE_END = 1 << 63
_basic_file = BasicFile.layout.unpack_from
_extended_file = ExtendedFile.layout.unpack_from
_basic_content = struct.Struct("<16x3I").unpack_from
_extended_content = struct.Struct("<16xQ20x2I").unpack_from
_new = tuple.__new__  # takes half the time of Stat()


class EntryStats:
    """A reader of the attributes of entries.

    Format: "Inode Table".
    """

    def __init__(
        self, reader: MetadataReader, ids: IdTable, inode_count: int, block_size: int
    ) -> None:
        self._reader = reader
        self._start = reader.extent.start
        self._ids = ids
        self._inode_count = inode_count
        self._block_size = block_size
        self._last = -1, b""
        """The block used last, with its content: the entries of a directory share it.

        They stand in one attribute, which threads replace whole: none sees one without the other.
        """

    def of_entry(self, entry: Entry) -> Stat | None:
        """Return the attributes of an entry, or None where InodeTable is to judge."""
        _, entry_type, reference, number = entry
        block = reference >> 16
        last, data = self._last
        try:
            if last != block:
                data = self._block(block)
            return self._stat(data, reference & 0xFFFF, reference, entry_type, number)
        except SquashfsError:
            return None

    def of_node(self, reference: int) -> Stat | None:
        """Return the attributes of an inode that no entry led to, or None, likewise."""
        block, offset = reference >> 16, reference & 0xFFFF
        last, data = self._last
        try:
            if last != block:
                data = self._block(block)
            kind = data[offset]
            kind = kind if kind <= EXTENDED else kind - EXTENDED
            return self._stat(data, offset, reference, kind)
        except (SquashfsError, IndexError):
            return None

    def of_run(self, run: Run, *, extended: bool = True) -> list[Stat | None]:
        """Return the attributes of each of a run's entries, or None, likewise.

        They are None for extended inodes too, unless `extended`.
        """
        plain, others = self.parts_of_run(run, extended=extended)
        return [*plain, *others] if plain else others

    def parts_of_run(
        self, run: Run, *, extended: bool = True
    ) -> tuple[Iterable[Stat], list[Stat | None]]:
        """Return the attributes of a run's first entries, and likewise of the rest.

        The first are made as they are asked for: to have all of them at once takes longer.
        """
        count = len(run.offsets)
        try:
            data, ids = self._block(run.block), self._ids.all
        except SquashfsError:
            return (), [None] * count
        plain: Iterable[Stat] = ()
        done = 0
        if count >= _MANY:
            # The last inode may continue in the next block.
            is_cut = run.offsets[-1] > len(data) - BasicFile.layout.size
            whole = run.first(count - 1) if is_cut else run
            plain = stats_of_basic_files(whole, data, ids, self._inode_count, self._block_size)
            done = len(whole.offsets) if plain else 0
        number, block = run.number, run.block << 16
        rest = zip(run.offsets, run.deltas, run.types, strict=True)
        others = [
            self._stat(data, offset, block | offset, kind, number + delta)
            for offset, delta, kind in islice(rest, done, None)
        ]
        if not extended:
            others = [
                stat if stat and data[stat.reference & 0xFFFF] <= EXTENDED else None
                for stat in others
            ]
        return plain, others

    def content_of(self, stat: Stat) -> ContentPlace:
        """Return where the content of a regular file lies that `stat` was returned for.

        Raises SquashfsError where its inode is no longer to be read.
        """
        reference = stat.reference
        block, offset = reference >> 16, reference & 0xFFFF
        last, data = self._last
        if last != block:
            data = self._block(block)
        if data[offset] == _FILE_TYPE:
            start, fragment, tail = _basic_content(data, offset)
        else:
            start, fragment, tail = _extended_content(data, offset)
        return _new(ContentPlace, (reference, stat.size, start, fragment, tail))

    def forget(self) -> None:
        """Drop the block used last."""
        self._last = -1, b""

    def _block(self, block: int) -> bytes:
        data = self._reader.block(self._start + block).data
        self._last = block, data
        return data

    def _stat(
        self,
        data: bytes,
        offset: int,
        reference: int,
        entry_type: int,
        number: int | None = None,
    ) -> Stat | None:
        """Return the attributes of the inode at `offset` of a block, or None.

        Entry and inode must agree in type, and in number if there is one.
        """
        kind, nlink, rdev, fragment = _FILE, 1, 0, ABSENT_32
        try:
            stored = data[offset]
            if stored == _FILE_TYPE:
                stored, mode, uid, gid, mtime, found, _, fragment, _, size = _basic_file(
                    data, offset
                )
            elif stored == _EXTENDED_FILE_TYPE:
                stored, mode, uid, gid, mtime, found, _, size, _, nlink, fragment, _, _ = (
                    _extended_file(data, offset)
                )
            else:
                kind, record = _OTHERS[stored]
                header = record.decode(data, offset)
                stored, mode, mtime, found = (
                    header.type,
                    header.mode,
                    header.mtime,
                    header.inode_number,
                )
                uid, gid, nlink = header.uid_index, header.gid_index, getattr(header, "nlink", 1)
                rdev, size = getattr(header, "rdev", 0), getattr(header, "target_size", 0)
                if size > SYMLINK_MAX:
                    return None
            if (
                (stored == entry_type or stored == entry_type + EXTENDED)
                and (found == number or number is None)
                and 0 < found <= self._inode_count
                and mode < _PERMISSIONS_END
                and size < _SIZE_END
                and (fragment == ABSENT_32 or size % self._block_size)
            ):
                ids = self._ids.all
                mode |= _BITS[entry_type]
                uid, gid = ids[uid], ids[gid]
                return _new(
                    Stat, (mode, uid, gid, mtime, size, nlink, found, kind, rdev, reference)
                )
        except (struct.error, IndexError, KeyError):
            pass  # the record continues in the next block, or a type or id is unknown
        return None
