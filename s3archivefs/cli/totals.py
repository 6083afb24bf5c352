"""How much there is to read below paths of an image, for the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.errors import SquashfsError
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["stats_below", "totals"]

_FILE = FileKind.FILE  # in Python 3.11 the members of an enum are slow to reach


def totals(image: SquashFS, paths: Iterable[bytes]) -> tuple[int | None, int | None]:
    """Return the number of regular files at and below paths, and their bytes.

    Returns None for both where that cannot be read: the work itself will say why.
    """
    files = size = 0
    try:
        for path in paths:
            for stat in stats_below(image, path):
                if stat.kind is _FILE:
                    files += 1
                    size += stat.size
    except (SquashfsError, OSError):
        return None, None
    return files, size


def stats_below(image: SquashFS, path: bytes) -> Iterator[Stat]:
    """Yield the attributes of a path, or of all that a directory holds.

    No content is read. Raises what `walk` raises.
    """
    stat = image.stat(path)
    if stat.kind is not FileKind.DIRECTORY:
        yield stat
        return
    for top, _, _ in image.walk(path, symlinks_as_files=True):
        for _, stat in image.scandir_stats(top):
            yield stat
