"""Hard links, each to a name that this extraction has made of the inode.

That name may have been replaced since, by another member where leading names are left out, or by
anybody else: a link to what stands there now would not have the content of the member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from s3archivefs.extraction.folders import Folder
    from s3archivefs.extraction.making import Identity, Maker, Spot

__all__ = ["HardLinks"]


class _First(NamedTuple):
    """The name by which an inode was made."""

    spot: Spot
    identity: Identity


class HardLinks:
    """The inodes with several names, by their references, and what was made of each."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._firsts: dict[int, _First] = {}
        self._places: dict[tuple[Folder, bytes], int] = {}

    def replace(self, spot: Spot) -> None:
        """Note that a member is to be made there, whatever was before."""
        if self._places:
            reference = self._places.pop((spot.folder, spot.name), None)
            if reference is not None:
                self._firsts.pop(reference, None)

    def link(self, reference: int, spot: Spot) -> bool:
        """Make another name of an inode; return False where its content is to be made."""
        first = self._firsts.get(reference)
        if first is None or self._maker.identity(first.spot) != first.identity:
            return False
        return self._maker.link(first.spot, spot)

    def note(self, reference: int, spot: Spot) -> None:
        """Note what was made of an inode."""
        identity = self._maker.identity(spot)
        if identity is not None:
            self._firsts[reference] = _First(spot, identity)
            self._places[spot.folder, spot.name] = reference
