"""Commands that may write no file, in memory that Linux bounds where it lets us.

    with confined(["s3archivefs", "pack", "-", URL], memory=512 << 20, env=environ) as process:
        ...
    assert process.memory <= 512 << 20

Root may bound the memory of a group of processes: all that they take, what Linux caches of files
for them included. Elsewhere nothing bounds it, and what the command took is compared alone.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Confined", "confined"]

_GROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),  # version 1
    (Path("/sys/fs/cgroup"), "memory.max"),
)
"""Where Linux has groups of processes, and what bounds their memory."""
_ENTER = 'echo $$ > "$0" && exec "$@"'


class Confined:
    """A running command, and when it ended, what it took."""

    def __init__(self, running: subprocess.Popen[bytes]) -> None:
        self.running = running
        self.memory = 0
        """Bytes at most: the largest resident set."""
        self.processor = 0.0
        """Seconds of processor time."""
        self.is_bounded = False
        """Whether Linux bounds the memory."""

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        _, status, used = os.wait4(self.running.pid, 0)
        self.running.returncode = os.waitstatus_to_exitcode(status)
        self.memory = used.ru_maxrss << 10
        self.processor = used.ru_utime + used.ru_stime
        return self.running.returncode


@contextmanager
def confined(
    command: Sequence[str],
    *,
    memory: int,
    may_write: bool = False,
    **settings: Any,  # noqa: ANN401 -- Popen's
) -> Iterator[Confined]:
    """Start a command that may write no byte to a file, in so many bytes of memory.

    `settings` are those of subprocess.Popen.
    """
    with _group(memory) as group:
        entering = ["sh", "-c", _ENTER, str(group / "cgroup.procs")] if group else []
        limited = [*entering, "prlimit", f"--fsize={'unlimited' if may_write else 0}", *command]
        with subprocess.Popen(limited, **settings) as running:
            process = Confined(running)
            process.is_bounded = group is not None
            try:
                yield process
            finally:
                if running.returncode is None:
                    running.kill()


@contextmanager
def _group(memory: int) -> Iterator[Path | None]:
    """Yield the directory of a new group whose memory is bounded; None where there can be none."""
    group = next((made for each in _GROUPS if (made := _made(*each, memory))), None)
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def _made(parent: Path, limit: str, memory: int) -> Path | None:
    group = parent / f"s3archivefs-tests-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        if (group / limit).exists():
            (group / limit).write_text(str(memory))
            return group
    except OSError:
        pass
    group.rmdir()
    return None
