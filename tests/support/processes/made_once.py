"""Things that are made once a run of tests, whichever of its processes needs them first."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["made_once"]


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """Return `path`, which `make` makes for the first process that asks."""
    done = path.with_name(f"{path.name}.done")
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(path)
            done.touch()
    return path
