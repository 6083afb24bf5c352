"""An open archive, and the protocol of what opens archives of one kind of store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.config.location import Location

__all__ = ["BASE_BYTES", "Archive", "Opener", "member_etags"]

BASE_BYTES = 32 << 10
"""Bytes of an open archive that it does not count itself: devices, plans, tables.

tracemalloc shows 13 KB; the positions of the blocks of long tables add to that.
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """One version of an archive, open."""

    location: Location
    image: SquashFS
    identity: str
    """The text that identifies the version: see `store.identity` and `archives.local`."""
    held_bytes: int = 0
    """Bytes that opening fetched and that stay in memory while the archive is open."""
    version: Hashable = None
    """The opener's record of the version."""
    holds_descriptor: bool = False
    """Whether the archive keeps a file open: a process may have few."""
    may_hang: bool = False
    """Whether it is a file of which even the attributes may take for ever."""

    @property
    def weight(self) -> int:
        """The bytes of memory that the archive takes at the moment."""
        return BASE_BYTES + self.held_bytes + self.image.cached_bytes

    def etags(self, stats: Iterable[Stat]) -> list[str]:
        """Return the ETags of members: see `member_etags`."""
        return member_etags(self.identity, stats)


def member_etags(identity: str, stats: Iterable[Stat]) -> list[str]:
    """Return the ETags of members of the archive of that identity, quoted.

    They are the same wherever this version of the archive is served from the same store. They end
    in `-1`, as the ETag of an upload of one part does, so that no client takes one for an MD5.
    """
    of_archive = hashlib.blake2b(to_bytes(f"{identity}\0"), digest_size=16)
    etags = []
    for stat in stats:
        of_member = of_archive.copy()
        of_member.update(b"%d" % stat.reference)
        etags.append(f'"{of_member.hexdigest()}-1"')
    return etags


class Opener(Protocol):
    """What opens archives of one kind of store. Thread-safe.

    A version is the opener's own record: a few hundred bytes, equal for equal content. All methods
    but `recall` raise ArchiveAccessError; those that open raise SquashfsError too.
    """

    @property
    def trusted_seconds(self) -> float:
        """The seconds for which a confirmed version counts as the current one."""

    @property
    def stale_seconds(self) -> float:
        """The seconds for which a confirmed version may be served in an outage."""

    def recall(self, location: Location) -> Any:  # noqa: ANN401 -- a version
        """Return the version that any process opened last, or None if none is recorded."""

    def is_current(self, location: Location, version: Any) -> bool:  # noqa: ANN401 -- likewise
        """Ask the store whether the version is the current one; return the answer."""

    def open(self, location: Location, before: Any, *, refetch: bool) -> Archive:  # noqa: ANN401 -- likewise
        """Open the current version.

        `before` is the last known version, or None. If it is still current, bytes in the cache are
        not fetched again, unless `refetch`.
        """

    def reopen(self, location: Location, version: Any) -> Archive:  # noqa: ANN401 -- likewise
        """Open the version from the cache; ask the store for missing bytes only."""
