"""Read all that an image holds, and report what cannot be read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.content import Content
from s3archivefs.errors import CorruptImageError, SquashfsError
from s3archivefs.inode import FileKind
from s3archivefs.names import decode
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.directory import Directory, Entry
    from s3archivefs.inode import Inode
    from s3archivefs.readers import Readers

__all__ = ["Problem", "Verifier"]


class Problem(NamedTuple):
    """A part of the image that cannot be read."""

    path: str
    """Path of the file or directory concerned; `/` where it is the image."""
    error: SquashfsError

    def __str__(self) -> str:
        return f"{printed(self.path)}: {self.error}"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A verification of the tree below a root, by an image's readers."""

    root: Directory
    readers: Readers
    inode_count: int

    def problems(self) -> Iterator[Problem]:
        """Yield every problem, in the order of the tree.

        Each inode is read once, however many links it has. This takes as long as reading the whole
        image.
        """
        seen: set[int] = {self.root.inode.reference}
        todo: list[tuple[bytes, int]] = [(b"", self.root.inode.reference)]
        yield from self._problems_of(b"/", self.root.inode)
        while todo:
            path, reference = todo.pop()
            below: list[tuple[bytes, int]] = []
            try:
                directory = self.readers.directory(self.readers.inodes.inode(reference))
                for entry in directory.entries():
                    yield from self._problems_below(path, directory, entry, seen, below)
            except SquashfsError as error:
                yield _problem(path or b"/", error)
            todo += reversed(below)
        if len(seen) != self.inode_count:
            yield _problem(
                b"/",
                CorruptImageError(f"{self.inode_count} inodes are counted, {len(seen)} found"),
            )

    def _problems_below(
        self,
        top: bytes,
        directory: Directory,
        entry: Entry,
        seen: set[int],
        below: list[tuple[bytes, int]],
    ) -> Iterator[Problem]:
        path = top + b"/" + entry.name
        found = directory.get(entry.name)  # what this raises is a problem of the directory
        try:
            if found != entry:
                raise CorruptImageError("a look-up of the name does not find its entry")
            inode = self.readers.entry_inode(entry)
            is_directory = inode.kind is FileKind.DIRECTORY
            if inode.reference in seen:
                if is_directory:
                    raise CorruptImageError("the directory is in the tree twice")
                return
            seen.add(inode.reference)
            if is_directory:
                below.append((path, inode.reference))
        except SquashfsError as error:
            yield _problem(path, error)
            return
        yield from self._problems_of(path, inode)

    def _problems_of(self, path: bytes, inode: Inode) -> Iterator[Problem]:
        """Yield the problems of one inode: attributes, target, content, xattrs, export."""
        for read in (
            self._read_attributes,
            self._read_content,
            self._read_xattrs,
            self._read_export,
        ):
            try:
                read(inode)
            except SquashfsError as error:
                yield _problem(path, error)

    def _read_attributes(self, inode: Inode) -> None:
        self.readers.inodes.stat(inode)
        if inode.kind is FileKind.SYMLINK:
            self.readers.inodes.target(inode)

    def _read_content(self, inode: Inode) -> None:
        if inode.kind is FileKind.FILE:
            with closing(Content(inode, self.readers.inodes, self.readers.data)) as content:
                for _ in content.pieces(0, content.size):
                    pass

    def _read_xattrs(self, inode: Inode) -> None:
        index = self.readers.inodes.xattr_index(inode)
        if index is not None and self.readers.xattrs is not None:
            for name in self.readers.xattrs.names(index):
                self.readers.xattrs.value(index, name)

    def _read_export(self, inode: Inode) -> None:
        if self.readers.exports is None:
            return
        number = inode.header.inode_number
        if (reference := self.readers.exports[number]) != inode.reference:
            raise CorruptImageError(
                f"the export table has inode {number} at {reference:#x} instead of"
                f" {inode.reference:#x}"
            )


def _problem(path: bytes, error: SquashfsError) -> Problem:
    # Without the traceback: its frames hold blocks, and a caller may keep the problem.
    return Problem(decode(path), error.with_traceback(None))
