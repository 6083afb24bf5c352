from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs_lambda.cache.eviction import DirectoryLimit, Pace, occupied
from tests.support.clock import Clock
from tests.support.processes.forked import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096


def limit_of(top: Path, max_bytes: int, **pace: float) -> DirectoryLimit:
    """A limit whose writers wait for each count, however busy the machine is, unless told."""
    return DirectoryLimit(str(top), max_bytes, pace=Pace(**({"patience_seconds": 60.0} | pace)))


def write(path: Path, size: int = BLOCK, age: float = 0.0) -> Path:
    """A file last used `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def names(top: Path) -> set[str]:
    return {path.name for path in top.glob("*/*/*")}


@pytest.mark.parametrize(
    ("size", "blocks"), [(0, 0), (1, 1), (BLOCK - 1, 1), (BLOCK, 1), (BLOCK + 1, 2)]
)
def test_files_occupy_whole_blocks(size: int, blocks: int) -> None:
    assert occupied(size) == blocks * BLOCK


def test_there_is_room_in_an_empty_or_missing_directory(tmp_path: Path) -> None:
    assert limit_of(tmp_path, BLOCK).make_room(BLOCK)
    assert limit_of(tmp_path / "missing", BLOCK).make_room(BLOCK)


def test_what_can_never_fit_gets_no_room(tmp_path: Path) -> None:
    file = write(tmp_path / "ab/archive/0")
    assert not limit_of(tmp_path, BLOCK).make_room(2 * BLOCK)
    assert file.parent.exists()


def test_room_is_made_by_deleting_the_least_recently_used(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"ab/archive{number % 3}/{number}", age=1000 - number)
    limit = limit_of(tmp_path, 20 * BLOCK)
    assert limit.make_room(BLOCK)
    # Down to 90 %, so that not every file that comes costs a count.
    assert names(tmp_path) == {str(number) for number in range(2, 20)}


def test_files_that_a_clock_far_ahead_has_dated_go_first(tmp_path: Path) -> None:
    ahead = {"a", "b"}
    for name in ahead:
        write(tmp_path / f"ab/archive/{name}", age=-86_400)
    write(tmp_path / "ab/archive/.1.tmp", age=-86_400)
    near = write(tmp_path / "ab/archive/near", age=-600)  # clocks of machines differ
    for number in range(17):
        write(tmp_path / f"ab/archive/{number}", age=1000 - number)
    (tmp_path / "ab/empty").mkdir()
    os.utime(tmp_path / "ab/empty", (time.time() + 86_400,) * 2)
    assert limit_of(tmp_path, 20 * BLOCK).make_room(BLOCK)
    assert names(tmp_path) == {near.name, *map(str, range(17))}
    assert not (tmp_path / "ab/empty").exists()


def test_nothing_is_deleted_below_the_limit(tmp_path: Path) -> None:
    for number in range(19):
        write(tmp_path / f"ab/archive/{number}")
    assert limit_of(tmp_path, 20 * BLOCK).make_room(BLOCK)
    assert len(names(tmp_path)) == 19


def test_the_limit_holds_whatever_is_written(tmp_path: Path) -> None:
    limit = limit_of(tmp_path, 10 * BLOCK)
    for number in range(50):
        assert limit.make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}", age=50 - number)
        assert len(names(tmp_path)) <= 10
    assert {"48", "49"} < names(tmp_path)


def test_files_of_other_processes_count(tmp_path: Path) -> None:
    ours, theirs = (limit_of(tmp_path, 10 * BLOCK) for _ in range(2))
    for number in range(50):
        for limit in (ours, theirs):
            assert limit.make_room(BLOCK)
            write(tmp_path / f"ab/archive/{number}-{id(limit)}", age=50 - number)
            assert len(names(tmp_path)) <= 11


def counts_of(top: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list of counts begun from now on."""
    counts: list[str] = []
    scandir = os.scandir

    def counted(path: str) -> Any:  # noqa: ANN401 -- as os.scandir
        if path == str(top):
            counts.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    return counts


def test_a_process_alone_need_not_count_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counts_of(tmp_path, monkeypatch)
    limit = limit_of(tmp_path, 100 * BLOCK, count_seconds=1e9, alone_seconds=-1.0)
    for number in range(100):
        assert limit.make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}")
    assert len(counts) == 1


