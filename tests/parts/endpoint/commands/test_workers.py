"""Several processes that serve one port, and the parent that watches them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.commands.serve_settings import shared
from s3archivefs_lambda.commands.workers import available_processors
from s3archivefs_lambda.config.settings import Config
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = FIXTURES["gzip"].image
SECONDS = 20


@dataclass
class Served:
    """The endpoint, as a process and its workers."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def workers(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(map(int, children.read_text().split()))

    def get(self) -> int:
        """The status of an answer, on a connection of its own."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as client:
            client.request("GET", "/archive/short.txt")
            with client.getresponse() as response:
                response.read()
                return response.status


@contextmanager
def serving(
    directory: Path,
    *arguments: str,
    count: int = 3,
    before: str = "",
    errors: int | None = None,
) -> Iterator[Served]:
    """The endpoint; `before` is run in its process first. The log is a file, or `errors`."""
    log = directory / "log"
    program = f"{before}\nfrom s3archivefs.cli import main\nraise SystemExit(main())"
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    command += ["--workers", str(count), "--map", f"={IMAGE}", *arguments]
    environ = os.environ | {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=file if errors is None else errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stdout
            found = re.search(rb" on http://127.0.0.1:([0-9]+) ", process.stdout.readline())
            assert found, log.read_text()
            yield Served(process, int(found[1]), log)
        finally:
            process.kill()


def until(condition: object) -> None:
    assert callable(condition)
    while not condition():
        os.sched_yield()


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_workers_serve_one_port_and_end_with_their_parent(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        started = server.workers
        assert len(started) == 3
        assert [server.get() for _ in range(12)] == [200] * 12
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0
        assert not any(map(runs, started))
    lines = server.log.read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == [200] * 12


def test_the_parent_sleeps_while_workers_serve(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ticks = [processor_ticks(server.process.pid)]
        for _ in range(6):
            assert [server.get() for _ in range(100)] == [200] * 100
            ticks.append(processor_ticks(server.process.pid))
    # It may still be starting amid the first. One that looks about takes some of each hundred.
    assert any(before == after for before, after in pairwise(ticks))


def processor_ticks(process: int) -> int:
    """Hundredths of a second that the process has taken, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_what_ctrl_c_sends_to_all_stops_them_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.get() == 200
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(SECONDS) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_request_in_flight_is_finished_by_its_worker(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)) as client:
            client.connect()
            assert client.sock
            client.sock.sendall(b"GET /archive/short.txt HTTP/1.1\r\nHost:\r\n\r\n")
            server.process.send_signal(signal.SIGTERM)
            assert client.sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(SECONDS) == 0


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        victim = min(server.workers)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(server.workers - {victim}) == 3)
        assert [server.get() for _ in range(12)] == [200] * 12
        server.process.terminate()
        assert server.process.wait(SECONDS) == 0
    assert f"worker {victim} was killed by SIGKILL; another follows" in server.log.read_text()


def test_any_signal_that_kills_a_worker_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        victim = min(server.workers)
        os.kill(victim, signal.SIGRTMIN + 6)  # which has no name of its own
        until(lambda: len(server.workers - {victim}) == 3)
        assert server.get() == 200
    assert f"worker {victim} was killed by signal {signal.SIGRTMIN + 6};" in server.log.read_text()


def test_workers_are_replaced_whatever_was_set_for_ended_children(tmp_path: Path) -> None:
    ignored = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    with serving(tmp_path, before=ignored) as server:
        victim = min(server.workers)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(server.workers - {victim}) == 3)
        server.process.terminate()
        assert server.process.wait(SECONDS) == 0


_TELLS_WHAT_IS_COLLECTED = """
import atexit, gc, os
def tell():
    frozen, objects = gc.get_freeze_count(), len(gc.get_objects())
    os.write(2, b"collects %d objects, not %d\\n" % (objects, frozen))
atexit.register(tell)
"""


def test_workers_collect_no_garbage_among_what_was_there_when_they_began(tmp_path: Path) -> None:
    with serving(tmp_path, before=_TELLS_WHAT_IS_COLLECTED) as server:
        assert server.get() == 200
        server.process.terminate()
        assert server.process.wait(SECONDS) == 0
    told = re.findall(r"^collects (\d+) objects, not (\d+)$", server.log.read_text(), re.MULTILINE)
    assert len(told) == 4  # the workers and their parent
    for collected, left_out in told:
        assert int(left_out) > 2 * int(collected)


