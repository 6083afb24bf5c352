"""Work in other threads, which nobody waits for in vain."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.parallel import (
    Work,
    Workers,
    keep_spare,
    map_parallel,
    spare_workers,
    start_work,
)
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
CONTENTS = {f"/{number}": noise(MIB, str(number)) for number in range(12)} | {
    "/big": noise(9 * MIB)
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tuple(file(path[1:], content) for path, content in CONTENTS.items())
    return make_image(tmp_path_factory.mktemp("parallel"), tree, "-b", "131072", "-noD")


@pytest.fixture
def busy() -> Iterator[None]:
    """All threads that decode are busy until the test has ended."""
    end = threading.Event()
    begun = threading.Semaphore(0)

    def wait() -> None:
        begun.release()
        end.wait()

    threads = os.cpu_count() or 1
    works = [start_work(wait) for _ in range(threads)] if threads > 1 else []
    for _ in works:
        begun.acquire()
    yield
    end.set()
    for work in works:
        work.result()


@pytest.mark.usefixtures("busy")
def test_work_that_no_thread_has_begun_is_done_by_who_waits() -> None:
    here = threading.get_ident()
    assert start_work(threading.get_ident).result() == here
    found = [*map_parallel(lambda number: (number, threading.get_ident()), [*range(9)])]
    assert found == [(number, here) for number in range(9)]


@pytest.mark.usefixtures("busy")
def test_images_are_read_while_all_threads_are_busy(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        assert dict(fs.read_many(CONTENTS)) == CONTENTS
        assert fs.read_bytes("/big") == CONTENTS["/big"]


@pytest.mark.usefixtures("busy")
def test_a_thread_that_comes_late_keeps_nothing_of_work_that_is_done() -> None:
    kept = bytes(MIB)
    references = sys.getrefcount(kept)
    for work in [start_work(partial(len, kept)) for _ in range(9)]:
        assert work.result() == MIB
    for work in [start_work(partial(len, kept)) for _ in range(9)]:
        work.cancel()
    assert sys.getrefcount(kept) == references


def test_work_has_its_result_or_its_error_wherever_it_is_done() -> None:
    workers = Workers(2, "test")
    assert workers.start(lambda: 7).result() == 7
    with pytest.raises(ZeroDivisionError):
        workers.start(lambda: 1 // 0).result()
    with pytest.raises(ZeroDivisionError):
        Work(lambda: 1 // 0).result()
    workers.end()
    assert workers.start(lambda: 7).result() == 7  # by new threads
    workers.end()


def test_a_run_that_is_left_decodes_no_more_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 100)
    decoded: list[int] = []
    go_on = threading.Event()

    def decode(number: int) -> int:
        if number:
            go_on.wait()
        decoded.append(number)
        return number

    run = map_parallel(decode, [*range(100)])
    assert next(run) == 0
    run.close()  # type: ignore[attr-defined]  # it is a generator
    go_on.set()
    behind = threading.Event()
    start_work(behind.set)
    behind.wait()
    assert len(decoded) < 50


def test_an_image_within_an_image_is_read_at_once(image: Path, tmp_path: Path) -> None:
    outside = make_image(tmp_path, (file("inside", image.read_bytes()),), "-b", "131072")
    with s3archivefs.open(outside) as outer:
        for _ in range(3):
            with outer.open("/inside") as source, s3archivefs.open(source) as fs:
                assert dict(fs.read_many(CONTENTS)) == CONTENTS
                assert {path: opened.read() for path, _, opened in fs.walk_files()} == CONTENTS


LATE = """
import atexit, sys, s3archivefs
fs = s3archivefs.open(sys.argv[1])
if sys.argv[2] == "again":
    len(fs.read_bytes("/big"))
atexit.register(lambda: print(sum(len(content) for _, content in fs.read_many(fs.listdir("/")))))
"""


@pytest.mark.parametrize("when", ["first", "again"])
def test_an_image_is_read_while_the_interpreter_ends(image: Path, when: str) -> None:
    command = [sys.executable, "-c", LATE, str(image), when]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (str(sum(map(len, CONTENTS.values()))), "")


def test_threads_are_taken_over_by_the_next_that_needs_some() -> None:
    spare_workers(1, "test").end()  # those that another test left
    one, other = (spare_workers(1, "test") for _ in range(2))
    assert one is not other
    first = one.start(threading.get_ident).future
    keep_spare(one)
    keep_spare(other)  # one too many: it ends
    again = spare_workers(1, "test")
    assert again is one
    second = again.start(threading.get_ident).future
    assert first is not None
    assert second is not None
    assert first.result() == second.result()
    again.end()
