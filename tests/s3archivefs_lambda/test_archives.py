"""Open archives between requests: reused, revalidated, bounded, opened once."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import BlockDevice, FileDevice, NotSquashfsError, SquashFS, TruncatedImageError
from s3archivefs_lambda import archives as archives_module
from s3archivefs_lambda.archives import Archives
from s3archivefs_lambda.prefix_map import Location
from s3archivefs_lambda.s3_device import (
    ArchiveNotFoundError,
    ArchiveUnavailableError,
)
from tests.support.images import make_image
from tests.support.local_archives import config_for, location_of
from tests.support.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path, (file("a", b"1"),))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that are opened, one entry each time."""
    paths: list[str] = []

    def open_file(path: str) -> FileDevice:
        paths.append(path)
        return FileDevice(path)

    monkeypatch.setattr(archives_module, "FileDevice", open_file)
    return paths


def archives_of(*paths: Path, clock: Clock, revalidate: float = 60, most: int = 32) -> Archives:
    config = config_for(
        {str(number): path for number, path in enumerate(paths)},
        revalidate_seconds=revalidate,
        max_open_archives=most,
    )
    return Archives(config, clock=clock)


def replace_image(image: Path, content: bytes) -> None:
    make_image(image.parent, (file("a", content),), name="new").replace(image)


# ---- Warm ----------------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_asked_for(
    image: Path, clock: Clock, opened: list[str]
) -> None:
    archives = archives_of(image, clock=clock)
    assert len(archives.mappings) == 1
    assert opened == []


def test_a_warm_archive_is_used_again(image: Path, clock: Clock, opened: list[str]) -> None:
    archives = archives_of(image, clock=clock)
    first = archives.get(location_of(image))
    clock.now += 59
    assert archives.get(location_of(image)) is first
    assert opened == [str(image)]
    assert first.image.read_bytes("/a") == b"1"


def test_an_archive_that_has_not_changed_stays_open_past_the_interval(
    image: Path, clock: Clock, opened: list[str]
) -> None:
    archives = archives_of(image, clock=clock)
    first = archives.get(location_of(image))
    for _ in range(3):
        clock.now += 60
        assert archives.get(location_of(image)) is first
    assert opened == [str(image)]


def test_a_replaced_archive_is_noticed_once_the_interval_has_passed(
    image: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "s3archivefs")
    archives = archives_of(image, clock=clock)
    first = archives.get(location_of(image))
    replace_image(image, b"2")
    clock.now += 59.9
    assert archives.get(location_of(image)) is first
    assert first.image.read_bytes("/a") == b"1"
    clock.now += 0.1
    second = archives.get(location_of(image))
    assert second.image.read_bytes("/a") == b"2"
    assert second.identity != first.identity
    assert len(caplog.messages) == 1
    assert str(image) in caplog.messages[0]


def test_the_interval_begins_anew_with_each_check(image: Path, clock: Clock) -> None:
    archives = archives_of(image, clock=clock)
    archives.get(location_of(image))
    clock.now += 60
    unchanged = archives.get(location_of(image))
    replace_image(image, b"2")
    clock.now += 59
    assert archives.get(location_of(image)) is unchanged
    clock.now += 1
    assert archives.get(location_of(image)) is not unchanged


def test_with_an_interval_of_0_each_request_looks(image: Path, clock: Clock) -> None:
    archives = archives_of(image, clock=clock, revalidate=0)
    first = archives.get(location_of(image))
    assert archives.get(location_of(image)) is first
    replace_image(image, b"2")
    assert archives.get(location_of(image)).image.read_bytes("/a") == b"2"


def test_a_file_written_again_in_place_is_another_version(image: Path, clock: Clock) -> None:
    archives = archives_of(image, clock=clock, revalidate=0)
    first = archives.get(location_of(image))
    os.utime(image, ns=(1, 1))  # same file, same size, another time
    assert archives.get(location_of(image)).identity != first.identity


def test_an_archive_that_goes_away_is_missed_and_found_again(image: Path, clock: Clock) -> None:
    archives = archives_of(image, clock=clock)
    archives.get(location_of(image))
    kept = image.read_bytes()
    image.unlink()
    clock.now += 60
    for _ in range(2):
        with pytest.raises(ArchiveNotFoundError, match=f"file://{image}"):
            archives.get(location_of(image))
    image.write_bytes(kept)
    assert archives.get(location_of(image)).image.read_bytes("/a") == b"1"


def test_a_discarded_archive_is_opened_anew_and_others_are_not(
    image: Path, clock: Clock, opened: list[str]
) -> None:
    archives = archives_of(image, clock=clock)
    first = archives.get(location_of(image))
    archives.discard(first)
    second = archives.get(location_of(image))
    assert second is not first
    archives.discard(first)  # is no longer the one that is open
    assert archives.get(location_of(image)) is second
    assert len(opened) == 2


# ---- Faults --------------------------------------------------------------------------------------


def test_a_file_that_is_no_image_is_closed_and_asked_for_again(
    tmp_path: Path, clock: Clock, opened: list[str]
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"not yet an image" * 10)
    archives = archives_of(path, clock=clock)
    for _ in range(2):
        with pytest.raises(NotSquashfsError):
            archives.get(location_of(path))
    gc.collect()  # a file left open would be reported here
    make_image(tmp_path, (file("a", b"1"),), name="new").replace(path)
    assert archives.get(location_of(path)).image.read_bytes("/a") == b"1"
    assert len(opened) == 3


