"""What a mount answers, in terms of files: it knows nothing of the kernel's messages."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from itertools import chain, count, cycle
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cache import WeightedCache
from s3archivefs.errors import SquashfsError
from s3archivefs.locks import Lock
from s3archivefs.mount.branches import (
    BRANCH_NUMBERS,
    FIRST_PLACE,
    ArchiveBranch,
    Batch,
    Found,
    StaleNodeError,
    Wanted,
    split,
)
from s3archivefs.mount.faults import Place
from s3archivefs.mount.made import MadeBranch
from s3archivefs.names import os_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s3archivefs.content import Content
    from s3archivefs.image import SquashFS
    from s3archivefs.mount.branches import Branch

__all__ = ["ROOT_NODE", "Operations", "Replaced", "Statistics"]

ROOT_NODE = 1
"""The node id of a mount's root, which the kernel knows."""
_MADE = 0  # number of the branch of made directories
_DOTS = (b".", b"..")
_NEAR_BYTES = 1 << 20
"""Up to one request of the kernel's, whose requests may overtake each other."""
_CONTENTS_BYTES = 32 << 20  # of the block lists of files that were read last
_BLOCK_WEIGHT = 12  # bytes of memory that a block takes in its file's list, and its place
_CONTENT_WEIGHT = 1000  # bytes that a file takes besides


class Statistics(NamedTuple):
    """What statfs(2) tells of the tree."""

    blocks: int
    """Blocks of 4 KiB that the images take."""
    files: int


class Replaced(NamedTuple):
    """What an image's replacement leaves."""

    image: SquashFS
    """The old image, to be closed when nothing reads from it any more."""
    directory: int
    """The node of the directory whose names lead elsewhere now."""
    names: Iterator[bytes]
    """Those names, the new ones too."""


