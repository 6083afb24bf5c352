"""The members of another image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.errors import naming
from s3archivefs.inode import FileKind
from s3archivefs.writer.entries import Entry, HardLink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat
    from s3archivefs.writer.entries import Content, Member
    from s3archivefs.writer.inputs.sizes import Takes

__all__ = ["ImageInput"]


class ImageInput:
    """Yields the members of an open image, files of one directory together.

    `takes` says of a path, and of whether it is a directory, whether to take it with all below.
    Raises what reading the image raises; where it has a name, errors that concern it tell that.
    """

    def __init__(
        self, image: SquashFS, name: str | None = None, *, takes: Takes | None = None
    ) -> None:
        self._image = image
        self._name = name
        self._takes = takes

    def __iter__(self) -> Iterator[Member]:
        with naming(self._name):
            yield from self._members()

    def _members(self) -> Iterator[Member]:
        linked: dict[int, bytes] = {}
        yield self._entry(b"", self._image.stat(b"/"))
        pending = [b""]
        while pending:
            above = pending.pop()
            below = []
            for name, found in self._image.scandir_stats(b"/" + above):
                path = above + b"/" + name if above else name
                is_directory = found.kind is FileKind.DIRECTORY
                if self._takes is not None and not self._takes(path, is_directory=is_directory):
                    continue
                if is_directory:
                    below.append(path)
                elif (
                    found.nlink > 1 and (first := linked.setdefault(found.reference, path)) != path
                ):
                    yield HardLink(path, first)
                    continue
                yield self._entry(path, found)
            pending += reversed(below)

    def size(self) -> int:
        """Return the bytes that the image takes."""
        return self._image.superblock.bytes_used

    def _entry(self, path: bytes, found: Stat) -> Entry:
        image, place = self._image, b"/" + path
        is_file = found.kind is FileKind.FILE
        return Entry(
            path,
            found.kind,
            found.mode,
            found.uid,
            found.gid,
            found.mtime,
            open=partial(self._open, place) if is_file else None,
            size=found.size if is_file else None,
            reopens=True,
            target=image.readlink(place) if found.kind is FileKind.SYMLINK else b"",
            rdev=found.rdev,
            xattrs=tuple(image.xattr_pairs_of_node(found.reference).items()),
        )

    def _open(self, place: bytes) -> Content:
        with naming(self._name):
            return _Content(self._image.open(place), self._name)


class _Content:
    """The content of a file, whose faults are those of its image."""

    def __init__(self, file: Content, image: str | None) -> None:
        self._file = file
        self._image = image

    def read(self, size: int, /) -> bytes | None:
        with naming(self._image):
            return self._file.read(size)

    def close(self) -> None:
        self._file.close()
