"""What SIGHUP does: read again what may have changed, while connections stay open."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from s3archivefs_lambda.commands.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Reloading"]

_LOG = logging.getLogger("s3archivefs")


class Reloading:
    """Runs each reload when it is called: what fails leaves in force what was.

    A reload returns what it found, in a few words, or raises UsageError. A signal's handler may
    call it amid a call: then everything is read once more.
    """

    def __init__(self, reloads: Sequence[Callable[[], str]]) -> None:
        self._reloads = reloads
        self._is_running = False
        self._is_wanted = False

    def __bool__(self) -> bool:
        return bool(self._reloads)

    def __call__(self, *, says_success: bool = True) -> bool:
        """Read everything again; return whether anything could be."""
        self._is_wanted = True
        if self._is_running:
            return False
        self._is_running = True
        done = 0
        try:
            while self._is_wanted:
                self._is_wanted = False
                done += sum(_run(reload, says_success=says_success) for reload in self._reloads)
        finally:
            self._is_running = False
        return done > 0


def _run(reload: Callable[[], str], *, says_success: bool) -> bool:
    try:
        found = reload()
    except UsageError as error:
        _LOG.error("SIGHUP: %s; what was read before stays in force", error)
    except Exception:  # noqa: BLE001 -- the endpoint goes on serving
        _LOG.exception("SIGHUP: reading again failed; what was read before stays in force")
    else:
        if says_success:
            _LOG.info("SIGHUP: %s", found)
        return True
    return False
