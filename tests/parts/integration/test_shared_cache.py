"""One cache directory, shared by processes that are killed, while another one spoils its files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import pytest

from s3archivefs_lambda.cache.background import AHEAD_THREADS
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.eviction import TEMPORARY_SUFFIX, occupied
from tests.parts.integration.shared_cache_reader import CHUNK, CONTENT, cached
from tests.support.servers.swift_store import PROJECT_ROOT

PROCESSES = 8
ROUNDS = 12
KILLED = 2
"""Processes that are killed in each round, and replaced."""
STORED_BYTES = occupied(CHUNK + 1)
"""What a chunk with its header occupies."""


class Readers:
    """The reading processes. Whatever they have to say about a fault goes to `log`."""

    def __init__(self, directory: Path, max_bytes: int, memory_bytes: int) -> None:
        self._arguments = [str(each) for each in (directory, max_bytes, memory_bytes)]
        self.log = directory / "log"
        self._stack = ExitStack()
        self._running: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def __enter__(self) -> Self:
        self._stderr = self._stack.enter_context(self.log.open("wb"))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill(len(self._running))
        self._stack.close()

    def start(self, count: int) -> None:
        """Start so many."""
        program = [sys.executable, "-m", "tests.parts.integration.shared_cache_reader"]
        for _ in range(count):
            reader = subprocess.Popen(
                [*program, *self._arguments, str(self._started)],
                cwd=PROJECT_ROOT,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
            )
            self._running.append(self._stack.enter_context(reader))
            self._started += 1

    def kill(self, count: int) -> None:
        """Kill so many, the longest running first, in the middle of whatever they do."""
        killed, self._running = self._running[:count], self._running[count:]
        for reader in killed:
            reader.kill()
        for reader in killed:
            reader.wait()

    def wait(self) -> None:
        """Until each has begun another so many reads."""
        for reader in self._running:
            assert reader.stdout is not None
            assert reader.stdout.readline(), self.log.read_text()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Hold them up: what files occupy cannot be added up while they change."""
        for reader in self._running:
            reader.send_signal(signal.SIGSTOP)
            assert reader.returncode is None, self.log.read_text()
        for reader in self._running:
            os.waitid(os.P_PID, reader.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        yield
        for reader in self._running:
            reader.send_signal(signal.SIGCONT)


def stored(directory: Path) -> list[Path]:
    """The files of the cache."""
    return sorted((directory / "s3archivefs-cache/v1").glob("*/*/*"))


def temporary(paths: list[Path]) -> list[Path]:
    """Those that are being written, or were when their writer died."""
    return [path for path in paths if path.name.endswith(TEMPORARY_SUFFIX)]


def spoil(paths: list[Path], random: Random) -> None:
    """Delete each file, shorten it, or turn one bit of it."""
    for path in paths:
        with suppress(FileNotFoundError):  # deleted by a reader
            what = random.choice(["delete", "shorten", "turn"])
            if what == "delete":
                path.unlink()
                continue
            with path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                position = random.randrange(size + 1)
                if what == "shorten":
                    file.truncate(position)
                elif position < size:
                    file.seek(position)
                    (byte,) = file.read(1)
                    file.seek(position)
                    file.write(bytes([byte ^ 1 << random.randrange(8)]))


# The allowance that a process has before it counts is a chunk here, whatever the others do.
@pytest.mark.parametrize(
    ("memory_bytes", "threads"),
    [(0, 1), (16 * CHUNK, 1 + AHEAD_THREADS)],
    ids=["alone", "with threads that read ahead"],
)
def test_killed_readers_of_a_spoiled_cache_leave_right_bytes_within_the_limit(
    tmp_path: Path, memory_bytes: int, threads: int
) -> None:
    max_bytes = 30 * STORED_BYTES
    random = Random(1)
    killed = 0
    most = 0
    with Readers(tmp_path, max_bytes, memory_bytes) as readers:
        readers.start(PROCESSES)
        for _ in range(ROUNDS):
            readers.wait()
            with readers.stopped():
                found = stored(tmp_path)
                used = sum(occupied(path.stat().st_size) for path in found)
                assert used <= max_bytes + PROCESSES * threads * STORED_BYTES
                assert len(temporary(found)) <= (PROCESSES + killed) * threads
                most = max(most, used)
                readers.kill(KILLED)
                killed += KILLED
                # Now that they are certainly there; and below, while they are read and written.
                spoil(random.sample(found, len(found) // 2), random)
            readers.start(KILLED)
            spoil(found, random)
    assert readers.log.read_text() == ""
    assert most > max_bytes // 2  # it was in use
    device = cached(tmp_path, max_bytes, memory_bytes)
    assert device.pread(0, device.size) == CONTENT

    for path in temporary(stored(tmp_path)):
        os.utime(path, (time.time() - 7200,) * 2)
    ChunkStore(tmp_path, max_bytes).put("other", 0, CONTENT[:CHUNK])
    assert temporary(stored(tmp_path)) == []