def test_a_process_that_may_not_be_alone_takes_half_of_the_room_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counts_of(tmp_path, monkeypatch)
    limit = limit_of(tmp_path, 128 * BLOCK, count_seconds=1e9, alone_seconds=1e9)
    for number in range(128):
        assert limit.make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}")
    # 1/16 at first; then 64 of 128 blocks, 32 of 64, and so on.
    assert len(counts) >= 8


@pytest.mark.parametrize("processes", [2, 5, 16])
def test_processes_beside_each_other_keep_the_limit_together(
    tmp_path: Path, processes: int
) -> None:
    limits = [limit_of(tmp_path, 64 * BLOCK, count_seconds=1e9) for _ in range(processes)]
    random = Random(processes)
    for number in range(200):
        if random.choice(limits).make_room(BLOCK):
            write(tmp_path / f"ab/archive/{number}", age=200 - number)
        assert len(names(tmp_path)) <= 64 + processes


def test_two_processes_in_a_full_directory_need_not_count_for_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        write(tmp_path / f"ab/old/{number}", 36 * BLOCK, age=1000 - number)
    counts = counts_of(tmp_path, monkeypatch)
    limits = [limit_of(tmp_path, 400 * BLOCK, count_seconds=1e9) for _ in range(2)]
    for number in range(200):
        assert limits[number % 2].make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}")
    assert len(counts) <= 200 / 6


def test_a_process_that_was_alone_learns_of_others_in_time(tmp_path: Path) -> None:
    # All that a count is good for has passed.
    limit = limit_of(tmp_path, 10 * BLOCK, count_seconds=0, rest=0, alone_seconds=-1.0)
    assert limit.make_room(BLOCK)
    for number in range(10):
        write(tmp_path / f"ab/archive/{number}", age=10 - number)
    assert limit.make_room(BLOCK)
    assert len(names(tmp_path)) < 10


def test_temporary_files_count_but_only_old_ones_are_deleted(tmp_path: Path) -> None:
    young = write(tmp_path / "ab/archive/.1.tmp", age=3000)
    write(tmp_path / "ab/archive/.2.tmp", age=4000)
    write(tmp_path / "ab/archive/1", age=10)
    assert limit_of(tmp_path, 2 * BLOCK).make_room(BLOCK)
    assert names(tmp_path) == {young.name}


def test_directories_of_deleted_archives_are_tidied_up(tmp_path: Path) -> None:
    old, young = tmp_path / "ab/old", tmp_path / "ab/young"
    old.mkdir(parents=True)
    os.utime(old, (time.time() - 4000,) * 2)
    young.mkdir()
    assert limit_of(tmp_path, BLOCK).make_room(BLOCK)
    assert not old.exists()
    assert young.exists()  # somebody may be about to write to it


def test_links_are_not_followed_out_of_the_directory(tmp_path: Path) -> None:
    precious = write(tmp_path / "elsewhere/x/precious", 10 * BLOCK, age=1000)
    top = tmp_path / "top"
    (top / "ab/archive").mkdir(parents=True)
    (top / "cd").symlink_to(precious.parents[1])
    (top / "ab/x").symlink_to(precious.parent)
    (top / "ab/archive/0").symlink_to(precious)
    assert limit_of(top, BLOCK).make_room(BLOCK)
    assert precious.exists()


