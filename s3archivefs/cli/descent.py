"""What lies below a path of an image, with each directory entered once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol

from s3archivefs.errors import CorruptImageError, LimitExceededError, leads_nowhere
from s3archivefs.inode import FileKind
from s3archivefs.names import AnyPath, decode_as

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.cli.faults import Faults
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["Descent", "Node", "SeenInodes", "Top", "descend", "leads_to_directory"]

_DIRECTORY = FileKind.DIRECTORY  # in Python 3.11 the members of an enum are slow to reach


class Node(Protocol[AnyPath]):
    """A path with what its directory says of it: a DirEntry, or a Top."""

    @property
    def name(self) -> AnyPath:
        """Last name of the path."""

    @property
    def path(self) -> AnyPath:
        """Path from where the descent began."""

    @property
    def kind(self) -> FileKind:
        """Kind of the path itself."""

    @property
    def reference(self) -> int:
        """Place of the inode in the image."""

    def stat(self, *, follow_symlinks: bool) -> Stat:
        """Return the attributes."""

    def scandir(self) -> Iterator[Node[AnyPath]]:
        """Return the entries of a directory."""


class Top(Generic[AnyPath]):
    """The path that a descent begins with."""

    def __init__(self, image: SquashFS, path: AnyPath, *, follow_symlinks: bool = False) -> None:
        """Look the path up; raises what `stat` raises."""
        self._image = image
        self._stat = image.stat(path, follow_symlinks=follow_symlinks)
        self.path: AnyPath = path
        self.kind = self._stat.kind
        self.reference = self._stat.reference

    @property
    def name(self) -> AnyPath:
        """Last name of the path; of the root the path itself."""
        slash = decode_as(self.path, b"/")
        return self.path.rstrip(slash).rpartition(slash)[2] or self.path

    def stat(self, *, follow_symlinks: bool) -> Stat:  # noqa: ARG002 -- as DirEntry.stat
        """Return the attributes that were looked up."""
        return self._stat

    def scandir(self) -> Iterator[Node[AnyPath]]:
        """Return the entries of a directory."""
        return self._image.scandir(self.path)


def leads_to_directory(image: SquashFS, path: str | bytes) -> bool:
    """Return whether a path is a directory, or a symlink that leads to one."""
    try:
        return image.stat(path).kind is _DIRECTORY
    except OSError as error:
        if not leads_nowhere(error):
            raise
        return False


class SeenInodes:
    """Inodes by their references: a bit for each byte of their metadata blocks.

    So they take at most an eighth of the inode table, however many there are.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}

    def add(self, reference: int) -> bool:
        """Add an inode; return whether it is new."""
        block, bit = reference >> 16, 1 << (reference & 0xFFFF)
        seen = self._blocks.get(block, 0)
        self._blocks[block] = seen | bit
        return not seen & bit


class Descent:
    """Listings of an image's directories on the way down."""

    def __init__(self, image: SquashFS) -> None:
        self._most = image.limits.walk_depth
        self._entered = SeenInodes()

    def entries(self, directory: Node[AnyPath], depth: int) -> Iterator[Node[AnyPath]]:
        """Yield the entries of a directory, itself `depth` below the top.

        Raises what `enter` raises.
        """
        self.enter(directory, depth)
        yield from directory.scandir()

    def enter(self, directory: Node[AnyPath], depth: int) -> None:
        """Note a directory whose entries are to be listed, itself `depth` below the top.

        Raises CorruptImageError where it is in the tree twice, as one that holds itself is, and
        LimitExceededError past Limits.walk_depth.
        """
        if not self._entered.add(directory.reference):
            raise CorruptImageError("the directory is in the tree twice")
        if depth > self._most:
            raise LimitExceededError("walk_depth", depth, self._most)


def descend(
    image: SquashFS,
    path: AnyPath,
    faults: Faults,
    *,
    max_depth: int | None = None,
    follow_top: bool = False,
) -> Iterator[tuple[int, Node[AnyPath]]]:
    """Yield the path and all below, each with its depth.

    A directory comes before what it holds; no symlink is followed, but with `follow_top` the path.
    Takes memory for some of each directory on the way down. Raises what `stat` of the path raises;
    later faults are reported.
    """
    top = Top(image, path, follow_symlinks=follow_top)
    yield 0, top
    descent = Descent(image)
    on_the_way: list[Iterator[Node[AnyPath]]] = []
    if top.kind is _DIRECTORY and max_depth != 0:
        on_the_way.append(faults.until_fault(descent.entries(top, 0), path))
    while on_the_way:
        depth = len(on_the_way)
        for node in on_the_way[-1]:
            yield depth, node
            if node.kind is _DIRECTORY and depth != max_depth:
                on_the_way.append(faults.until_fault(descent.entries(node, depth), node.path))
                break
        else:
            on_the_way.pop()
