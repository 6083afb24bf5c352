"""The mapped archives: opened on first use, kept open, revalidated at intervals.

The known version of an archive outlives its open image: until the interval has passed, the archive
is opened again from the chunk cache, without a request to the store. After the interval, one
request asks whether the version is still current. In an outage of the store the known version is
served for a time, as stale, while a request now and then, in the background, tries the store.
"""

from __future__ import annotations

import logging
import math
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import NotCachedError, SingleFlight, SquashfsError, Superblock, may_wait
from s3archivefs_lambda import accounting
from s3archivefs_lambda.archives.archive import Archive, Opener, member_etags
from s3archivefs_lambda.archives.known_archives import KNOWN_MAX, Known, KnownArchives
from s3archivefs_lambda.archives.local import LocalOpener
from s3archivefs_lambda.archives.open_ahead import OpenAhead
from s3archivefs_lambda.archives.open_images import OpenImages
from s3archivefs_lambda.archives.outages import Outages, is_outage
from s3archivefs_lambda.archives.passing_time import PassingTime
from s3archivefs_lambda.archives.s3 import S3Opener
from s3archivefs_lambda.store.errors import ArchiveReplacedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from types_boto3_s3 import S3Client

    from s3archivefs import Flight, Limits
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.prefix_map import PrefixMap
    from s3archivefs_lambda.config.settings import Config

__all__ = ["Archive", "Archives", "member_etags"]

_LOG = logging.getLogger("s3archivefs")


