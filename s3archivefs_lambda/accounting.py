"""What one request costs: requests to S3, bytes from it, chunks from the cache.

A transport sets the request that a thread works for; the layers that cost something count it there.
If no request is set (images on the command line), nothing is counted.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Literal

from s3archivefs import Lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from typing import ParamSpec, TypeAlias, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    Figure: TypeAlias = Literal["s3_requests", "s3_bytes", "cache_hits", "cache_misses"]

__all__ = ["Usage", "add", "add_archive", "mark_stale", "request_scope", "with_current_request"]


class Usage:
    """The figures of one request; threads may add to them."""

    __slots__ = ("archives", "figures", "stale")

    # One for all requests: that of each would have to be renewed after a fork. Few threads add at
    # the same time, and none waits while it holds the lock.
    _lock = Lock()

    def __init__(self) -> None:
        self.figures: dict[str, int] = {
            "s3_requests": 0,  # each attempt, retries included, as S3 charges for them
            "s3_bytes": 0,  # of archives
            "cache_hits": 0,  # chunks
            "cache_misses": 0,  # chunks
        }
        self.archives: dict[object, None] = {}
        """Locations of the archives that were asked, each once, in the order of asking."""
        self.stale = False
        """Whether an archive was served without asking its store, which could not answer."""

    def add(self, figure: Figure, amount: int) -> None:
        """Raise a figure."""
        with self._lock:
            self.figures[figure] += amount


def _renew() -> None:  # pragma: no cover -- in forked processes, which nothing measures
    Usage._lock = Lock()  # noqa: SLF001 -- another thread may have held it


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew)

_current: ContextVar[Usage | None] = ContextVar("s3archivefs_usage", default=None)


class request_scope:  # noqa: N801 -- used as a function; contextlib's decorator takes twice the time
    """Count what this thread costs meanwhile as `usage`."""

    __slots__ = ("_token", "_usage")
    _token: Token[Usage | None]

    def __init__(self, usage: Usage | None) -> None:
        self._usage = usage

    def __enter__(self) -> None:
        self._token = _current.set(self._usage)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def with_current_request(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, for another thread to call, bound to this thread's request.

    What it costs after that request's end is in no line of the log.
    """
    usage = _current.get()

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with request_scope(usage):
            return function(*args, **kwargs)

    return run


def add(figure: Figure, amount: int = 1) -> None:
    """Raise a figure of this thread's request."""
    if (usage := _current.get()) is not None:
        usage.add(figure, amount)


def add_archive(location: object) -> None:
    """Note that this thread's request asks an archive. The URL is the location's str()."""
    if (usage := _current.get()) is not None:
        usage.archives[location] = None


def mark_stale() -> None:
    """Note that this thread's request is served a version that may have been replaced."""
    if (usage := _current.get()) is not None:
        usage.stale = True
