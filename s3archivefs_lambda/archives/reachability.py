"""Whether the mapped archives can be reached, asked of their stores in the background.

A check asks nothing about an archive that a request has opened or confirmed of late. Otherwise it
is one HEAD, or for a bucket that passes through one page of two keys; never more than some archives
at a time, the one asked longest ago first. Nothing is asked unless somebody wants to know.
"""

from __future__ import annotations

import logging
import math
import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import Lock
from s3archivefs_lambda.archives.outages import is_outage
from s3archivefs_lambda.store.device import current_identity
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveSilentError,
    StoreRefusedError,
)
from s3archivefs_lambda.store.key_pages import key_page
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.prefix_map import PrefixMapping

__all__ = ["Reachability", "Reached"]

_LOG = logging.getLogger("s3archivefs")

CHECK_SECONDS = 30.0
"""Seconds for which what a store said counts as true."""
_SILENT_SECONDS = 5.0
"""Seconds without an answer after which a store counts as silent."""
_MOST = 32
"""Archives that are asked for in one check."""
_TOLD = 20
"""Failing archives that are named."""


class Reached(NamedTuple):
    """What is known of all archives."""

    is_ready: bool
    """Whether clients can be served.

    So it is if each store answers, or what is known of it is served without, and one of the
    archives can be read.
    """
    failing: Mapping[str, str]
    """Why archives cannot be read, or only as of some time ago, by URL.

    The first ones, if there are many.
    """
    failing_count: int = 0
    """How many those are, but for what was not asked for yet."""


class _Answer(NamedTuple):
    """What a store said of an archive."""

    at: float
    fault: str = ""
    is_outage: bool = False


