"""What mounts an image: the kernel, this project, and other programs that install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.remote.store import Store

__all__ = ["CONTENDERS", "PEERS_PYTHON", "Contender", "Mount", "remote_environ"]

PEERS_PYTHON = "BENCHMARKS_PEERS_PYTHON"
"""The variable that names the Python of the peers' environment."""
_SECONDS = 600  # until a tree must be there: some programs read all of an image first
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted image."""

    point: Path
    pid: int | None
    """The process that answers for it; None for the kernel."""

    @property
    def processor(self) -> float:
        """Seconds of the processor that its process has taken."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory(self) -> int:
        """Bytes that its process had in memory at most."""
        if self.pid is None:
            return 0
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) << 10


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to mount."""

    name: str
    command: Callable[[str, Path], list[str]]
    """Makes of image and directory what stays in the foreground; of the kernel, what ends."""
    is_kernel: bool = False
    remote_command: Callable[[str, Path], list[str]] | None = None
    """The same of an object in S3, named BUCKET/KEY; None: it cannot."""

    @contextmanager
    def mounted(
        self, image: str, point: Path, environ: Mapping[str, str] | None = None
    ) -> Iterator[Mount]:
        """Mount an image at a directory.

        It lies in S3 where variables are given, which lead there.
        """
        command = self.command(image, point)
        if environ is not None:
            assert self.remote_command is not None
            command = self.remote_command(image, point)
        if self.is_kernel:
            subprocess.run(command, check=True)
            try:
                yield Mount(point, None)
            finally:
                subprocess.run(["umount", point], check=True)
            return
        quiet = subprocess.DEVNULL
        with subprocess.Popen(
            command, stdin=quiet, stdout=quiet, stderr=quiet, env={**os.environ, **(environ or {})}
        ) as process:
            try:
                _wait(process, point)
                yield Mount(point, process.pid)
            finally:
                subprocess.run(["umount", "--lazy", point], check=False, stderr=quiet)
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _wait(process: subprocess.Popen[bytes], point: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while not point.is_mount():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} mounted nothing in {_SECONDS} s")
        time.sleep(0.01)


def _of_peers(program: str) -> str:
    return str(Path(os.environ[PEERS_PYTHON]).with_name(program))


def _ours(image: str, point: Path) -> list[str]:
    return [sys.executable, "-m", "s3archivefs.cli", "mount", "-f", image, str(point)]


def _squashfuse(image: str, point: Path) -> list[str]:
    return [shutil.which("squashfuse_ll") or "squashfuse_ll", "-f", image, str(point)]


def _ratarmount(image: str, point: Path) -> list[str]:
    return [_of_peers("ratarmount"), "-f", "--index-file", ":memory:", image, str(point)]


def _rclone(image: str, point: Path) -> list[str]:
    options = ("--read-only", "--dir-cache-time", "24h", "--attr-timeout", "24h")
    return [_of_peers("rclone"), "mount", *options, f":archive:{image}", str(point)]


def remote_environ(store: Store, cache: Path) -> dict[str, str]:
    """Return what leads all contenders to a store, with an empty directory to cache in."""
    return {
        **store.environ(),
        "S3ARCHIVEFS_CACHE_DIR": str(cache),
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Ceph",
        "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
        "RCLONE_CONFIG_STORE_ENDPOINT": store.url,
        "RCLONE_VFS_CACHE_MODE": "full",  # faster than without
        "RCLONE_CACHE_DIR": str(cache),
    }


CONTENDERS = (
    Contender(
        "s3archivefs",
        _ours,
        remote_command=lambda image, point: _ours(f"s3://{image}", point),
    ),
    Contender(
        "kernel",
        lambda image, point: ["mount", "-o", "loop,ro", image, str(point)],
        is_kernel=True,
    ),
    Contender("squashfuse_ll", _squashfuse),
    Contender(
        "ratarmount",
        _ratarmount,
        remote_command=lambda image, point: _ratarmount(f"s3://{image}", point),
    ),
    Contender(
        "rclone mount",
        _rclone,
        remote_command=lambda image, point: _rclone(f"store:{image}", point),
    ),
)
