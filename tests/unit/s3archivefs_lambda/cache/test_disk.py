from __future__ import annotations

import errno
import hashlib
import os
import random
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.cache.disk import ChunkStore
from tests.support.adapter.chunk_stores import patient_store
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = random.Random(2).randbytes(8192)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return patient_store(tmp_path, 1 << 20)


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def stored_file(directory: Path) -> Path:
    (file,) = files(directory)
    return file


# --- keeping chunks


def test_a_chunk_comes_back(store: ChunkStore) -> None:
    assert store.get("archive", 0) is None
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK


@pytest.mark.parametrize("index", [0, 1, 1 << 40])
@pytest.mark.parametrize("size", [0, 1, 8192])
def test_chunks_of_any_size_and_index_come_back(store: ChunkStore, index: int, size: int) -> None:
    store.put("archive", index, memoryview(CHUNK)[:size])
    assert store.get("archive", index) == CHUNK[:size]


def test_archives_and_indexes_are_kept_apart(store: ChunkStore) -> None:
    store.put("archive", 0, b"a0")
    store.put("archive", 1, b"a1")
    store.put("other", 0, b"o0")
    assert store.get("archive", 0) == b"a0"
    assert store.get("archive", 1) == b"a1"
    assert store.get("other", 0) == b"o0"
    assert store.get("other", 1) is None


def test_another_process_finds_the_chunks(store: ChunkStore, tmp_path: Path) -> None:
    store.put("archive", 0, CHUNK)
    assert ChunkStore(tmp_path, 1 << 20).get("archive", 0) == CHUNK


def test_a_chunk_is_a_file_named_by_the_hash_of_its_archive(
    store: ChunkStore, tmp_path: Path
) -> None:
    store.put("archive", 7, CHUNK)
    name = hashlib.sha256(b"archive").hexdigest()
    path = tmp_path / "s3archivefs-cache" / "v1" / name[:2] / name[2:] / "7"
    assert stored_file(tmp_path) == path


@pytest.mark.parametrize("archive_id", ["../../../escape", "/etc/passwd", "a\0b", "a\udcff", ""])
def test_no_identity_becomes_a_path(store: ChunkStore, tmp_path: Path, archive_id: str) -> None:
    store.put(archive_id, 0, CHUNK)
    assert store.get(archive_id, 0) == CHUNK
    assert stored_file(tmp_path).is_relative_to(tmp_path / "s3archivefs-cache" / "v1")


def test_files_and_directories_are_private(store: ChunkStore, tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        store.put("archive", 0, CHUNK)
    finally:
        os.umask(previous)
    for path in (tmp_path / "s3archivefs-cache").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "s3archivefs-cache").stat().st_mode) == 0o700


def test_a_chunk_that_is_there_is_not_written_again(store: ChunkStore, tmp_path: Path) -> None:
    store.put("archive", 0, CHUNK)
    before = stored_file(tmp_path).stat()
    store.put("archive", 0, CHUNK)
    after = stored_file(tmp_path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_hit_marks_the_chunk_as_used_every_so_often(store: ChunkStore, tmp_path: Path) -> None:
    store.put("archive", 0, CHUNK)
    file = stored_file(tmp_path)
    now = time.time()
    for age, is_marked in ((3600, True), (10, False), (-3600, True)):  # the last: a clock ahead
        os.utime(file, (now - age,) * 2)
        assert store.get("archive", 0) == CHUNK
        assert (abs(file.stat().st_mtime - (now - age)) > 1) is is_marked


# --- the limit


def test_the_least_recently_used_chunks_go_first(tmp_path: Path) -> None:
    store = patient_store(tmp_path, 10 * 12288)  # a chunk and its header fill three blocks
    for index in range(10):
        store.put("archive", index, CHUNK)
        (path,) = tmp_path.glob(f"s3archivefs-cache/v1/*/*/{index}")
        os.utime(path, (time.time() - 1000 + index,) * 2)
    store.get("archive", 0)
    store.put("archive", 10, CHUNK)
    kept = [index for index in range(11) if store.get("archive", index)]
    assert kept == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_cache_of_no_bytes_does_not_touch_the_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ChunkStore(tmp_path, 1 << 20).put("archive", 0, CHUNK)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for directory in (tmp_path, tmp_path / "missing", Path("/proc/nowhere")):
        store = ChunkStore(directory, 0)
        store.put("archive", 0, CHUNK)
        assert store.get("archive", 0) is None
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert caplog.records == []


@pytest.mark.parametrize("max_bytes", [0, 1, 8192, 12287])
def test_a_chunk_beyond_the_limit_is_not_kept(tmp_path: Path, max_bytes: int) -> None:
    store = ChunkStore(tmp_path, max_bytes)
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) is None
    assert files(tmp_path) == []


