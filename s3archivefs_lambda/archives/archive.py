"""An open archive, and what opens archives of one kind of store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable

    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.config.location import Location

__all__ = ["Archive", "Opener"]

_BASE_BYTES = 32 << 10
"""What an open archive takes beside what it counts itself: devices, plans, tables. tracemalloc sees
13 KB; the positions of the blocks of long tables come to that.
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """An open archive, one version of it."""

    location: Location
    image: SquashFS
    identity: str
    """The version: see `s3_identity`; device, inode, size and modification time of a file."""
    held_bytes: int = 0
    """Of what was fetched, in memory as long as the archive is open."""
    version: Hashable = None
    """What its opener knows of the version."""

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes at the moment."""
        return _BASE_BYTES + self.held_bytes + self.image.cached_bytes

    def etag(self, stat: Stat) -> str:
        """The ETag of a member, quoted: the same wherever this version of the archive is served
        from the same store.

        It ends in `-1`, as that of an upload of one part, so that no client takes it for an MD5 of
        the content.
        """
        identity = to_bytes(f"{self.identity}\0{stat.reference}")
        return f'"{hashlib.blake2b(identity, digest_size=16).hexdigest()}-1"'


class Opener(Protocol):
    """Opens archives of one kind of store. Thread-safe.

    A version, where its methods take or return one, is the opener's own record of it: a few hundred
    bytes that compare equal where the content is the same. All but `recall` raise
    ArchiveAccessError, those that open raise SquashfsError too.
    """

    @property
    def trusted_seconds(self) -> float:
        """For how long the version that was found is taken for the current one."""

    @property
    def stale_seconds(self) -> float:
        """For how long it may be served while the store cannot be asked."""

    def recall(self, location: Location) -> Any:  # noqa: ANN401 -- a version
        """The version that was there when the archive was last opened, in whichever process; None
        where nothing is known.
        """

    def is_current(self, location: Location, version: Any) -> bool:  # noqa: ANN401 -- likewise
        """Ask the store whether the version is the current one."""

    def open(self, location: Location, before: Any, *, afresh: bool) -> Archive:  # noqa: ANN401 -- likewise
        """Open the current version. `before` is what was there before, or None: if it still is,
        nothing is fetched again that the cache has, unless `afresh`.
        """

    def reopen(self, location: Location, version: Any) -> Archive:  # noqa: ANN401 -- likewise
        """Open the version without asking the store, as far as the cache has what it takes."""

    def wait_idle(self) -> None:
        """Wait until all that is fetched or stored in the background is."""
