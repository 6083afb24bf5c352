"""Symlinks that lead to what an asker may not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import SquashFS

__all__ = ["may_follow"]


def may_follow(image: SquashFS, start: str, path: str, may_read: Callable[[str], bool]) -> bool:
    """Return whether `may_read` holds of the key to which the symlinks in a path lead.

    There may be nothing, which is not told to who may not read it. The keys of the image's members
    begin with `start`. Raises SquashfsError, and NotCachedError for symlinks within `only_cached`.
    """
    real = image.realpath(path)
    return may_read(start + real.removeprefix("/"))
