from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.cache import eviction as directory_limit
from s3archivefs_lambda.cache.eviction import DirectoryLimit, occupied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096


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
    assert DirectoryLimit(str(tmp_path), BLOCK).make_room(BLOCK)
    assert DirectoryLimit(str(tmp_path / "missing"), BLOCK).make_room(BLOCK)


def test_what_can_never_fit_gets_no_room(tmp_path: Path) -> None:
    file = write(tmp_path / "ab/archive/0")
    assert not DirectoryLimit(str(tmp_path), BLOCK).make_room(2 * BLOCK)
    assert file.parent.exists()


def test_room_is_made_by_deleting_the_least_recently_used(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"ab/archive{number % 3}/{number}", age=1000 - number)
    limit = DirectoryLimit(str(tmp_path), 20 * BLOCK)
    assert limit.make_room(BLOCK)
    # Down to 90 %, so that not every file that comes costs a count.
    assert names(tmp_path) == {str(number) for number in range(2, 20)}


def test_nothing_is_deleted_below_the_limit(tmp_path: Path) -> None:
    for number in range(19):
        write(tmp_path / f"ab/archive/{number}")
    assert DirectoryLimit(str(tmp_path), 20 * BLOCK).make_room(BLOCK)
    assert len(names(tmp_path)) == 19


def test_the_limit_holds_whatever_is_written(tmp_path: Path) -> None:
    limit = DirectoryLimit(str(tmp_path), 10 * BLOCK)
    for number in range(50):
        assert limit.make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}", age=50 - number)
        assert len(names(tmp_path)) <= 10
    assert {"48", "49"} < names(tmp_path)


def test_files_of_other_processes_count(tmp_path: Path) -> None:
    ours, theirs = (DirectoryLimit(str(tmp_path), 10 * BLOCK) for _ in range(2))
    for number in range(50):
        for limit in (ours, theirs):
            assert limit.make_room(BLOCK)
            write(tmp_path / f"ab/archive/{number}-{id(limit)}", age=50 - number)
            assert len(names(tmp_path)) <= 11


def counts_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list of counts begun from now on."""
    counts: list[str] = []
    files = directory_limit._files

    def counted(top: str) -> Iterator[directory_limit._File]:
        counts.append(top)
        return files(top)

    monkeypatch.setattr(directory_limit, "_files", counted)
    monkeypatch.setattr(directory_limit, "_COUNT_SECONDS", 1e9)
    return counts


def test_a_process_alone_need_not_count_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_limit, "_ALONE_SECONDS", -1.0)
    counts = counts_of(monkeypatch)
    limit = DirectoryLimit(str(tmp_path), 100 * BLOCK)
    for number in range(100):
        assert limit.make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}")
    assert len(counts) == 1


def test_a_process_in_company_counts_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counts_of(monkeypatch)
    limit = DirectoryLimit(str(tmp_path), 100 * BLOCK)
    for number in range(100):
        assert limit.make_room(BLOCK)
        write(tmp_path / f"ab/archive/{number}")
    assert len(counts) > 16


def test_a_process_that_was_alone_learns_of_others_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_limit, "_ALONE_SECONDS", -1.0)
    limit = DirectoryLimit(str(tmp_path), 10 * BLOCK)
    assert limit.make_room(BLOCK)
    for number in range(10):
        write(tmp_path / f"ab/archive/{number}", age=10 - number)
    limit._due = time.monotonic()  # a second later
    assert limit.make_room(BLOCK)
    assert len(names(tmp_path)) < 10


def test_temporary_files_count_but_only_old_ones_are_deleted(tmp_path: Path) -> None:
    young = write(tmp_path / "ab/archive/.1.tmp", age=3000)
    write(tmp_path / "ab/archive/.2.tmp", age=4000)
    write(tmp_path / "ab/archive/1", age=10)
    assert DirectoryLimit(str(tmp_path), 2 * BLOCK).make_room(BLOCK)
    assert names(tmp_path) == {young.name}


def test_directories_of_deleted_archives_are_tidied_up(tmp_path: Path) -> None:
    old, young = tmp_path / "ab/old", tmp_path / "ab/young"
    old.mkdir(parents=True)
    os.utime(old, (time.time() - 4000,) * 2)
    young.mkdir()
    assert DirectoryLimit(str(tmp_path), BLOCK).make_room(BLOCK)
    assert not old.exists()
    assert young.exists()  # somebody may be about to write to it


def test_links_are_not_followed_out_of_the_directory(tmp_path: Path) -> None:
    precious = write(tmp_path / "elsewhere/x/precious", 10 * BLOCK, age=1000)
    top = tmp_path / "top"
    (top / "ab/archive").mkdir(parents=True)
    (top / "cd").symlink_to(precious.parents[1])
    (top / "ab/x").symlink_to(precious.parent)
    (top / "ab/archive/0").symlink_to(precious)
    assert DirectoryLimit(str(top), BLOCK).make_room(BLOCK)
    assert precious.exists()


def test_a_file_that_cannot_be_deleted_takes_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ab/archive/0")

    def refuse(path: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert not DirectoryLimit(str(tmp_path), BLOCK).make_room(BLOCK)


def test_a_file_that_another_process_deletes_meanwhile_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ab/archive/0")
    unlink = os.unlink

    def unlink_twice(path: str) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", unlink_twice)
    assert DirectoryLimit(str(tmp_path), BLOCK).make_room(BLOCK)


def one_file_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_limit, "_STEP_FILES", 1)
    monkeypatch.setattr(directory_limit, "_STEP_SECONDS", -1.0)


def test_a_long_count_is_done_in_steps_between_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_file_a_step(monkeypatch)
    for number in range(5):
        write(tmp_path / f"ab/archive/{number}", age=10 - number)
    limit = DirectoryLimit(str(tmp_path), 5 * BLOCK)
    for _ in range(5):
        assert limit.make_room(0)
        assert len(names(tmp_path)) == 5
    assert limit.make_room(BLOCK)
    assert names(tmp_path) == {"1", "2", "3", "4"}


def test_a_long_count_is_not_begun_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ab/archive/0")
    limit = DirectoryLimit(str(tmp_path), 5 * BLOCK)
    one_file_a_step(monkeypatch)
    for _ in range(3):
        limit.make_room(0)
    monkeypatch.setattr(directory_limit, "_files", None)  # another count would fail
    # Until the next count, what is known must do: nothing is kept beyond the limit.
    assert [limit.make_room(BLOCK) for _ in range(6)] == [True] * 4 + [False] * 2


def test_a_file_is_not_worth_waiting_long_for_a_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_limit, "_PATIENCE_SECONDS", 0.0)
    limit = DirectoryLimit(str(tmp_path), 5 * BLOCK)
    with limit._lock:
        assert not limit.make_room(BLOCK)
    assert limit.make_room(BLOCK)


def test_deleting_ends_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write(tmp_path / f"ab/archive/{number}")
    monkeypatch.setattr(directory_limit, "_DELETE_SECONDS", -1.0)
    assert not DirectoryLimit(str(tmp_path), 5 * BLOCK).make_room(BLOCK)
    assert len(names(tmp_path)) == 5