# --- damaged files


def flipped(position: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[position] ^= 1
        return bytes(damaged)

    return flip


@pytest.mark.parametrize(
    "damage",
    [
        *[flipped(position) for position in (0, 7, 8, 15, 16, 19, 20, 23, 24, 27, 28, 4000, -1)],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:28],
        lambda data: data[:27],
        lambda data: data[:0],
        lambda data: bytes(len(data)),
    ],
)
def test_a_damaged_file_is_a_miss_and_goes(
    store: ChunkStore, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    store.put("archive", 0, CHUNK)
    file = stored_file(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert store.get("archive", 0) is None
    assert not file.exists()
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK


def test_the_file_of_another_chunk_is_a_miss(store: ChunkStore, tmp_path: Path) -> None:
    store.put("archive", 0, CHUNK)
    file = stored_file(tmp_path)
    file.rename(file.with_name("1"))
    assert store.get("archive", 1) is None


# --- planted files


def test_a_link_in_place_of_a_chunk_is_not_followed(store: ChunkStore, tmp_path: Path) -> None:
    store.put("archive", 0, CHUNK)
    file = stored_file(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert store.get("archive", 0) is None
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK
    assert not file.is_symlink()
    assert elsewhere.read_bytes() == before


def test_a_fifo_in_place_of_a_chunk_does_not_block(store: ChunkStore, tmp_path: Path) -> None:
    store.put("archive", 0, CHUNK)
    file = stored_file(tmp_path)
    file.unlink()
    os.mkfifo(file)
    assert store.get("archive", 0) is None
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK


def refused(store: ChunkStore, caplog: pytest.LogCaptureFixture) -> str:
    """The one warning of a store that keeps nothing."""
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) is None
    store.put("archive", 1, CHUNK)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    return record.getMessage()


def test_a_link_in_place_of_the_directory_is_refused(
    store: ChunkStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "s3archivefs-cache").symlink_to(target)
    assert "not a directory" in refused(store, caplog)
    assert files(target) == []


def test_a_directory_that_others_can_write_to_is_refused(
    store: ChunkStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "s3archivefs-cache").mkdir()
    (tmp_path / "s3archivefs-cache").chmod(0o770)
    assert "chmod 700" in refused(store, caplog)


def test_without_users_there_is_no_cache_and_no_word_of_modes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, whose access lists the mode of a directory does not show."""
    monkeypatch.delattr(os, "geteuid")
    tmp_path.chmod(0o777)
    message = refused(ChunkStore(tmp_path / "cache", 1 << 20), caplog)
    assert "this system does not tell who else may write there; archives are read" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o2775])
def test_each_user_of_a_shared_directory_has_a_cache_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    tmp_path.chmod(mode)
    stores = {}
    for user in (1000, 1001):
        with monkeypatch.context() as patch:
            user_ids(patch, directory=user, new_files=user, process=user)
            stores[user] = ChunkStore(tmp_path, 1 << 20)
            stores[user].put("archive", 0, b"%d" % user)
            assert stores[user].get("archive", 0) == b"%d" % user
            assert ChunkStore(tmp_path, 1 << 20).get("archive", 0) == b"%d" % user
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "s3archivefs-cache-1000",
        "s3archivefs-cache-1001",
    ]
    assert caplog.records == []


def test_all_who_act_as_one_user_share_one_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do through an access point of EFS, whatever the directory's mode."""
    tmp_path.chmod(0o1777)
    for process in (993, 994, 1000):
        with monkeypatch.context() as patch:
            user_ids(patch, directory=1000, new_files=1000, process=process)
            store = ChunkStore(tmp_path, 1 << 20)
            assert (store.get("archive", 0) is None) is (process == 993)
            store.put("archive", 0, CHUNK)
    assert [path.name for path in tmp_path.iterdir()] == ["s3archivefs-cache-1000"]


def test_a_shared_directory_on_a_full_disk_can_be_read_by_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o1777)
    ChunkStore(tmp_path, 1 << 20).put("archive", 0, CHUNK)
    fill_up(monkeypatch)
    assert ChunkStore(tmp_path, 1 << 20).get("archive", 0) == CHUNK


def test_what_another_user_put_in_the_place_of_the_cache_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / f"s3archivefs-cache-{os.geteuid()}").symlink_to("/nonexistent")
    assert "not a directory" in refused(ChunkStore(tmp_path, 1 << 20), caplog)


