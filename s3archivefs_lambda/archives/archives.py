"""The archives that the mappings name: opened on first use, kept open, asked for anew at intervals.

What is known of an archive outlives its open image: within the interval it is opened again from the
chunk cache, and the store is asked nothing. Once the interval has passed, one request asks whether
the version is still the current one. While the store cannot be asked, the version that is known is
served for some time, and a request now and then finds out, in the background, whether it answers.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import SingleFlight, SquashfsError
from s3archivefs_lambda import accounting
from s3archivefs_lambda.archives.archive import Archive, Opener
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.archives.known import Known, KnownArchives
from s3archivefs_lambda.archives.local import LocalOpener
from s3archivefs_lambda.archives.open_ahead import OpenAhead
from s3archivefs_lambda.archives.open_images import OpenImages
from s3archivefs_lambda.archives.outages import Outages, is_outage
from s3archivefs_lambda.archives.s3 import S3Opener
from s3archivefs_lambda.store.errors import ArchiveReplacedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from types_boto3_s3 import S3Client

    from s3archivefs import Flight, Limits
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.prefix_map import PrefixMap
    from s3archivefs_lambda.config.settings import Config

__all__ = ["Archive", "Archives"]

_LOG = logging.getLogger("s3archivefs")

_PATIENCE_SECONDS = 2.0
"""How long a request waits for the store before it is served the version that is known. A HEAD
takes 20 to 100 ms, and under a second where the first attempt fails: while the store answers,
nothing is served that it did not confirm.
"""


class Archives:
    """The archives that the mappings name, opened on first use. Thread-safe.

    Every method that opens one raises the errors of s3_device (ArchiveAccessError) and of the
    reader (SquashfsError).
    """

    def __init__(
        self,
        config: Config,
        client_factory: Callable[[], S3Client] = make_archive_client,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._clock = clock
        self._openers: dict[str, Opener] = {
            "file": LocalOpener(config.limits),
            "s3": S3Opener(config, client_factory),
        }
        self._known = KnownArchives()
        self._images = OpenImages(config.open_archives_bytes, clock)
        self._outages = Outages(clock)
        self._ahead = OpenAhead()
        self.checks: SingleFlight[Location, Archive] = SingleFlight()
        """The requests to stores in flight, that ask for current versions."""
        self._reopenings: SingleFlight[tuple[Location, Hashable], Archive] = SingleFlight()

    @property
    def mappings(self) -> PrefixMap:
        """The virtual prefixes and what they are mapped to."""
        return self._config.mappings

    @property
    def limits(self) -> Limits:
        """What each image is allowed."""
        return self._config.limits

    def get(self, location: Location) -> Archive:
        """The archive at a location, as it is now; in S3, or was at most Config.revalidate_seconds
        ago; while S3 cannot be asked, at most Config.stale_seconds ago.
        """
        accounting.add_archive(location)
        return self._get(location)

    def begin(self, location: Location) -> Callable[[], Archive]:
        """Begin to get an archive that this request will come to soon; what is returned gets it."""
        ready = self._ahead.begin(accounting.with_current_request(partial(self._get, location)))

        def get() -> Archive:
            accounting.add_archive(location)
            return ready()

        return get

    def _get(self, location: Location) -> Archive:
        opener = self._openers[location.scheme]
        is_later = False  # than this request: what began before it may tell of the time before it
        while True:
            known = self._known.get(location)
            age = self._age(known)
            is_servable = known is not None and age < opener.stale_seconds
            is_fresh = known is not None and age < opener.trusted_seconds
            if is_fresh or (is_servable and self._outages.is_expected(location)):
                assert known is not None  # noqa: S101 -- it has an age
                if not is_fresh and self._outages.may_try(location):
                    self._join_check(location, in_background=True)
                archive = self._opened(location, known)
                if archive is None:
                    continue  # it cannot be had any longer, and is forgotten
                if not is_fresh:
                    accounting.mark_stale()
                return archive
            check, is_mine = self._join_check(location, in_background=is_servable)
            if not check.wait(_PATIENCE_SECONDS if is_servable else None):
                self._outages.found_silent(location)
                continue
            if check.was_interrupted or (is_servable and is_outage(check.error)):
                continue
            # That the store is silent is so for all who wait: they would find it one after another.
            if is_mine or is_later or is_outage(check.error):
                return check.result()
            is_later = True

    def discard(self, archive: Archive) -> None:
        """Forget an archive that turned out to be replaced or unreadable; the next `get` opens it
        anew.
        """
        is_open = self._images.peek(archive.location)
        if is_open is archive or is_open is None:
            self._doubt(archive.location, archive.version)

    def wait_idle(self) -> None:
        """Wait until all that is fetched or stored in the background is."""
        for opener in self._openers.values():
            opener.wait_idle()

    def _age(self, known: Known | None) -> float:
        """Seconds since the store was asked for what is known; infinite where that will not do."""
        is_sound = known is not None and known.is_sound
        return self._clock() - known.checked if known is not None and is_sound else math.inf

    # ---- What is known, without the store --------------------------------------------------------

    def _opened(self, location: Location, known: Known) -> Archive | None:
        """The version that is known; None where what that takes is wrong, or no longer there."""
        archive = self._images.get(location)
        if _is_of(archive, known):
            return archive
        try:
            return self._reopenings.do(
                (location, known.version), partial(self._reopen, location, known)
            )
        except (ArchiveReplacedError, SquashfsError) as error:
            _LOG.info("archive %s cannot be opened from the cache: %s", location, error)
            self._doubt(location, known.version)
        return None

    def _reopen(self, location: Location, known: Known) -> Archive:
        archive = self._openers[location.scheme].reopen(location, known.version)
        now = self._known.get(location)
        if now is not None and now.version == archive.version:
            self._images.put(archive)
        return archive

    def _doubt(self, location: Location, version: Hashable) -> Known | None:
        """Open the archive anew when it is next asked for, whatever the cache has of this version
        of it; returns what is known then.
        """
        known = self._known.get(location)
        if known is not None and known.version == version:
            doubted = Known(version, known.checked, is_sound=False)
            self._known.replace(location, known, doubted)
            archive = self._images.peek(location)
            if archive is not None and archive.version == version:
                self._images.remove(archive)
        return self._known.get(location)

    # ---- Asking the store ------------------------------------------------------------------------

    def _join_check(
        self, location: Location, *, in_background: bool
    ) -> tuple[Flight[Archive], bool]:
        """The check under way, or one that begins; and whether it is this one."""
        check, is_mine = self.checks.join(location)
        if is_mine:
            fly = partial(self.checks.fly, location, check, partial(self._check, location))
            if not (in_background and _start(accounting.with_current_request(fly))):
                fly()
        return check, is_mine

    def _check(self, location: Location) -> Archive:
        """The archive as the store has it now."""
        opener = self._openers[location.scheme]
        while True:
            known = self._known.get(location)
            began = self._clock()
            try:
                with self._outages.asking(location):
                    archive = self._images.peek(location)
                    if known is None or not known.is_sound or not _is_of(archive, known):
                        archive = None
                    elif not opener.is_current(location, known.version):
                        _LOG.info("archive %s was replaced; opening the new one", location)
                        # Not to be served any longer, however long it takes to open that.
                        known = self._doubt(location, known.version)
                        archive = None
                    if archive is None:
                        archive = self._open(location, known)
            except Exception as error:
                if not is_outage(error):  # it is not what it was, whatever it is
                    self._known.replace(location, known, None)
                elif (age := self._age(known)) < opener.stale_seconds:
                    _LOG.warning("archive %s is served as of %d s ago: %s", location, age, error)
                raise
            self._images.put(archive)
            if self._known.replace(location, known, Known(archive.version, began)):
                return archive
            self._images.remove(archive)  # it was discarded meanwhile

    def _open(self, location: Location, known: Known | None) -> Archive:
        """Open the current version."""
        opener = self._openers[location.scheme]
        if known is None:
            return opener.open(location, opener.recall(location), afresh=False)
        archive = opener.open(location, known.version, afresh=not known.is_sound)
        if known.is_sound and not _is_of(archive, known):
            _LOG.info("archive %s was replaced; the new one is open", location)
        return archive


def _start(check: Callable[[], None]) -> bool:
    """Run in a thread; False where none can be had: there are too many, or the process ends."""
    try:
        # A daemon: a store that is silent must not hold up the end of the process.
        threading.Thread(target=check, name="s3archivefs-check", daemon=True).start()
    except RuntimeError:
        return False
    return True


def _is_of(archive: Archive | None, known: Known) -> bool:
    """Whether that is an open archive of the version that is known."""
    return archive is not None and archive.version == known.version