class Reachability:
    """Looks at archives in S3. Thread-safe; it begins no thread before `look` is called."""

    def __init__(self, archives: Archives, mappings: Iterable[PrefixMapping]) -> None:
        """Look at the archives of these mappings. Local images are there, or serving ends."""
        every = list(mappings)
        self._archives = archives
        self._clock = archives.clock
        self._mappings = {each.location: each for each in every if not each.location.is_local}
        self._has_local = len(self._mappings) < len({each.location for each in every})
        self._answers: dict[Location, _Answer] = {}
        self._stores: dict[str, _Answer] = {}  # of each bucket, the last one
        self._checked = -math.inf
        self._asking: tuple[str, float] | None = None  # a store, and since when
        self._store_count = len({location.bucket for location in self._mappings})
        self._lock = Lock()
        self._first = threading.Event()
        self._is_checking = False
        self._known = self._judge()
        if not self._mappings:
            self._first.set()

    @property
    def known(self) -> Reached:
        """What the last look found, without another one."""
        return self._known

    def look(self, wait_seconds: float = 0) -> Reached:
        """Return what is known, and begin a check if that is old.

        At the first time, wait for the check at most so long.
        """
        with self._lock:
            begins = self._is_due and not self._is_checking
            self._is_checking |= begins
        if begins and not _start(self._check):
            self._is_checking = False
        self._first.wait(wait_seconds)
        asking = self._asking
        if asking is not None and self._clock() - asking[1] >= _SILENT_SECONDS:
            self._asking = None
            _start(partial(self._note_silence, *asking))
        return self._known

    @property
    def _is_due(self) -> bool:
        if len(self._stores) < self._store_count:
            return True
        return bool(self._mappings) and self._clock() - self._checked >= CHECK_SECONDS

    # ---- In a thread -----------------------------------------------------------------------------

    def _check(self) -> None:
        try:
            silent: set[str] = set()
            for location in self._next():
                if location.bucket in silent:
                    continue
                self._asking = location.bucket, self._clock()
                answer, is_silent = self._ask(location)
                with self._lock:
                    self._asking = None
                    self._answers[location] = self._stores[location.bucket] = answer
                if is_silent:
                    silent.add(location.bucket)
        except Exception:  # noqa: BLE001 -- the log has it, and the next check may do better
            _LOG.exception("a check of the archives failed")
        finally:
            self._checked = self._clock()
            self._asking = None
            self._tell(self._judge())
            self._first.set()
            self._is_checking = False

    def _next(self) -> list[Location]:
        """Return the archives to ask for: one of each store, then those asked longest ago."""
        seen: set[str] = set()
        ranked = []
        by_age = sorted(self._mappings, key=lambda each: self._answers.get(each, _NEVER).at)
        for number, location in enumerate(by_age):
            store = self._stores.get(location.bucket, _NEVER).at
            is_further = location.bucket in seen
            seen.add(location.bucket)
            ranked.append((is_further, 0.0 if is_further else store, number, location))
        return [location for *_, location in sorted(ranked)[:_MOST]]

    def _ask(self, location: Location) -> tuple[_Answer, bool]:
        """Return what the store says of an archive, and whether it is silent."""
        if self._archives.age(location) < CHECK_SECONDS:
            return _Answer(self._clock()), False
        try:
            client = self._archives.client
            if self._mappings[location].archives is None:
                current_identity(client, location.bucket, location.key)
            else:
                start = to_bytes(location.key)
                key_page(client, location.bucket, start, b"", start, max_keys=1)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the archive cannot be read
            is_ours = isinstance(error, (ArchiveAccessError, StoreRefusedError))
            text = str(error) if is_ours else f"the request failed ({type(error).__name__})"
            is_silent = isinstance(error, ArchiveSilentError)
            return _Answer(self._clock(), text, is_outage(error)), is_silent
        return _Answer(self._clock()), False

    # ---- What that means -------------------------------------------------------------------------

    def _judge(self) -> Reached:
        """Return what all answers say together."""
        failing: dict[str, str] = {}
        count = 0
        is_ready, is_any_read = True, self._has_local or not self._mappings
        for location in self._mappings:
            # One that was not asked for yet is as its store is.
            answer = self._answers.get(location, self._stores.get(location.bucket))
            store = self._stores.get(location.bucket)
            if store is not None and store.is_outage:
                answer = store
            fault = "it was not asked for yet" if answer is None else answer.fault
            if answer is None or answer.is_outage:
                age = self._archives.age(location)
                if age < self._archives.stale_seconds:
                    is_any_read = True
                    fault = fault and f"served as of {age:.0f} s ago: {fault}"
                else:
                    is_ready = False
            is_any_read |= not fault
            if fault:
                count += answer is not None
                if len(failing) < _TOLD:
                    failing[str(location)] = fault
        return Reached(is_ready and is_any_read, failing, count)

    def _note_silence(self, bucket: str, since: float) -> None:
        """Count a store as silent that was asked then, unless it has answered by now."""
        fault = f"s3://{bucket}: no answer for {_SILENT_SECONDS:.0f} s"
        with self._lock:
            if self._stores.get(bucket, _NEVER).at >= since:
                return
            self._stores[bucket] = _Answer(self._clock(), fault, is_outage=True)
        self._tell(self._judge())

    def _tell(self, found: Reached) -> None:
        """Keep what was found; log whether it is other than before."""
        with self._lock:
            before, self._known = self._known, found
            is_first = not self._first.is_set()
        if found.is_ready and not before.is_ready and not is_first:
            _LOG.info("ready again")
        elif not found.is_ready and (before.is_ready or is_first):
            why = next(iter(found.failing.values()), "")
            others = f" (and {found.failing_count - 1} more)" if found.failing_count > 1 else ""
            _LOG.warning("not ready%s: %s", others, why)


_NEVER = _Answer(-math.inf)


def _start(work: Callable[[], None]) -> bool:
    """Run it in a thread; return False if none can start."""
    try:
        threading.Thread(target=work, name="s3archivefs-reach", daemon=True).start()
    except RuntimeError:  # there are too many, or the process ends
        return False
    return True
