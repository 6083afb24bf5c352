"""The table of user and group ids, which inodes name by index.

Format: "ID Table".
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from s3archivefs.writer.entries import UnfitError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["IdTable"]

_COUNT_MAX = (1 << 16) - 1  # what the superblock can tell
_ID_MAX = (1 << 32) - 1


class IdTable:
    """The ids of an image under way."""

    def __init__(self) -> None:
        self._indexes: dict[int, int] = {}
        self._owners: dict[tuple[int, int], tuple[int, int]] = {}
        """Indexes of users with their groups: few differ."""

    def __len__(self) -> int:
        return len(self._indexes)

    def index(self, number: int) -> int:
        """Return the index of an id. Raises UnfitError for one too many, or too large."""
        known = self._indexes.get(number)
        if known is not None:
            return known
        if not 0 <= number <= _ID_MAX:
            raise UnfitError(f"an owner's number of {number}; squashfs holds 0 to {_ID_MAX}")
        if len(self._indexes) == _COUNT_MAX:
            raise UnfitError(
                f"more than {_COUNT_MAX} owners and groups, which no image holds; make several"
            )
        return self._indexes.setdefault(number, len(self._indexes))

    def owners(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the indexes of a user and a group. Raises UnfitError as `index` does."""
        known = self._owners.get((uid, gid))
        if known is None:
            known = self._owners[uid, gid] = self.index(uid), self.index(gid)
        return known

    def __iter__(self) -> Iterator[int]:
        """Iterate over the ids, in the order of their indexes."""
        return iter(self._indexes)

    def table(self) -> bytes:
        """Return the ids in the order of their indexes."""
        return array("I", self._indexes).tobytes()
