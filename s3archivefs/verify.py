"""Read all that an image holds, and report what cannot be read."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

from s3archivefs.checksums import CHECKSUM, CHECKSUM_BYTES, checksum_from
from s3archivefs.content import Content
from s3archivefs.errors import CorruptImageError, SquashfsError
from s3archivefs.inode import FileKind
from s3archivefs.listing import Listing
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.names import LinkedPath, decode
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.directory import Directory
    from s3archivefs.inode import Inode, Stat
    from s3archivefs.listing import ScannedEntries
    from s3archivefs.readers import Readers
    from s3archivefs.runs import Entry, Run
    from s3archivefs.xattr import XattrSet

__all__ = ["Problem", "Verifier"]

# In Python 3.11 the members of an enum are slow to reach.
_DIRECTORY = FileKind.DIRECTORY
_SYMLINK = FileKind.SYMLINK


class Problem(NamedTuple):
    """A part of the image that cannot be read."""

    path: str
    """Path of the file or directory concerned; `/` where it is the image."""
    error: SquashfsError

    def __str__(self) -> str:
        return f"{printed(self.path)}: {self.error}"


class Verifier:
    """One verification of the tree below a root, by an image's readers.

    With `on_checksum`, contents are held against the checksums that the image has of them; it is
    called for each file, with whether there is one.
    """

    def __init__(
        self,
        root: Directory,
        readers: Readers,
        inode_count: int,
        progress: Callable[[int, int], object] | None = None,
        on_checksum: Callable[[bool], object] | None = None,
    ) -> None:
        self._progress = progress or _ignore
        self._on_checksum = on_checksum
        self._digest: bytes | None = None
        """The SHA-256 of the content read last, if it was read whole."""
        self._stored: bytes | None = None
        """What the inode's attribute says that it is."""
        self.readers = readers
        self._root = root
        self._inode_count = inode_count
        self._seen: set[int] = set()
        """References of the inodes met."""
        self._exported: tuple[int, tuple[int, ...]] = -1, ()
        """The block of the export table used last: its number, and its references."""
        self._judged: dict[XattrSet, bytes | SquashfsError | None] = {}
        """By large set of attributes, which inodes may share: its checksum, or what is wrong."""

    def problems(self) -> Iterator[Problem]:
        """Yield every problem, in the order of the tree.

        Each inode is read once, however many links it has. This takes as long as reading the whole
        image.
        """
        self._seen.add(self._root.inode.reference)
        root = LinkedPath(None, b"")
        todo: list[tuple[LinkedPath, int]] = [(root, self._root.inode.reference)]
        yield from self._problems_of(root, self._root.inode)
        while todo:
            path, reference = todo.pop()
            below: list[tuple[LinkedPath, int]] = []
            try:
                directory = self.readers.directory(self.readers.inodes.inode(reference))
                for listing in directory.listings():
                    yield from self._problems_among(path, directory, listing, below)
            except SquashfsError as error:
                yield _problem(path, error)
            todo += reversed(below)
        if len(self._seen) != self._inode_count:
            yield _problem(
                root,
                CorruptImageError(
                    f"{self._inode_count} inodes are counted, {len(self._seen)} found"
                ),
            )

    def _problems_among(
        self,
        top: LinkedPath,
        directory: Directory,
        listing: Listing | ScannedEntries,
        below: list[tuple[LinkedPath, int]],
    ) -> Iterator[Problem]:
        if not isinstance(listing, Listing):
            for entry in listing.entries():
                yield from self._problems_below(top, directory, entry, below)
            return
        # Its names rise, the first is that of the index, and the next segment's lies beyond: so a
        # look-up finds each.
        for run in listing.runs():
            are_plain = self._are_plain(run)
            if all(are_plain):
                continue
            for is_plain, entry in zip(are_plain, run.entries(), strict=True):
                if not is_plain:
                    yield from self._problems_below(top, directory, entry, below)

    def _are_plain(self, run: Run) -> list[bool]:
        """Return whether each of a run's entries is sound, with nothing more to read.

        Nothing more is to be read of empty files, devices, fifos and sockets without extended
        attributes.
        """
        references = run.references
        none = [False] * len(references)
        # Of an inode's links the first counts.
        if len({*references}) < len(references) or not self._seen.isdisjoint(references):
            return none
        stats = self.readers.stats.of_run(run, extended=self.readers.xattrs is None)
        plain = [
            stat
            for stat in stats
            if stat and not stat.size and stat.kind is not _DIRECTORY and stat.kind is not _SYMLINK
        ]
        if not plain or not self._are_exported(plain):
            return none
        found = {stat.reference for stat in plain}
        self._seen |= found
        self._progress(len(found), 0)
        return [reference in found for reference in references]

    def _are_exported(self, stats: list[Stat]) -> bool:
        """Return whether the export table, if there is one, leads to these inodes."""
        exports = self.readers.exports
        if exports is None:
            return True
        size = exports.BLOCK
        number, references = self._exported
        try:
            for stat in stats:
                index = stat.inode_number - 1
                if index // size != number:
                    number = index // size
                    references = exports.block(number)
                if references[index % size] != stat.reference:
                    return False
        except SquashfsError:
            return False
        self._exported = number, references
        return True

    def _problems_below(
        self,
        top: LinkedPath,
        directory: Directory,
        entry: Entry,
        below: list[tuple[LinkedPath, int]],
    ) -> Iterator[Problem]:
        path = LinkedPath(top, entry.name)
        found = directory.get(entry.name)  # what this raises is a problem of the directory
        try:
            if found != entry:
                raise CorruptImageError("a look-up of the name does not find its entry")
            inode = self.readers.entry_inode(entry)
            is_directory = inode.kind is _DIRECTORY
            if inode.reference in self._seen:
                if is_directory:
                    raise CorruptImageError("the directory is in the tree twice")
                return
            self._seen.add(inode.reference)
            if is_directory:
                below.append((path, inode.reference))
        except SquashfsError as error:
            yield _problem(path, error)
            return
        yield from self._problems_of(path, inode)

    def _problems_of(self, path: LinkedPath, inode: Inode) -> Iterator[Problem]:
        """Yield the problems of one inode: attributes, target, content, xattrs, export."""
        self._digest = self._stored = None
        for read in (
            self._read_attributes,
            self._read_content,
            self._read_xattrs,
            self._compare_checksum,
            self._read_export,
        ):
            try:
                read(inode)
            except SquashfsError as error:
                yield _problem(path, error)
        self._progress(1, 0)

    def _read_attributes(self, inode: Inode) -> None:
        self.readers.inodes.stat(inode)
        if inode.kind is FileKind.SYMLINK:
            self.readers.inodes.target(inode)

    def _read_content(self, inode: Inode) -> None:
        if inode.kind is FileKind.FILE:
            digest = None if self._on_checksum is None else hashlib.sha256()
            with closing(Content(inode, self.readers.inodes, self.readers.data)) as content:
                for piece in content.pieces(0, content.size):
                    if digest is not None:
                        digest.update(piece)
                    self._progress(0, len(piece))
            self._digest = None if digest is None else digest.digest()

    def _read_xattrs(self, inode: Inode) -> None:
        index, xattrs = self.readers.inodes.xattr_index(inode), self.readers.xattrs
        if index is None or xattrs is None:
            return
        found = xattrs.set_at(index)
        if not found.is_large:
            self._stored = _checksum_among(xattrs.pairs(index))
            return
        if found not in self._judged:
            try:
                self._judged[found] = _checksum_among(xattrs.pairs(index))
            except SquashfsError as error:
                self._judged[found] = error.with_traceback(None)
        judged = self._judged[found]
        if isinstance(judged, SquashfsError):
            raise judged
        self._stored = judged

    def _compare_checksum(self, inode: Inode) -> None:
        if self._on_checksum is None or inode.kind is not FileKind.FILE:
            return
        self._on_checksum(self._stored is not None)
        if self._stored is None or self._digest is None:
            return
        if (expected := checksum_from(self._stored)) is None:
            raise CorruptImageError("its attribute user.sha256 is no SHA-256 in hexadecimal")
        if expected != self._digest:
            raise CorruptImageError(
                f"its content has the SHA-256 {self._digest.hex()}, and its attribute user.sha256"
                f" says {expected.hex()}"
            )

    def _read_export(self, inode: Inode) -> None:
        if self.readers.exports is None:
            return
        number = inode.header.inode_number
        if (reference := self.readers.exports[number]) != inode.reference:
            raise CorruptImageError(
                f"the export table has inode {number} at {reference:#x} instead of"
                f" {inode.reference:#x}"
            )


def _checksum_among(pairs: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Read all attributes of an inode, and return the value of its checksum's.

    Of one that is too long for a checksum, the start shows that, and takes no memory.
    """
    stored = None
    for name, value in pairs:
        if name == CHECKSUM:
            stored = value[: CHECKSUM_BYTES + 1]
    return stored


def _ignore(inodes: int, size: int) -> None:
    """Show no progress."""


def _problem(path: LinkedPath, error: SquashfsError) -> Problem:
    # Without the traceback: its frames hold blocks, and a caller may keep the problem.
    return Problem(decode(path.joined() or b"/"), error.with_traceback(None))
