"""Processes that share a directory of chunks, each a program of its own."""

from __future__ import annotations

import glob
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.eviction import occupied

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARING = """
import random, sys
if sys.argv[2] == "zlib":
    sys.modules["deflate"] = None  # as where it is not installed
else:
    import deflate
from pathlib import Path
from s3archivefs_lambda.cache.disk import ChunkStore
store = ChunkStore(Path(sys.argv[1]), 1 << 20)
chunk = random.Random(2).randbytes(8192)
for size in (*range(65), 4095, 8192):
    if sys.argv[3] == "put":
        store.put("archive", size, chunk[:size])
    elif store.get("archive", size) != chunk[:size]:
        sys.exit(f"a chunk of {size} bytes is missing")
"""


@pytest.mark.parametrize(("writer", "reader"), [("zlib", "libdeflate"), ("libdeflate", "zlib")])
def test_processes_with_and_without_libdeflate_share_chunks(
    tmp_path: Path, writer: str, reader: str
) -> None:
    for checksums, action in ((writer, "put"), (reader, "get")):
        subprocess.run([sys.executable, "-c", SHARING, tmp_path, checksums, action], check=True)


def test_a_disk_that_fills_up_in_the_middle_of_a_chunk_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    # /dev/full cannot be renamed over; a file size limit breaks a write in the middle just as well.
    program = (
        "import resource, signal, sys; from pathlib import Path;"
        "from s3archivefs_lambda.cache.disk import ChunkStore;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
        "store = ChunkStore(Path(sys.argv[1]), 1 << 20);"
        "store.put('archive', 0, bytes(8192));"
        "print(store.get('archive', 0))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert result.stdout == "None\n"
    assert result.stderr.count("cannot be used") == 1
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


HAMMER = """
import random, sys
from pathlib import Path
from s3archivefs_lambda.cache.disk import ChunkStore
store = ChunkStore(Path(sys.argv[1]), int(sys.argv[2]))
choice = random.Random(int(sys.argv[3]))
for round in range(600):
    if round % 20 == 0:
        print(round, flush=True)
    index = choice.randrange(60)
    right = random.Random(index).randbytes(8192)
    chunk = store.get("archive", index)
    if chunk is None:
        store.put("archive", index, right)
    elif chunk != right:
        sys.exit(f"chunk {index} is wrong")
"""


def test_processes_share_a_directory_that_is_being_damaged(tmp_path: Path) -> None:
    processes, limit = 4, 20 * 12288
    choice = random.Random(3)
    most = 0
    with ExitStack() as running:
        workers = [running.enter_context(hammer(tmp_path, limit, seed)) for seed in range(4)]
        for worker in workers * (600 // 20):
            assert worker.stdout is not None
            worker.stdout.readline()  # its next 20 rounds begin
            with stopped(workers):
                # Not Path.glob, which raises where a directory goes while it looks.
                pattern = str(tmp_path / "s3archivefs-cache/v1/*/*/*")
                found = [Path(path) for path in glob.glob(pattern)]  # noqa: PTH207
                most = max(most, sum(occupied(path.stat().st_size) for path in found))
            for path in choice.sample(found, min(5, len(found))):
                damage(path, choice)
        for worker in workers:
            output, errors = worker.communicate()
            assert (worker.returncode, output, errors) == (0, "", "")
    assert 0 < most <= limit + processes * 12288


def hammer(directory: Path, limit: int, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HAMMER, directory, str(limit), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def stopped(workers: list[subprocess.Popen[str]]) -> Iterator[None]:
    """Hold up those that still run: what files occupy cannot be added up while they change."""
    try:
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        for worker in workers:
            if worker.returncode is None:  # else it has ended, and been waited for
                os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        yield
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)


def damage(path: Path, choice: random.Random) -> None:
    """Delete a chunk, or spoil it without making it longer."""
    try:
        if choice.random() < 0.3:
            path.unlink()
        elif not path.name.endswith(".tmp"):
            with path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                if choice.random() < 0.5:
                    file.truncate(choice.randrange(size + 1))
                elif size > 6:
                    file.seek(choice.randrange(size - 6))
                    file.write(b"damage")
    except FileNotFoundError:
        pass  # deleted by a worker


def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    with hammer(tmp_path, 1 << 20, seed=1) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "0\n"
        worker.kill()
    store = ChunkStore(tmp_path, 1 << 20)
    for index in range(60):
        chunk = store.get("archive", index)
        assert chunk in {None, random.Random(index).randbytes(8192)}
