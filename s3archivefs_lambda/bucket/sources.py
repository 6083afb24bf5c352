"""The mapped archives as the sources of one listing, opened as it reaches them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import SquashfsError
from s3archivefs_lambda.archives.open_ahead import OPEN_AHEAD_THREADS
from s3archivefs_lambda.bucket.faults import ArchiveFaultError
from s3archivefs_lambda.store.errors import (
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.archives.archives import Archive, Archives
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.prefix_map import PrefixMap

__all__ = ["MappedSources"]


class MappedSources:
    """The mappings as parts of one listing: of `prefix`, grouped by `delimiter`."""

    def __init__(
        self, archives: Archives, mappings: PrefixMap, prefix: bytes, delimiter: bytes
    ) -> None:
        self._archives = archives
        self._mappings = mappings
        self._prefix = prefix
        self._delimiter = delimiter
        self._begun: dict[bytes, Callable[[], Archive]] = {}
        self._window = 0  # archives that may be opened ahead
        self._reached = b""  # the highest virtual prefix of an archive that was begun
        self.around = self._mappings.around
        self.first = self._mappings.first

    def source(self, virtual: bytes) -> _Source:
        """Return the archive that is mapped to a virtual prefix."""
        location = self._mappings[virtual].location
        alone = self._prefix.startswith(virtual)
        get = self._begun.pop(virtual, None) or partial(self._archives.get, location)
        self._open_ahead(virtual)
        return _Source(self._archives, location, virtual, get, alone=alone)

    def _open_ahead(self, virtual: bytes) -> None:
        """Begin to open archives behind this one, each time up to twice as many.

        None is opened behind the first, with which most pages end.
        """
        self._reached = max(self._reached, virtual)
        while len(self._begun) < self._window:
            following = self._mappings.first(self._reached + b"\0")
            if following is None or not self._is_entered(following):
                return
            self._begun[following] = self._archives.begin(self._mappings[following].location)
            self._reached = following
        self._window = min(max(1, 2 * self._window), OPEN_AHEAD_THREADS)

    def _is_entered(self, virtual: bytes) -> bool:
        """Return whether an archive's own keys are listed, not only their common prefix."""
        if not virtual.startswith(self._prefix):
            return False
        return not self._delimiter or self._delimiter not in virtual[len(self._prefix) :]


class _Source:
    """An archive as a part of one listing."""

    def __init__(
        self,
        archives: Archives,
        location: Location,
        virtual: bytes,
        get: Callable[[], Archive],
        *,
        alone: bool,
    ) -> None:
        self.walk_depth = archives.limits.walk_depth
        self._archives = archives
        self._location = location
        self._virtual = virtual
        self._get = get
        self._alone = alone
        self._archive: Archive | None = None

    def image(self) -> SquashFS | None:
        """Return the archive's image, or None if the listing goes without it.

        A listing across many archives goes without one that cannot be read until somebody mends
        it. Any other fault fails the listing, for clients take a key that is not listed for deleted
        (`aws s3 sync --delete`).
        """
        try:
            self._archive = self._get()
        except (OSError, SquashfsError) as error:
            fault = self.failure(error)
            if self._alone or not _is_lasting(error):
                raise fault from error
            fault.log()
            return None
        return self._archive.image

    def etag(self, stat: Stat) -> str:
        """Return the ETag of a member of the archive, once it is open."""
        assert self._archive is not None  # noqa: S101 -- its members come from its image
        return self._archive.etag(stat)

    def failure(self, error: OSError | SquashfsError) -> ArchiveFaultError:
        """Return the error that fails the listing, as the archive cannot be read."""
        if self._archive is not None and isinstance(error, ArchiveReplacedError):
            self._archives.discard(self._archive)
        return ArchiveFaultError(error, self._location, self._virtual.decode("utf-8", "replace"))


def _is_lasting(error: OSError | SquashfsError) -> bool:
    """Return whether the fault is the archive's own and stays until somebody mends it."""
    lasting = (ArchiveNotFoundError, ArchiveForbiddenError, SquashfsError)
    return isinstance(error, lasting) and not isinstance(error, ArchiveCredentialsError)
