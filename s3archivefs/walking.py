"""The entries of a directory, and a walk through those below it, as `os.walk`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.entry import DirEntry
from s3archivefs.errors import CorruptImageError, LimitExceededError
from s3archivefs.names import AnyPath, decode_as
from s3archivefs.resolution import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.directory import Entry
    from s3archivefs.entry import Tree
    from s3archivefs.limits import Limits
    from s3archivefs.parts import Parts

__all__ = ["entries", "walk"]


def entries(image: Tree, place: Place, path: AnyPath, start: bytes) -> Iterator[DirEntry[AnyPath]]:
    """The entries of the directory that `path` led to, from the name `start` on."""
    separator = decode_as(path, b"/")
    prefix = path if path.endswith(separator) else path + separator
    for entry in place.directory.entries(start):
        yield DirEntry(image, entry, place, decode_as(path, entry.name), prefix)


def walk(  # noqa: PLR0917 -- SquashFS.walk alone calls it
    image: Tree,
    parts: Parts,
    start: Place,
    top: AnyPath,
    symlinks_as_files: bool,  # noqa: FBT001 -- passed on from the keyword
    limits: Limits,
) -> Iterator[tuple[AnyPath, list[AnyPath], list[AnyPath]]]:
    """What `SquashFS.walk` says, from the directory `start`, which `top` led to."""
    separator = decode_as(top, b"/")
    todo = [(top, 0, start.directory.inode, start.above)]
    seen: set[int] = set()
    while todo:
        path, depth, inode, above = todo.pop()
        if inode.reference in seen:
            raise CorruptImageError(f"directory {path!r} is in the tree twice", inode.tail[0])
        seen.add(inode.reference)
        if depth > limits.walk_depth:
            raise LimitExceededError("walk_depth", depth, limits.walk_depth)
        prefix = path if path.endswith(separator) else path + separator
        directories: list[AnyPath] = []
        others: list[AnyPath] = []
        below: dict[AnyPath, Entry] = {}
        place = Place(parts.directory(inode), above)
        for entry in place.directory.entries():
            name = decode_as(path, entry.name)
            found = DirEntry(image, entry, place, name, prefix)
            is_directory = found.is_dir(follow_symlinks=not symlinks_as_files)
            (directories if is_directory else others).append(name)
            if is_directory and not found.is_symlink():
                below[name] = entry
        yield path, directories, others
        todo += [
            (prefix + name, depth + 1, parts.entry_inode(below[name]), place)
            for name in reversed(directories)
            if name in below
        ]