def user_ids(
    monkeypatch: pytest.MonkeyPatch, *, directory: int, new_files: int, process: int
) -> None:
    """Let files seem to have owners as a test without root cannot arrange."""
    fstat, lstat = os.fstat, os.lstat

    def with_owner(found: os.stat_result, owner: int) -> SimpleNamespace:
        names = ("st_mode", "st_mtime", "st_size")
        return SimpleNamespace(st_uid=owner, **{name: getattr(found, name) for name in names})

    monkeypatch.setattr(os, "lstat", lambda path: with_owner(lstat(path), directory))
    monkeypatch.setattr(os, "fstat", lambda fd: with_owner(fstat(fd), new_files))
    monkeypatch.setattr(os, "geteuid", lambda: process)


def test_a_directory_of_another_user_is_refused(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user_ids(monkeypatch, directory=1000, new_files=993, process=993)
    assert "another user" in refused(store, caplog)


def test_an_efs_access_point_that_acts_as_another_user_is_used(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user_ids(monkeypatch, directory=1000, new_files=1000, process=993)
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK
    assert caplog.records == []


def test_a_file_that_another_user_planted_is_a_miss(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("archive", 0, CHUNK)
    user_ids(monkeypatch, directory=os.geteuid(), new_files=12345, process=os.geteuid())
    assert store.get("archive", 0) is None


# --- trouble


@pytest.mark.parametrize(
    ("call", "code"),
    [
        *[("open", code) for code in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "ENOENT", "EIO")],
        *[("replace", code) for code in ("ENOSPC", "EDQUOT", "EROFS", "ESTALE")],
    ],
)
def test_trouble_with_writing_costs_one_warning_and_heals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    code: str,
) -> None:
    clock = Clock()
    store = ChunkStore(tmp_path, 1 << 20, retry_seconds=60, clock=clock)
    store.put("archive", 0, CHUNK)
    real = getattr(os, call)

    def fail(*arguments: object, **keywords: object) -> object:
        if call == "open" and not int(str(arguments[1])) & os.O_CREAT:
            return real(*arguments, **keywords)
        number = getattr(errno, code)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        store.put("archive", 1, CHUNK)
        clock.now += 60
        store.put("archive", 2, CHUNK)
        assert store.get("archive", 0) == CHUNK  # a full disk can still be read
    assert len(files(tmp_path)) == 1  # no temporary file is left
    store.put("archive", 1, CHUNK)  # not tried again so soon
    assert store.get("archive", 1) is None
    clock.now += 60
    store.put("archive", 1, CHUNK)
    assert store.get("archive", 1) == CHUNK
    (record,) = caplog.records
    assert str(tmp_path) in record.getMessage()


@pytest.mark.parametrize("most", [1, 27, 28, 29, 1000])
def test_a_chunk_is_written_whole_where_the_system_takes_little_at_once(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(os, "writev", lambda file, parts: os.write(file, parts[0][:most]))
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK


def test_a_temporary_file_that_is_cleaned_away_is_no_fault(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace = os.replace

    def clean_away_first(source: str, target: str) -> None:
        os.unlink(source)  # noqa: PTH108 -- str, as the caller's
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", clean_away_first)
        store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) is None
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK
    assert caplog.records == []


def test_a_directory_that_cannot_be_made_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be used" in refused(ChunkStore(tmp_path / "file" / "cache", 1 << 20), caplog)


def test_a_directory_that_can_be_made_later_is_used_then(tmp_path: Path) -> None:
    (tmp_path / "mount").write_bytes(b"")
    store = ChunkStore(tmp_path / "mount", 1 << 20, retry_seconds=0)
    store.put("archive", 0, CHUNK)
    (tmp_path / "mount").unlink()
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK


def test_a_directory_that_vanishes_is_made_again(
    store: ChunkStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("archive", 0, CHUNK)
    (tmp_path / "s3archivefs-cache").rename(tmp_path / "gone")
    assert store.get("archive", 0) is None
    store.put("archive", 0, CHUNK)
    assert store.get("archive", 0) == CHUNK
    assert stat.S_IMODE((tmp_path / "s3archivefs-cache").stat().st_mode) == 0o700
    assert caplog.records == []


def fill_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk have room for no other file."""
    real = os.open

    def full(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", full)


def test_a_full_disk_can_be_read_by_a_new_process(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("archive", 0, CHUNK)
    fill_up(monkeypatch)
    assert ChunkStore(tmp_path, 1 << 20).get("archive", 0) == CHUNK


def test_reading_trouble_is_a_miss(store: ChunkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("archive", 0, CHUNK)

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fail)
        assert store.get("archive", 0) is None
    assert store.get("archive", 0) == CHUNK


# --- many at once


def test_threads_share_a_store(store: ChunkStore) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(100):
            index = choice.randrange(20)
            right = random.Random(index).randbytes(8192)
            store.put("archive", index, right)
            if store.get("archive", index) not in {None, right}:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(store.get("archive", index) for index in range(20))