class _OpenFile:
    """A file that one reader opened, with its readahead."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.lock = Lock()
        """Held while the file is read: readahead is for one thread at a time."""
        self.expected = 0
        """The byte behind the read that was asked for last."""


class Operations:
    """The operations on a tree of archives, each at its path.

    One at `b""` is all of the tree. Files are known by node ids. Several threads may call at once.
    Raises ValueError where two paths collide, and what the methods of `SquashFS` raise. A node of
    an archive that was replaced raises OSError (ESTALE).
    """

    def __init__(
        self,
        images: Mapping[bytes, SquashFS],
        *,
        is_followed: bool = False,
        branch_numbers: range = BRANCH_NUMBERS,
    ) -> None:
        """`is_followed` says that archives may be replaced.

        `branch_numbers` tell archives apart, those that were replaced too, until all were used.
        """
        if len(images) >= len(branch_numbers):
            raise ValueError(f"{len(images)} archives are more than a mount can tell apart")
        self._is_followed = is_followed
        self._numbers = cycle(branch_numbers)
        self._archives = [
            ArchiveBranch(image, number, index)
            for index, (image, number) in enumerate(
                zip(images.values(), self._numbers, strict=False)
            )
        ]
        self._paths = [*images]
        self._branches: dict[int, Branch] = {each.number: each for each in self._archives}
        made = MadeBranch(self._archives, int(time.time()))
        if [*images] != [b""]:
            for index, path in enumerate(images):
                made.add(path, index)
            self._branches[_MADE] = made
        self._contents: WeightedCache[Content] = WeightedCache(_CONTENTS_BYTES, _weight)
        self._open: dict[int, _OpenFile] = {}
        self._handles = count(1)

    @property
    def is_distant(self) -> bool:
        """Whether any image is slow to begin a read, so that readers need handles."""
        return any(each.image.is_distant for each in self._archives)

    @property
    def has_xattrs(self) -> bool:
        """Whether any file may have extended attributes, now or in an archive to come."""
        return self._is_followed or any(each.image.has_xattrs for each in self._archives)

    @property
    def is_exportable(self) -> bool:
        """Whether nodes from outside can be checked: of one archive with an export table."""
        return self._paths == [b""] and self._archives[0].image.has_exports

    @property
    def images(self) -> list[SquashFS]:
        """The images, in the order in which they were given."""
        return [each.image for each in self._archives]

    def replace(self, index: int, image: SquashFS) -> Replaced:
        """Put an image in the place of another.

        Nodes of the old one are stale from then on; so is what the caller keeps of the names that
        are returned.
        """
        old = self._archives[index]
        number = next(number for number in self._numbers if number not in self._branches)
        new = ArchiveBranch(image, number, index)
        self._branches[new.number] = new
        self._archives[index] = new
        del self._branches[old.number]
        path = self._paths[index]
        if not path:
            return Replaced(old.image, ROOT_NODE, self._names_at_top(old.image, image))
        *above, name = path.split(b"/")
        node = ROOT_NODE
        for each in above:
            found = self.look_up(node, each)
            assert found is not None  # noqa: S101 -- made directories stay
            node = found.node
        return Replaced(old.image, node, iter([name]))

    @staticmethod
    def _names_at_top(*images: SquashFS) -> Iterator[bytes]:
        """Yield the names that a root has, or had before."""
        for image in images:
            with suppress(SquashfsError, OSError):  # as far as they can be read
                for _, run in image.runs_of_node(image.root_reference):
                    yield from run.names

    def statistics(self) -> Statistics:
        """Return what the archives take together."""
        superblocks = [each.image.superblock for each in self._archives]
        return Statistics(
            sum(-(-each.bytes_used // 4096) for each in superblocks),
            sum(each.inode_count for each in superblocks),
        )

    def name_of(self, node: int) -> Place:
        """Return how a message names a node: its archive, and where its inode lies."""
        number, reference = split(node)
        branch = self._branches.get(number, self._archives[0])
        return Place(branch.name, f"inode at {reference:#x}")

    # ---- names and attributes --------------------------------------------------------------------

    def look_up(self, directory: int, name: bytes) -> Found | None:
        """Return the file of that name in a directory, or None.

        `.` and `..` mean a node that comes from outside, as those in NFS's file handles do, and the
        directory above one: see `is_exportable`.
        """
        branch, reference = self._at(directory)
        if name not in _DOTS:
            return branch.named(reference, name)
        if not (self.is_exportable and isinstance(branch, ArchiveBranch)):
            return None
        found = branch.exported(reference) if name == b"." else branch.parent(reference)
        is_root = found.stat.reference == branch.root
        return found._replace(node=ROOT_NODE) if is_root else found

    def attributes(self, node: int) -> Found:
        """Return a file by its node."""
        branch, reference = self._at(node)
        return branch.stat(reference)

    def listed(
        self, directory: int, place: int = 0, wanted: Wanted = Wanted.NONE
    ) -> Iterator[Batch]:
        """Return the names in a directory from a place on, `.` and `..` first.

        The first place is 0; any later one is behind a name that was met. Attributes come along as
        they are wanted, but for `.` and `..`.
        """
        branch, reference = self._at(directory)
        names = branch.listed(reference, max(place, FIRST_PLACE), wanted)
        if place >= FIRST_PLACE:
            return names
        own = branch.stat(reference)
        count = len(_DOTS[place:])
        types, numbers = [own.stat.mode >> 12] * count, [own.inode_number] * count
        return chain([Batch(place, _DOTS[place:], types, numbers, [0] * count)], names)

    def target(self, node: int) -> bytes:
        """Return the target of a symlink."""
        branch, reference = self._at(node)
        return branch.target(reference)

    def xattrs(self, node: int) -> list[bytes]:
        """Return the names of extended attributes."""
        branch, reference = self._at(node)
        return branch.xattrs(reference)

    def xattr(self, node: int, name: bytes) -> bytes:
        """Return the value of an extended attribute, or raise OSError (ENODATA)."""
        branch, reference = self._at(node)
        value = branch.xattr(reference, name)
        if value is None:
            raise os_error(errno.ENODATA, name)
        return value

    # ---- contents --------------------------------------------------------------------------------

    def open(self, node: int) -> int:
        """Return a handle for one reader of a regular file, to be closed."""
        branch, reference = self._at(node)
        handle = next(self._handles)
        self._open[handle] = _OpenFile(branch.content(reference))
        return handle

    def close(self, handle: int) -> None:
        """Close a handle, and drop what was fetched ahead for it."""
        file = self._open.pop(handle, None)
        if file is not None:
            file.content.close()

    def continues(self, handle: int, start: int, size: int) -> bool:
        """Return whether a read goes on about where the one before it ended.

        Ask once for each read, in their order.
        """
        file = self._open[handle]
        distance, file.expected = start - file.expected, start + size
        return abs(distance) <= _NEAR_BYTES

    def read(self, node: int, start: int, size: int, handle: int = 0) -> list[bytes | memoryview]:
        """Return the bytes of a file from `start` on, in pieces.

        They are fewer than `size` at its end. With a handle they are fetched ahead, unless another
        thread reads by that handle now.
        """
        branch, reference = self._at(node)
        if handle:
            file = self._open[handle]
            if file.lock.acquire(blocking=False):
                try:
                    return _read(file.content, start, size)
                finally:
                    file.lock.release()
        content = self._contents.peek(node)
        if content is None:
            content = branch.content(reference)
            content.close()  # as several threads share it, it reads nothing ahead
            self._contents.put(node, content)
        return _read(content, start, size)

    def archive_of(self, node: int) -> int:
        """Return the index of a node's archive; 0 for a directory made above archives."""
        branch = self._branches.get(split(node)[0])
        return branch.index if isinstance(branch, ArchiveBranch) else 0

    def _at(self, node: int) -> tuple[Branch, int]:
        number, reference = split(node)
        branch = self._branches.get(number)
        if branch is not None:
            return branch, reference
        if node == ROOT_NODE:
            return self._archives[0], self._archives[0].root
        raise StaleNodeError(node)


def _read(content: Content, start: int, size: int) -> list[bytes | memoryview]:
    stop = min(start + size, content.size)
    return [*content.pieces(start, stop)] if start < stop else []


def _weight(content: Content) -> int:
    return _CONTENT_WEIGHT + content.block_count * _BLOCK_WEIGHT
