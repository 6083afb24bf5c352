"""Open archives between requests: reused, revalidated, bounded, opened once."""

from __future__ import annotations

import errno
import gc
import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.shapes import noise
from fixtures.tree import file, symlink
from s3archivefs import FileDevice, Limits, NotSquashfsError, SquashFS, TruncatedImageError
from s3archivefs_lambda.archives import local as local_archive
from s3archivefs_lambda.archives import s3 as s3_archive
from s3archivefs_lambda.archives.archive import BASE_BYTES
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.archives.passing_time import PassingTime
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.store import device as s3_device
from s3archivefs_lambda.store.errors import ArchiveNotFoundError, ArchiveUnavailableError
from tests.support.adapter.local_archives import config_for, location_of
from tests.support.adapter.memory_store import MemoryStore
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image
from tests.support.processes.joined import wait_for_joined
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Literal

    from types_boto3_s3 import S3Client

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.archives.archives import Archive


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

    def open_file(file: BinaryIO) -> FileDevice:
        paths.append(file.name)
        return FileDevice(file)

    monkeypatch.setattr(local_archive, "FileDevice", open_file)
    return paths


def archives_of(*paths: Path, most: int = 32) -> Archives:
    mappings = {str(number): path for number, path in enumerate(paths)}
    return Archives(config_for(mappings, open_archives_bytes=room_for(most)), make_archive_client)


def room_for(most: int) -> int:
    """Bytes in which so many small archives can be open, and not one more."""
    return most * BASE_BYTES + BASE_BYTES // 2


def test_nothing_is_opened_before_it_is_asked_for(image: Path, opened: list[str]) -> None:
    archives = archives_of(image)
    assert len(archives.mappings) == 1
    assert opened == []


def test_an_image_is_opened_once_and_looked_at_by_each_request(
    image: Path, opened: list[str]
) -> None:
    archives = archives_of(image)
    first = archives.get(location_of(image))
    assert archives.get(location_of(image)) is first
    assert opened == [str(image)]
    assert first.image.read_bytes("/a") == b"1"


def test_a_discarded_archive_is_opened_anew_and_others_are_not(
    image: Path, opened: list[str]
) -> None:
    archives = archives_of(image)
    first = archives.get(location_of(image))
    archives.discard(first)
    second = archives.get(location_of(image))
    assert second is not first
    archives.discard(first)  # is no longer the one that is open
    assert archives.get(location_of(image)) is second
    assert len(opened) == 2


def test_an_archive_is_confirmed_anew_after_the_process_was_frozen(
    image: Path, tmp_path: Path
) -> None:
    store = MemoryStore({"a.sqfs": image.read_bytes()})
    location = Location("s3", "bucket", "a.sqfs")
    config = replace(config_for({}), cache_dir=tmp_path, revalidate_seconds=60)
    assert isinstance(Archives(config, store.client).clock, PassingTime)
    running, of_day = Clock(), Clock()
    archives = Archives(config, store.client, clock=PassingTime(running, of_day))
    archives.get(location)
    store.take_counts()
    archives.get(location)
    assert store.take_counts() == {}
    of_day.now += 61
    archives.get(location)
    assert store.take_counts() == {"HeadObject": 1}


# ---- Faults --------------------------------------------------------------------------------------


def test_a_file_that_is_no_image_is_closed_and_asked_for_again(
    tmp_path: Path, opened: list[str]
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"not yet an image" * 10)
    archives = archives_of(path)
    for _ in range(2):
        with pytest.raises(NotSquashfsError):
            archives.get(location_of(path))
    gc.collect()  # a file left open would be reported here
    make_image(tmp_path, (file("a", b"1"),), name="new").replace(path)
    assert archives.get(location_of(path)).image.read_bytes("/a") == b"1"
    assert len(opened) == 3


# ---- Bounds --------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    return [make_image(tmp_path, (file("a", b"%d" % n),), name=str(n)) for n in range(3)]


def test_the_least_recently_used_archive_is_closed(three: list[Path], opened: list[str]) -> None:
    archives = archives_of(*three, most=2)
    zero, one, two = map(location_of, three)
    for location in (zero, one, zero, two, zero, two):
        archives.get(location)
    assert [Path(path).stem for path in opened] == ["0", "1", "2"]
    archives.get(one)  # went out for two
    archives.get(two)
    archives.get(zero)  # went out for one
    assert [Path(path).stem for path in opened] == ["0", "1", "2", "1", "0"]


def test_forgetting_an_archive_that_was_pushed_out_pushes_out_no_other(
    three: list[Path], opened: list[str]
) -> None:
    archives = archives_of(*three, most=1)
    pushed_out = archives.get(location_of(three[0]))
    kept = archives.get(location_of(three[1]))
    archives.discard(pushed_out)
    assert archives.get(location_of(three[1])) is kept
    assert len(opened) == 2