def test_a_directory_is_no_archive(tmp_path: Path, clock: Clock) -> None:
    archives = archives_of(tmp_path, clock=clock)
    with pytest.raises(ArchiveUnavailableError, match="directory"):
        archives.get(location_of(tmp_path))


# ---- Bounds --------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    return [make_image(tmp_path, (file("a", b"%d" % n),), name=str(n)) for n in range(3)]


def test_the_least_recently_used_archive_is_closed(
    three: list[Path], clock: Clock, opened: list[str]
) -> None:
    archives = archives_of(*three, clock=clock, most=2)
    zero, one, two = map(location_of, three)
    for location in (zero, one, zero, two, zero, two):
        archives.get(location)
    assert [Path(path).stem for path in opened] == ["0", "1", "2"]
    archives.get(one)  # went out for two
    archives.get(two)
    archives.get(zero)  # went out for one
    assert [Path(path).stem for path in opened] == ["0", "1", "2", "1", "0"]


def open_files() -> set[str]:
    """What this process has open."""
    return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()}


def test_an_archive_pushed_out_is_closed_when_its_last_user_lets_go(
    three: list[Path], clock: Clock
) -> None:
    archives = archives_of(*three, clock=clock, most=1)
    used = archives.get(location_of(three[0]))
    archives.get(location_of(three[1]))
    assert used.image.read_bytes("/a") == b"0"  # a body may still be streaming from it
    assert str(three[0]) in open_files()
    del used
    gc.collect()
    assert str(three[0]) not in open_files()
    assert str(three[1]) in open_files()


# ---- Threads -------------------------------------------------------------------------------------


def test_threads_that_ask_at_once_open_an_archive_once(
    image: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Semaphore(0)
    go_on = threading.Event()
    count = 0

    def slow_open(device: BlockDevice) -> SquashFS:
        nonlocal count
        count += 1
        assert go_on.wait(30)
        return SquashFS(device)

    monkeypatch.setattr(archives_module, "SquashFS", slow_open)
    archives = archives_of(image, clock=clock)

    def ask() -> bytes:
        waiting.release()
        return archives.get(location_of(image)).image.read_bytes("/a")

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask) for _ in range(8)]
        for _ in range(8):
            assert waiting.acquire(timeout=30)
        go_on.set()
        assert [answer.result(30) for answer in answers] == [b"1"] * 8
    assert count == 1


def test_an_archive_that_is_slow_to_open_holds_up_no_other(
    three: list[Path], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def open_file(path: str) -> FileDevice:
        if path == str(three[0]):
            begun.set()
            assert go_on.wait(30)
        return FileDevice(path)

    monkeypatch.setattr(archives_module, "FileDevice", open_file)
    archives = archives_of(*three, clock=clock)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(archives.get, location_of(three[0]))
        assert begun.wait(30)
        assert archives.get(location_of(three[1])).image.read_bytes("/a") == b"1"
        go_on.set()
        assert slow.result(30).image.read_bytes("/a") == b"0"


# ---- S3 ------------------------------------------------------------------------------------------

NOISE = noise(100_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScriptedStore]:
    """A store whose every key is one image: its metadata fits in the tail, its file does not."""
    image = make_image(tmp_path, (file("a", NOISE),), name="stored")
    with ScriptedStore(image.read_bytes()) as running:
        yield running


def archives_in(store: ScriptedStore, cache: Path, clock: Clock) -> Archives:
    config = replace(config_for({}), cache_dir=cache, tail_bytes=4096, cache_chunk_size=1 << 20)
    return Archives(config, store.client, clock=clock)


AT_S3 = Location("s3", "bucket", "a.sqfs")


def test_an_archive_in_s3_opens_with_two_requests_and_stays_warm(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    archive = archives.get(AT_S3)
    assert sorted(map(str, store.ranges)) == ["bytes=-4096", "bytes=0-95"]
    assert archive.identity == store.etag
    assert archive.image.read_bytes("/a") == NOISE
    assert len(store.requests) == 3
    clock.now += 59
    assert archives.get(AT_S3).image.read_bytes("/a") == NOISE
    assert len(store.requests) == 3


def test_chunks_outlive_the_process(store: ScriptedStore, tmp_path: Path, clock: Clock) -> None:
    archives_in(store, tmp_path / "cache", clock).get(AT_S3).image.read_bytes("/a")
    store.requests.clear()
    again = archives_in(store, tmp_path / "cache", clock).get(AT_S3)
    assert again.image.read_bytes("/a") == NOISE
    assert sorted(map(str, store.ranges)) == ["bytes=-4096", "bytes=0-95"]


def test_an_archive_in_s3_is_revalidated_with_a_head(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    first = archives.get(AT_S3)
    store.requests.clear()
    clock.now += 60
    assert archives.get(AT_S3) is first
    assert [request.method for request in store.requests] == ["HEAD"]
    store.content = make_image(tmp_path, (file("a", b"2"),), name="new").read_bytes()
    store.etag = '"v2"'
    clock.now += 60
    second = archives.get(AT_S3)
    assert second.image.read_bytes("/a") == b"2"
    assert second.etag(second.image.stat("/a")) != first.etag(first.image.stat("/a"))


def test_an_object_too_short_for_an_image_is_none(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    store.content = b"hsqs"
    with pytest.raises(TruncatedImageError):
        archives_in(store, tmp_path / "cache", clock).get(AT_S3)
