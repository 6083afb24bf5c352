"""Work as an ordinary user, whoever runs the tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from tests.support.processes.forked import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NOBODY", "as_user"]

T = TypeVar("T")

NOBODY = 65534
"""User and group that own nothing."""


def as_user(directory: Path, work: Callable[[], T]) -> T:
    """What `work()` returns in a forked child, in a directory that is the user's own.

    The child may not be able to import: what it needs must be loaded. Paths are to be relative to
    that directory, since those above it may be closed to the user.
    """
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(directory, NOBODY, NOBODY)

    def in_directory() -> T:
        os.chdir(directory)
        if is_root:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return in_child(in_directory)
