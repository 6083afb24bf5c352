"""A process that outlives a mount's own, and unmounts what a killed one leaves."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NoReturn

from s3archivefs.mount.mounting import MountError, is_dead, unmount

__all__ = [
    "further_descriptors",
    "occupy_standard_descriptors",
    "redirect_to_nowhere",
    "start_watcher",
]

_KEPT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STANDARD = range(3)


def start_watcher(directory: str) -> int:
    """Start it, before any thread; return the descriptor whose closing ends it.

    The system closes that when the process ends, in whatever way. Where the tree at the directory
    is dead then, the watcher unmounts it.
    """
    ended, alive = os.pipe()
    if os.fork() == 0:  # pragma: no cover -- in a process of its own
        _watch(directory, ended)
    os.close(ended)
    return alive


def occupy_standard_descriptors() -> None:
    """Open nothing on those that are closed, lest a file get the number of one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in _STANDARD:
        pass
    os.close(descriptor)


def further_descriptors() -> set[int]:  # pragma: no cover -- as above
    """Return all descriptors that are open but the standard ones."""
    listed = [*map(int, os.listdir("/proc/self/fd"))]  # noqa: PTH208 -- pathlib takes 10 ms to import
    # The listing's own is closed by now.
    return {each for each in listed if os.path.lexists(f"/proc/self/fd/{each}")} - {*_STANDARD}


def redirect_to_nowhere() -> None:  # pragma: no cover -- as above
    """Replace the standard streams: who started the process may wait for their end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in _STANDARD:
        os.dup2(nowhere, standard)
    os.close(nowhere)


def _watch(directory: str, ended: int) -> NoReturn:  # pragma: no cover -- as above
    try:
        for each in _KEPT_SIGNALS:  # which may be for both processes, and the other obeys
            signal.signal(each, signal.SIG_IGN)
        os.setsid()
        os.chdir("/")
        redirect_to_nowhere()
        for inherited in further_descriptors() - {ended}:
            os.close(inherited)
        os.read(ended, 1)
        if is_dead(directory):
            with suppress(MountError):
                unmount(directory, lazily=True)
    finally:
        os._exit(0)