class Archives:
    """The mapped archives, opened on first use. Thread-safe.

    Every method that opens one raises ArchiveAccessError and the reader's SquashfsError.
    """

    def __init__(
        self,
        config: Config,
        client_factory: Callable[[], S3Client],
        *,
        clock: Callable[[], float] | None = None,
        patience_seconds: float = 2.0,
        known_max: int = KNOWN_MAX,
    ) -> None:
        """Remember the versions of at most `known_max` archives.

        The clock is one of passing time, unless another is given.
        """
        # A service imports construct when it starts: 20 to 60 ms, for which the first request to
        # open an archive would wait.
        Superblock.specification()
        self._config = config
        self._clock = clock = PassingTime() if clock is None else clock
        self._local = LocalOpener(config.limits)
        self._s3 = S3Opener(config, client_factory)
        self._known = KnownArchives(known_max)
        self._images = OpenImages(config.open_archives_bytes, clock)
        self._outages = Outages(clock)
        self._ahead = OpenAhead()
        self.checks: SingleFlight[Location, Archive] = SingleFlight()
        """The checks in flight, each asking a store for an archive's current version."""
        self.reopenings: SingleFlight[tuple[Location, Hashable], Archive] = SingleFlight()
        """The known versions that are being opened from the cache."""
        self.patience_seconds = patience_seconds
        """Seconds that a request waits for the store before it is served the known version.

        A HEAD takes 20 to 100 ms, and under a second if the first attempt fails: while the store
        answers, only confirmed versions are served.
        """

    @property
    def mappings(self) -> PrefixMap:
        """The virtual prefixes and their archives."""
        return self._config.mappings

    @property
    def client(self) -> S3Client:
        """The client that reads the store."""
        return self._s3.client

    @property
    def clock(self) -> Callable[[], float]:
        """The clock, in seconds."""
        return self._clock

    @property
    def revalidate_seconds(self) -> float:
        """The seconds for which what the store said counts as true."""
        return self._config.revalidate_seconds

    @property
    def stale_seconds(self) -> float:
        """The seconds for which it is served in an outage of the store."""
        return self._config.stale_seconds

    @property
    def open_count(self) -> int:
        """How many archives are open."""
        return len(self._images)

    @property
    def open_bytes(self) -> int:
        """The memory of the archives that are open, as they were last weighed."""
        return self._images.weight

    @property
    def chunk_bytes(self) -> int:
        """The memory of cached chunks."""
        return self._s3.chunk_bytes

    def age(self, location: Location) -> float:
        """Return the seconds since a store confirmed an archive's version; infinite without one."""
        return self._age(self._known.peek(location))

    @property
    def limits(self) -> Limits:
        """The reader's limits on each image."""
        return self._config.limits

    def get(self, location: Location) -> Archive:
        """Return the archive at a location in its current version.

        In S3, that is the current version of at most Config.revalidate_seconds ago; in an outage,
        of at most Config.stale_seconds ago. Raises NotCachedError, within `only_cached`, if it is
        not open, or its store must be asked.
        """
        accounting.add_archive(location)
        return self._get(location) if may_wait() else self._at_hand(location)

    def begin(self, location: Location) -> Callable[[], Archive]:
        """Begin to open an archive ahead; return the function that waits for it."""
        ready = self._ahead.begin(accounting.with_current_request(partial(self._get, location)))

        def get() -> Archive:
            accounting.add_archive(location)
            return ready()

        return get

    def _get(self, location: Location) -> Archive:
        opener = self._opener(location)
        # A check started before this request may be stale; reuse only one started after.
        is_later = False
        while True:
            known = self._known.get(location)
            age = self._age(known)
            is_servable = known is not None and age < opener.stale_seconds
            is_fresh = known is not None and age < opener.trusted_seconds
            if is_fresh or (is_servable and self._outages.is_expected(location)):
                assert known is not None  # noqa: S101 -- it has an age
                if not is_fresh and self._outages.retry_is_due(location):
                    self._join_check(location, in_background=True)
                archive = self._opened(location, known)
                if archive is None:
                    continue  # the version is gone, and no longer known
                if not is_fresh:
                    accounting.mark_stale()
                return archive
            check, is_mine = self._join_check(location, in_background=is_servable)
            if not check.wait(self.patience_seconds if is_servable else None):
                self._outages.found_silent(location)
                continue
            if check.was_interrupted or (is_servable and is_outage(check.error)):
                continue
            # An outage answers all waiting requests: each retry would only find it again.
            if is_mine or is_later or is_outage(check.error):
                return check.result()
            is_later = True

    def _at_hand(self, location: Location) -> Archive:
        known = self._known.get(location)
        archive = self._images.get(location)
        if known is not None and known.is_sound and archive is not None and _is_of(archive, known):
            with suppress(OSError):  # a thread tells of it
                if self._age(known) < self._opener(location).trusted_seconds or (
                    location.is_local
                    and not archive.may_hang
                    and self._local.is_current(location, archive.identity)
                ):
                    return archive
        raise NotCachedError

    def discard(self, archive: Archive) -> None:
        """Forget an archive that is replaced or unreadable; the next `get` opens it anew."""
        is_open = self._images.peek(archive.location)
        if is_open is archive or is_open is None:
            self._doubt(archive.location, archive.version)

    def wait_idle(self) -> None:
        """Wait until background work has ended."""
        self._s3.wait_idle()

    def _opener(self, location: Location) -> Opener:
        return self._local if location.is_local else self._s3

    def _age(self, known: Known | None) -> float:
        """Return the seconds since the store confirmed a sound version; infinite without one."""
        is_sound = known is not None and known.is_sound
        return self._clock() - known.confirmed_at if known is not None and is_sound else math.inf

    # ---- Known versions, without the store -------------------------------------------------------

    def _opened(self, location: Location, known: Known) -> Archive | None:
        """Return the known version, opened; None if its bytes are damaged or gone."""
        archive = self._images.get(location)
        if _is_of(archive, known):
            return archive
        try:
            return self.reopenings.do(
                (location, known.version), partial(self._reopen, location, known)
            )
        except (ArchiveReplacedError, SquashfsError) as error:
            _LOG.info("archive %s cannot be opened from the cache: %s", location, error)
            self._doubt(location, known.version)
        return None

    def _reopen(self, location: Location, known: Known) -> Archive:
        archive = self._opener(location).reopen(location, known.version)
        now = self._known.get(location)
        if now is not None and now.version == archive.version:
            self._images.put(archive)
        return archive

    def _doubt(self, location: Location, version: Hashable) -> Known | None:
        """Mark this version as unsound if it is known; return the new record.

        The next request for the archive opens it anew, whatever the cache has of it.
        """
        known = self._known.get(location)
        if known is not None and known.version == version:
            doubted = Known(version, known.confirmed_at, is_sound=False)
            self._known.replace(location, known, doubted)
            archive = self._images.peek(location)
            if archive is not None and archive.version == version:
                self._images.remove(archive)
        return self._known.get(location)

    # ---- Asking the store ------------------------------------------------------------------------

    def _join_check(
        self, location: Location, *, in_background: bool
    ) -> tuple[Flight[Archive], bool]:
        """Join the check in flight, or begin one; return it and whether it is new."""
        check, is_mine = self.checks.join(location)
        if is_mine:
            try:
                fly = partial(self.checks.fly, location, check, partial(self._check, location))
                if not (in_background and _start(accounting.with_current_request(fly))):
                    fly()
            except BaseException:  # before the check began
                self.checks.release({location: check})
                raise
        return check, is_mine

    def _check(self, location: Location) -> Archive:
        """Ask the store for the current version; return the archive open in it."""
        opener = self._opener(location)
        while True:
            known = self._known.get(location)
            began = self._clock()
            try:
                with self._outages.watching(location):
                    archive = self._images.peek(location)
                    if known is None or not known.is_sound or not _is_of(archive, known):
                        archive = None
                    elif not opener.is_current(location, known.version):
                        _LOG.info("archive %s was replaced; opening the new one", location)
                        # From now on the old version is not served, even while the new one opens.
                        known = self._doubt(location, known.version)
                        archive = None
                    if archive is None:
                        archive = self._open(location, known)
            except Exception as error:
                if not is_outage(error):  # the known version is no longer there
                    self._known.replace(location, known, None)
                elif (age := self._age(known)) < opener.stale_seconds:
                    _LOG.warning("archive %s is served as of %d s ago: %s", location, age, error)
                raise
            self._images.put(archive)
            if self._known.replace(location, known, Known(archive.version, began)):
                return archive
            self._images.remove(archive)  # `discard` came meanwhile

    def _open(self, location: Location, known: Known | None) -> Archive:
        """Open the current version, with the help of the last known one."""
        opener = self._opener(location)
        if known is None:
            return opener.open(location, opener.recall(location), refetch=False)
        archive = opener.open(location, known.version, refetch=not known.is_sound)
        if known.is_sound and not _is_of(archive, known):
            _LOG.info("archive %s was replaced; the new one is open", location)
        return archive


def _start(check: Callable[[], None]) -> bool:
    """Run the check in a thread; return False if no thread can start."""
    try:
        # A daemon: the process must end even while the store is silent.
        threading.Thread(target=check, name="s3archivefs-check", daemon=True).start()
    except RuntimeError:  # there are too many, or the process ends
        return False
    return True


def _is_of(archive: Archive | None, known: Known) -> bool:
    """Return whether the archive is open in the known version."""
    return archive is not None and archive.version == known.version
