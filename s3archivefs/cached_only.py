"""Calls that are answered from memory alone, for a thread that must not wait.

An event loop serves many clients with one thread. What is cached costs it some microseconds; what
is not goes to another thread:

    try:
        with only_cached():
            content = fs.read_bytes("/README")
    except NotCachedError:
        ...  # ask again, where reading is allowed

The content of a file is cached if it lies in one block, or in part of one. A block that is not is
decoded, if its bytes are at hand (`pread_at_hand`) and it is a quick one. Such a call reads no
device, waits for no other thread's read, and follows no symlink: one may lead through 80,000
directories. It changes nothing, whether it raises or not.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token

__all__ = ["NotCachedError", "check_may_wait", "may_wait", "only_cached"]

_may_wait: ContextVar[bool] = ContextVar("s3archivefs_may_wait", default=True)
may_wait = _may_wait.get
"""Return whether this thread may read a device, or wait for one that does."""


class NotCachedError(Exception):
    """What a call within `only_cached` needs is not in memory, or takes longer to find."""


class only_cached:  # noqa: N801 -- used as a function; contextlib's decorator takes twice the time
    """Answer from memory, in this thread and until the context ends; else raise NotCachedError."""

    __slots__ = ("_token",)
    _token: Token[bool]

    def __enter__(self) -> None:
        self._token = _may_wait.set(False)

    def __exit__(self, *_: object) -> None:
        _may_wait.reset(self._token)


def check_may_wait() -> None:
    """Raise NotCachedError within `only_cached`."""
    if not may_wait():
        raise NotCachedError
