"""Archives as the parts of one listing, opened as it reaches them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import SquashfsError
from s3archivefs_lambda.archives.open_ahead import OPEN_AHEAD_THREADS
from s3archivefs_lambda.bucket.faults import ArchiveFaultError
from s3archivefs_lambda.bucket.links import may_follow
from s3archivefs_lambda.store.errors import (
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
)
from s3archivefs_lambda.text import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.archives.archives import Archive, Archives
    from s3archivefs_lambda.config.location import Location

__all__ = ["ArchiveSource", "OpenedAhead"]


class OpenedAhead:
    """Archives that are opened before a listing comes to them.

    Each time they are up to twice as many, but none behind the first, with which most pages end.
    """

    def __init__(self, archives: Archives) -> None:
        self._archives = archives
        # By virtual prefix, as one archive may be mapped to several.
        self._begun: dict[bytes, Callable[[], Archive]] = {}
        self._most = 0

    def take(
        self, virtual: bytes, location: Location, following: Iterator[tuple[bytes, Location]]
    ) -> Callable[[], Archive]:
        """Return the function that opens an archive; begin to open some of the following."""
        get = self._begun.pop(virtual, None) or partial(self._archives.get, location)
        while len(self._begun) < self._most:
            ahead = next(following, None)
            if ahead is None:
                return get
            self._begun[ahead[0]] = self._archives.begin(ahead[1])
        self._most = min(max(1, 2 * self._most), OPEN_AHEAD_THREADS)
        return get


class ArchiveSource:
    """An archive as a part of one listing."""

    def __init__(
        self,
        archives: Archives,
        location: Location,
        virtual: bytes,
        get: Callable[[], Archive | None],
        *,
        alone: bool,
        may_read: Callable[[str], bool] | None,
    ) -> None:
        """`get` opens it, or finds that there is none. `alone`: nothing else is listed.

        `may_read` tells which keys the asker may read; None if that may be any.
        """
        self.walk_depth = archives.limits.walk_depth
        self.is_absent = False
        """Whether `image` found that there is no archive."""
        self._archives = archives
        self._location = location
        self._virtual = virtual
        self._get = get
        self._alone = alone
        self._may_read = may_read
        self._is_opened = False
        self._archive: Archive | None = None

    def image(self) -> SquashFS | None:
        """Return the archive's image, or None if the listing goes without it.

        A listing across many archives goes without one that cannot be read until somebody mends
        it. Any other fault fails the listing, for clients take a key that is not listed for deleted
        (`aws s3 sync --delete`).
        """
        if not self._is_opened:
            self._is_opened = True
            try:
                self._archive = self._get()
                self.is_absent = self._archive is None
            except (OSError, SquashfsError) as error:
                fault = self.failure(error)
                if self._alone or not _is_lasting(error):
                    raise fault from error
                fault.log()
        return None if self._archive is None else self._archive.image

    def etags(self, stats: Iterable[Stat]) -> list[str]:
        """Return the ETags of members of the archive, once it is open."""
        assert self._archive is not None  # noqa: S101 -- its members come from its image
        return self._archive.etags(stats)

    def may_list(self, link: bytes) -> bool:
        """Return whether the asker may read what the symlink of this key leads to."""
        if self._may_read is None or self._archive is None:
            return True
        path = to_text(link.removeprefix(self._virtual))
        return may_follow(self._archive.image, to_text(self._virtual), path, self._may_read)

    def failure(self, error: OSError | SquashfsError) -> ArchiveFaultError:
        """Return the error that fails the listing, as the archive cannot be read."""
        if self._archive is not None and isinstance(error, ArchiveReplacedError):
            self._archives.discard(self._archive)
        return ArchiveFaultError(error, self._location, self._virtual.decode("utf-8", "replace"))


def _is_lasting(error: OSError | SquashfsError) -> bool:
    """Return whether the fault is the archive's own and stays until somebody mends it."""
    lasting = (ArchiveNotFoundError, ArchiveForbiddenError, SquashfsError)
    return isinstance(error, lasting) and not isinstance(error, ArchiveCredentialsError)