def open_files() -> set[str]:
    """What this process has open."""
    return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()}


def test_an_archive_pushed_out_is_closed_when_its_last_user_lets_go(three: list[Path]) -> None:
    archives = archives_of(*three, most=1)
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
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Semaphore(0)
    go_on = threading.Event()
    count = 0

    def slow_open(device: BlockDevice, limits: Limits) -> SquashFS:
        nonlocal count
        count += 1
        assert go_on.wait(30)
        return SquashFS(device, limits=limits)

    monkeypatch.setattr(local_archive, "SquashFS", slow_open)
    archives = archives_of(image)

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
    three: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def open_file(file: BinaryIO) -> FileDevice:
        if file.name == str(three[0]):
            begun.set()
            assert go_on.wait(30)
        return FileDevice(file)

    monkeypatch.setattr(local_archive, "FileDevice", open_file)
    archives = archives_of(*three)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(archives.get, location_of(three[0]))
        assert begun.wait(30)
        assert archives.get(location_of(three[1])).image.read_bytes("/a") == b"1"
        go_on.set()
        assert slow.result(30).image.read_bytes("/a") == b"0"


# ---- Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["file", "s3"])
def test_images_are_opened_with_the_limits_of_the_settings(
    scheme: Literal["file", "s3"], tmp_path: Path
) -> None:
    image = make_image(tmp_path, (file("a", b"1"), symlink("link", "a")))
    config = replace(config_for({}), cache_dir=tmp_path, limits=Limits(symlink_hops=0))
    with ScriptedStore(image.read_bytes()) as store:
        archives = Archives(config, store.client)
        found = archives.get(location_of(image) if scheme == "file" else AT_S3).image
        assert found.read_bytes("/a") == b"1"
        with pytest.raises(OSError, match="symbolic links"):
            found.read_bytes("/link")


# ---- S3 ------------------------------------------------------------------------------------------

NOISE = noise(100_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScriptedStore]:
    """A store whose every key is one image: its metadata fits in the tail, its file does not."""
    image = make_image(tmp_path, (file("a", NOISE),), name="stored")
    with ScriptedStore(image.read_bytes()) as running:
        yield running


def archives_in(
    store: ScriptedStore,
    cache: Path,
    clock: Clock,
    **changes: Any,  # noqa: ANN401 -- Config's
) -> Archives:
    """Archives that wait for the store for as long as it takes."""
    settings: dict[str, Any] = {
        "cache_dir": cache,
        "tail_bytes": 4096,
        "cache_chunk_size": 1 << 20,
        "revalidate_seconds": 60,
        "stale_seconds": 0,
    }
    return Archives(replace(config_for({}), **(settings | changes)), store.client, clock=clock)


AT_S3 = Location("s3", "bucket", "a.sqfs")


def replace_object(store: ScriptedStore, directory: Path, content: bytes) -> None:
    store.content = make_image(directory, (file("a", content),), name="new").read_bytes()
    store.etag = f'"{hashlib.md5(store.content, usedforsecurity=False).hexdigest()}"'


