"""Work in a process that is killed on its way."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable

STEPS = (
    *("open", "write", "lseek", "fchmod", "fsync", "utime", "link", "mkdir", "symlink", "rename"),
    *("replace", "unlink"),
)


def is_killed(step: int, work: Callable[[], object]) -> bool:
    """Whether the work takes so many steps, before the last of which it is killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        child = os.fork()
    if not child:  # pragma: no cover -- a process of its own
        taken = 0

        def counted(call: Callable[..., object]) -> Callable[..., object]:
            def step_taken(*args: object, **kwargs: object) -> object:
                nonlocal taken
                taken += 1
                if taken == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **kwargs)

            return step_taken

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
