"""How much the endpoint takes on: processes, threads, connections and times, as settings say."""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.commands.endpoint_settings import (
    CONNECTIONS_PER_CLIENT,
    HEAD_SECONDS,
    IDLE_SECONDS,
    MIN_BYTES_PER_SECOND,
    STOP_SECONDS,
    THREADS,
    WORKERS,
    EndpointSetting,
)
from s3archivefs_lambda.commands.errors import Faults, UsageError
from s3archivefs_lambda.commands.workers import available_processors
from s3archivefs_lambda.endpoint.body_memory import BODY_BYTES
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.request_pool import RequestPool
from s3archivefs_lambda.endpoint.thread_shares import THREADS as DEFAULT_THREADS
from s3archivefs_lambda.endpoint.thread_shares import ThreadShares

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Capacity", "capacity_of", "raise_descriptor_limit"]

_DESCRIPTORS = 16384
"""Open files and connections that the process asks for: four times the connections it accepts."""

_DAY = 86400
# Of each limit that a setting gives: its name in HttpLimits, and the least and the most of it.
_LIMITS = {
    CONNECTIONS_PER_CLIENT: ("connections_per_client", 1, 4096),
    HEAD_SECONDS: ("head_seconds", 1, 3600),
    IDLE_SECONDS: ("idle_seconds", 1, _DAY),
    STOP_SECONDS: ("stop_seconds", 0, _DAY),
    MIN_BYTES_PER_SECOND: ("min_bytes_per_second", 0, 1 << 30),
}


@dataclass(frozen=True, slots=True)
class Capacity:
    """Processes, and what each of them takes on."""

    workers: int = 1
    threads: int = DEFAULT_THREADS
    given: Mapping[str, Any] | None = None
    """The fields of `HttpLimits` that are given."""

    def limits(self) -> HttpLimits:
        """Return the limits of one process; its limit of descriptors bounds them."""
        own = HttpLimits(body_bytes=BODY_BYTES // self.workers)
        return replace(own, **(self.given or {}))

    def pool(self) -> RequestPool:
        """Return the threads of one process."""
        shares = ThreadShares(
            self.threads,
            local=self.threads // 4,
            store=self.threads // 2,
            kept=max(1, self.threads // 8),
        )
        return RequestPool(shares, max_waiting=8 * self.threads)


def capacity_of(settings: Mapping[EndpointSetting, str]) -> Capacity:
    """Return what the settings say; raise UsageError for all that is no such number."""
    faults = Faults()
    given = {}
    for setting, (name, least, most) in _LIMITS.items():
        if setting in settings:
            with faults.collected():
                given[name] = _number(setting, settings[setting], least, most)
    text = settings.get(WORKERS)
    with faults.collected():
        workers = available_processors() if text is None else _number(WORKERS, text, 1, 999)
    with faults.collected():
        threads = _number(THREADS, settings.get(THREADS, str(DEFAULT_THREADS)), 4, 512)
    faults.raise_any()
    return Capacity(workers, threads, given)


def _number(setting: EndpointSetting, text: str, least: int, most: int) -> int:
    # int() takes signs, underscores and the digits of all scripts, and time for many of them.
    if text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most:
        return int(text)
    raise UsageError(f"{setting} {text}: write a whole number from {least} to {most}")


def raise_descriptor_limit() -> None:
    """Raise the limit of open descriptors; each connection is one.

    Most processes begin with 1,024, because select(2) takes no more; no descriptor goes there.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard < 0 else min(hard, _DESCRIPTORS)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
