"""Real mounts: the command in a process of its own, where the system lets one mount."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from s3archivefs.mount.mounting import MountError, mounted_at, unmount

__all__ = ["COMMAND", "Mounted", "mounted", "skip_unless_mountable", "until"]

COMMAND = (sys.executable, "-m", "s3archivefs.cli")
_SYS_ADMIN = 21  # the number of the capability to mount
_SECONDS = 60


def skip_unless_mountable() -> None:
    """Skip the test where no package could help: in a container without /dev/fuse, say."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    if not (Path("/dev/fuse").exists() and capabilities >> _SYS_ADMIN & 1):
        pytest.skip("mounting needs /dev/fuse and CAP_SYS_ADMIN, which are not here")


def until(is_so: Callable[[], bool]) -> None:
    """Return once something outside of the process is so."""
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Mounted:
    """A tree that a process in the foreground answers for."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        self.process = process
        self.path = path

    @property
    def is_there(self) -> bool:
        """Whether the tree is mounted."""
        return mounted_at(str(self.path)) is not None

    def ended(self) -> tuple[int, str]:
        """Wait until the process ends; return its exit code and what it wrote to standard error."""
        _, errors = self.process.communicate(timeout=_SECONDS)
        return self.process.returncode, errors


@contextmanager
def mounted(
    path: Path,
    *arguments: object,
    program: tuple[str, ...] = COMMAND,
    environ: Mapping[str, str] | None = None,
    errors: IO[str] | int = subprocess.PIPE,
) -> Iterator[Mounted]:
    """A mount of `arguments` at a path, which is unmounted at the end, if it still is there."""
    command = [*program, "mount", "--foreground", *map(str, arguments), str(path)]
    with subprocess.Popen(
        command, env={**os.environ, **(environ or {})}, stderr=errors, text=True
    ) as process:
        tree = Mounted(process, path)
        try:
            until(lambda: tree.is_there or process.poll() is not None)
            assert process.poll() is None, process.communicate()[1]
            yield tree
        finally:
            with suppress(MountError):
                unmount(str(path), lazily=True)
            process.terminate()
            if process.stderr is not None and not process.stderr.closed:
                print(process.communicate(timeout=_SECONDS)[1])  # pytest shows it with a failure