def test_a_file_that_cannot_be_deleted_takes_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ab/archive/0")

    def refuse(path: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert not limit_of(tmp_path, BLOCK).make_room(BLOCK)


def test_a_file_that_another_process_deletes_meanwhile_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ab/archive/0")
    unlink = os.unlink

    def unlink_twice(path: str) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", unlink_twice)
    assert limit_of(tmp_path, BLOCK).make_room(BLOCK)


# ---- Long counts ---------------------------------------------------------------------------------


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Holds up each count."""
    gate = Gate()
    scandir = os.scandir

    def gated(path: str) -> Any:  # noqa: ANN401 -- as os.scandir
        if path == str(tmp_path):
            gate.wait()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gated)
    yield gate
    gate.open()


def test_before_its_first_count_ends_a_process_may_write_a_sixteenth_of_the_limit(
    tmp_path: Path, gate: Gate
) -> None:
    limit = limit_of(tmp_path, 32 * BLOCK, patience_seconds=0)
    assert [limit.make_room(BLOCK) for _ in range(4)] == [True, True, False, False]
    assert gate.reached.wait(60)


def test_while_a_count_is_in_progress_a_process_writes_what_the_last_one_left(
    tmp_path: Path, gate: Gate
) -> None:
    for number in range(2):
        write(tmp_path / f"ab/archive/{number}")
    limit = limit_of(tmp_path, 5 * BLOCK, patience_seconds=0)
    assert not limit.make_room(BLOCK)
    gate.open()
    limit.wait_idle()
    gate.close()
    # Another count is not due so soon after one that took long.
    assert [limit.make_room(BLOCK) for _ in range(4)] == [True, True, True, False]


def test_what_is_written_during_a_count_is_added_to_it(tmp_path: Path, gate: Gate) -> None:
    limit = limit_of(tmp_path, 32 * BLOCK, patience_seconds=0)
    assert limit.make_room(BLOCK)
    assert gate.reached.wait(60)
    assert limit.make_room(BLOCK)
    write(tmp_path / "ab/archive/0")
    gate.open()
    limit.wait_idle()
    gate.close()
    granted = sum(limit.make_room(BLOCK) for _ in range(40))
    assert 1 + granted <= 31


def test_the_time_that_a_process_is_frozen_is_no_part_of_a_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a function is between two requests; the next count is not put off for hours."""
    clock = Clock()
    counts = counts_of(tmp_path, monkeypatch)
    scandir = os.scandir

    def frozen(path: str) -> Any:  # noqa: ANN401 -- as os.scandir
        clock.now += 3600
        return scandir(path)

    monkeypatch.setattr(os, "scandir", frozen)
    for number in range(2):
        write(tmp_path / f"ab/archive{number}/0")
    pace = Pace(patience_seconds=60)
    limit = DirectoryLimit(str(tmp_path), 64 * BLOCK, pace=pace, clock=clock)
    for _ in range(3):
        limit.make_room(BLOCK)
        limit.wait_idle()
        clock.now += 10
    assert len(counts) == 3


def test_where_no_thread_can_be_had_nothing_is_written_beyond_the_first_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    limit = limit_of(tmp_path, 32 * BLOCK)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        assert [limit.make_room(BLOCK) for _ in range(4)] == [True, True, False, False]
    assert limit.make_room(BLOCK)


def test_a_writer_that_is_interrupted_wants_no_more_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = limit_of(tmp_path, 320 * BLOCK)
    writer = threading.get_ident()
    wait = threading.Condition.wait

    def interrupt(condition: threading.Condition, timeout: float | None = None) -> bool:
        if timeout is None or threading.get_ident() != writer:
            return wait(condition, timeout)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Condition, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            limit.make_room(100 * BLOCK)
    limit.wait_idle()
    counts = counts_of(tmp_path, monkeypatch)
    assert all(limit.make_room(BLOCK) for _ in range(20))
    assert len(counts) < 10  # with the 100 blocks reserved for nobody, each would need a count


def test_an_entry_of_which_nothing_can_be_told_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def stale(*, follow_symlinks: bool) -> None:
        raise OSError(errno.ESTALE, f"Stale file handle, {follow_symlinks=}")

    def with_stale(path: str) -> Any:  # noqa: ANN401 -- as os.scandir
        with scandir(path) as entries:
            return nullcontext([SimpleNamespace(is_dir=stale, stat=stale), *entries])

    for number in range(4):
        write(tmp_path / f"ab/archive/{number}")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", with_stale)
        assert limit_of(tmp_path, 4 * BLOCK).make_room(BLOCK)
    assert len(names(tmp_path)) == 3


def test_a_count_that_breaks_leaves_the_next_one_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise MemoryError

    limit = limit_of(tmp_path, BLOCK)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", fail)
        patch.setattr(threading, "excepthook", lambda _: None)
        assert not limit.make_room(BLOCK)
        limit.wait_idle()
    assert limit.make_room(BLOCK)


def test_threads_that_wait_for_one_count_all_get_room(tmp_path: Path) -> None:
    limit = limit_of(tmp_path, 20 * BLOCK)
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        together.wait(60)
        return limit.make_room(BLOCK)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