def test_an_archive_in_s3_opens_with_two_requests_and_stays_warm(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    archive = archives.get(AT_S3)
    assert sorted(map(str, store.ranges)) == ["bytes=-4096", "bytes=0-95"]
    assert store.etag.strip('"') in archive.identity
    assert archive.image.read_bytes("/a") == NOISE
    assert len(store.requests) == 3
    clock.now += 59
    assert archives.get(AT_S3).image.read_bytes("/a") == NOISE
    assert len(store.requests) == 3


def test_an_archive_that_has_not_changed_stays_open_for_a_head_each_interval(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    first = archives.get(AT_S3)
    store.requests.clear()
    for _ in range(3):
        clock.now += 60
        assert archives.get(AT_S3) is first
    assert [request.method for request in store.requests] == ["HEAD"] * 3


def test_a_replaced_archive_is_noticed_once_the_interval_has_passed(
    store: ScriptedStore, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "s3archivefs")
    archives = archives_in(store, tmp_path / "cache", clock)
    first = archives.get(AT_S3)
    replace_object(store, tmp_path, b"2")
    clock.now += 59.9
    assert archives.get(AT_S3) is first
    clock.now += 0.1
    second = archives.get(AT_S3)
    assert second.image.read_bytes("/a") == b"2"
    assert store.etag.strip('"') in second.identity
    assert second.etags([second.image.stat("/a")]) != first.etags([first.image.stat("/a")])
    assert [str(AT_S3) in line for line in caplog.messages] == [True]


def test_the_interval_begins_anew_with_each_check(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    archives.get(AT_S3)
    clock.now += 60
    unchanged = archives.get(AT_S3)
    replace_object(store, tmp_path, b"2")
    clock.now += 59
    assert archives.get(AT_S3) is unchanged
    clock.now += 1
    assert archives.get(AT_S3) is not unchanged


def test_with_an_interval_of_0_each_request_asks(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, revalidate_seconds=0)
    first = archives.get(AT_S3)
    assert archives.get(AT_S3) is first
    replace_object(store, tmp_path, b"2")
    assert archives.get(AT_S3).image.read_bytes("/a") == b"2"


def test_an_archive_replaced_by_one_of_the_same_size_shares_no_chunks_with_it(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    size = len(store.content)
    archives_in(store, tmp_path / "cache", clock).get(AT_S3).image.read_bytes("/a")
    replace_object(store, tmp_path, NOISE[::-1])
    assert len(store.content) == size
    replaced = archives_in(store, tmp_path / "cache", clock).get(AT_S3)
    assert replaced.image.read_bytes("/a") == NOISE[::-1]


def test_chunks_outlive_the_process(store: ScriptedStore, tmp_path: Path, clock: Clock) -> None:
    first = archives_in(store, tmp_path / "cache", clock)
    first.get(AT_S3).image.read_bytes("/a")
    first.wait_idle()  # chunks are stored in the background
    store.requests.clear()
    again = archives_in(store, tmp_path / "cache", clock).get(AT_S3)
    assert again.image.read_bytes("/a") == NOISE
    assert len(store.requests) == 1  # which asks whether it is still the same


def test_an_object_too_short_for_an_image_is_none(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    store.content = b"hsqs"
    with pytest.raises(TruncatedImageError):
        archives_in(store, tmp_path / "cache", clock).get(AT_S3)


# ---- Threads that wait ---------------------------------------------------------------------------


class FailsAtFirst:
    """Opens images, but the first time waits until two other threads wait, and raises."""

    def __init__(self, error: BaseException) -> None:
        self.count = 0
        self.others: list[Future[bytes | BaseException]] = []
        self._error = error

    def outcomes(self, archives: Archives, at: Location) -> list[bytes | BaseException]:
        """What the thread gets whose opening fails, and those that wait for it."""

        def ask() -> bytes | BaseException:
            try:
                return archives.get(at).image.read_bytes("/a")
            except BaseException as error:  # noqa: BLE001 -- the test looks at it
                return error

        with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:

            def open_image(device: BlockDevice, limits: Limits) -> SquashFS:
                self.count += 1
                if self.count == 1:
                    self.others = [pool.submit(ask) for _ in range(2)]
                    wait_for_joined(archives.checks, at, 2)
                    raise self._error
                return SquashFS(device, limits=limits)

            patch.setattr(local_archive, "SquashFS", open_image)
            return [ask(), *(other.result(30) for other in self.others)]


def test_a_store_that_does_not_answer_is_asked_once_for_all_who_wait(image: Path) -> None:
    images = FailsAtFirst(OSError(errno.EIO, "silent"))
    first, *others = images.outcomes(archives_of(image), location_of(image))
    assert isinstance(first, ArchiveUnavailableError)
    assert [*map(repr, others)] == [repr(first)] * 2
    assert images.count == 1


@pytest.mark.parametrize("error", [FileNotFoundError("not there"), KeyboardInterrupt()])
def test_a_caller_that_joined_after_the_request_began_retries_a_failure(
    image: Path, error: BaseException
) -> None:
    images = FailsAtFirst(error)
    first, *others = images.outcomes(archives_of(image), location_of(image))
    assert isinstance(first, (ArchiveNotFoundError, KeyboardInterrupt))
    assert others == [b"1", b"1"]
    assert images.count == 2


def test_one_check_is_enough_for_all_who_came_before_it(
    store: ScriptedStore,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, revalidate_seconds=0)
    first = archives.get(AT_S3)
    heads = 0
    with ThreadPoolExecutor(4) as pool:
        others: list[Future[Archive]] = []

        def current_identity(client: S3Client, bucket: str, key: str) -> str:
            nonlocal heads
            heads += 1
            if heads == 1:
                others.extend(pool.submit(archives.get, AT_S3) for _ in range(4))
                wait_for_joined(archives.checks, AT_S3, 4)
            elif heads == 2:  # one of the four asks, the others wait again
                wait_for_joined(archives.checks, AT_S3, 3)
            return s3_device.current_identity(client, bucket, key)

        monkeypatch.setattr(s3_archive, "current_identity", current_identity)
        assert archives.get(AT_S3) is first
        assert all(other.result(30) is first for other in others)
    assert heads == 2


def test_an_archive_discarded_while_it_is_checked_is_opened_anew(
    store: ScriptedStore, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, revalidate_seconds=0)
    first = archives.get(AT_S3)

    def current_identity(client: S3Client, bucket: str, key: str) -> str:
        archives.discard(first)
        return s3_device.current_identity(client, bucket, key)

    monkeypatch.setattr(s3_archive, "current_identity", current_identity)
    assert archives.get(AT_S3) is not first