_FORKS_FAIL = """
import errno, itertools, os
numbers, fork = itertools.count(1), os.fork
def failing_fork():
    if next(numbers) in {2, 4, 5}:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()
os.fork = failing_fork
"""


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    with serving(tmp_path, before=_FORKS_FAIL) as server:
        until(lambda: len(server.workers) == 3)
        assert server.get() == 200
        server.process.terminate()
        assert server.process.wait(SECONDS) == 0
    assert server.log.read_text().count("cannot start a worker: ") == 3


_NEVER_START = """
import os
from s3archivefs_lambda.commands.workers import NoWorkerStartsError, run_workers
def ended(place):
    print("ended", place)
options = {"on_hangup": None, "stop_seconds": 1, "first_delay": 0}
try:
    run_workers(2, begun=bool, ended=ended, stop=bool, **options)
except NoWorkerStartsError as error:
    print(error)
else:
    os._exit(3)
"""


def test_workers_that_never_start_are_given_up() -> None:
    command = [sys.executable, "-c", _NEVER_START]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    *places, told = ended.stdout.splitlines()
    assert told.startswith("no worker starts: each ended 9 times in a row")
    assert min(places.count("ended 0"), places.count("ended 1")) >= 9
    assert ended.stderr.count(" ended with status 3; another follows in 0.0 s") == len(places)


_TOLD_TO_END_WHILE_ONE_IS_TO_BEGIN = """
import os, signal
from s3archivefs_lambda.commands.workers import run_workers
reader, writer = os.pipe()
stopped, waits, wait = [], [], signal.sigtimedwait
def watched_wait(signals, seconds):
    if stopped:
        waits.append(seconds)
        if seconds > 10 or len(waits) == 5:
            os.close(writer)  # upon which the other worker ends
            signal.sigtimedwait = wait
    return wait(signals, seconds)
signal.sigtimedwait = watched_wait
place = run_workers(
    2,
    begun=bool,
    ended=lambda place: place or os.kill(os.getpid(), signal.SIGTERM),
    stop=lambda: stopped.append(True),
    on_hangup=None,
    stop_seconds=60,
    first_delay=0.01,
)
if place == 1:
    os.close(writer)
    os.read(reader, 1)
if place is not None:
    os._exit(3)
print(*waits)
"""


def test_the_parent_sleeps_until_all_workers_have_ended() -> None:
    command = [sys.executable, "-c", _TOLD_TO_END_WHILE_ONE_IS_TO_BEGIN]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert [float(seconds) > 10 for seconds in ended.stdout.split()] == [True]


def test_the_parent_can_be_stopped_while_nobody_reads_its_log(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with serving(tmp_path, errors=writer) as server:
            os.set_blocking(writer, False)
            with suppress(BlockingIOError):
                while True:
                    os.write(writer, bytes(1024))
            os.set_blocking(writer, True)
            victim = min(server.workers)
            os.kill(victim, signal.SIGKILL)
            until(lambda: victim not in server.workers)
            server.process.terminate()
            assert server.process.wait(SECONDS) == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        started = server.workers
        server.process.kill()
        until(lambda: not any(map(runs, started)))


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server, closing(HTTPConnection("127.0.0.1", server.port)) as client:
        started = server.workers
        for worker in started:
            os.kill(worker, signal.SIGSTOP)
        client.connect()
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            until(lambda: server.process.poll() or pending(server.process.pid) == 0)
        assert server.process.wait(SECONDS) == -signal.SIGTERM
        until(lambda: not any(map(runs, started)))


def pending(process: int) -> int:
    """Signals that wait to be taken."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^ShdPnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def test_a_taken_port_says_so_before_there_are_workers(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        command = [sys.executable, "-m", "s3archivefs.cli", "serve", "--workers", "2"]
        command += ["--map", f"={IMAGE}", "--port", str(server.port)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "in use" in other.stderr


# ---- How many, and what each has -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", None), ("150000 100000", 2), ("50000 100000", 1), ("", None), (None, None)],
)
def test_a_cgroup_bounds_how_many_there_are(
    tmp_path: Path, limit: str | None, expected: int | None
) -> None:
    file = tmp_path / "cpu.max"
    if limit is not None:
        file.write_text(limit)
    here = len(os.sched_getaffinity(0))
    assert available_processors(file) == min(here, expected or here)


def test_workers_share_the_memory_that_the_settings_allow() -> None:
    whole = Config.from_environ({})
    each = shared(whole, 4)
    assert each.cache_memory_bytes * 4 == whole.cache_memory_bytes
    assert each.open_archives_bytes * 4 == whole.open_archives_bytes
    assert each.limits.cache_bytes == each.open_archives_bytes // 2 < whole.limits.cache_bytes
    assert shared(whole, 1) == whole
    assert each.cache_max_bytes == whole.cache_max_bytes
