"""More archives than can be open: what is known of them outlives their images."""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs_lambda.accounting import Usage, request_scope
from s3archivefs_lambda.archives.open_ahead import OPEN_AHEAD_THREADS, OpenAhead
from s3archivefs_lambda.archives.s3 import S3Opener
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.store.errors import ArchiveNotFoundError
from tests.support.adapter.archives_in_s3 import archives_in, location, replace_object
from tests.support.adapter.local_archives import list_keys, list_page
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image
from tests.support.processes.joined import wait_for_joined
from tests.support.servers.scripted_store import ScriptedStore, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.archives.archives import Archives
    from tests.support.servers.scripted_store import Reply, Request

NOISE = noise(100_000)
MANY = 100


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScriptedStore]:
    """A store whose every key is one image: its metadata fits in the tail, its file does not."""
    image = make_image(tmp_path, (file("a", NOISE),), name="stored")
    with ScriptedStore(image.read_bytes()) as running:
        yield running


def read_all(archives: Archives, count: int = MANY) -> None:
    for number in range(count):
        assert archives.get(location(number)).image.read_bytes("/a") == NOISE


@pytest.mark.parametrize("open_archives_bytes", [0, 1 << 30])
def test_archives_read_in_turn_cost_nothing_after_the_first_round(
    store: ScriptedStore, tmp_path: Path, clock: Clock, open_archives_bytes: int
) -> None:
    """Whether or not they can all be open, and whether or not their chunks are in memory."""
    archives = archives_in(
        store,
        tmp_path / "cache",
        clock,
        open_archives_bytes=open_archives_bytes,
        cache_memory_bytes=open_archives_bytes,
    )
    read_all(archives)
    archives.wait_idle()
    assert len(store.requests) == 3 * MANY
    store.requests.clear()
    clock.now += 59
    read_all(archives)
    assert store.requests == []


def test_once_the_interval_has_passed_each_costs_one_request(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, open_archives_bytes=0)
    read_all(archives)
    archives.wait_idle()
    store.requests.clear()
    clock.now += 60
    read_all(archives)
    assert len(store.requests) == MANY
    assert all(request.headers["if-none-match"] == store.etag for request in store.requests)
    clock.now += 59
    read_all(archives)
    assert len(store.requests) == MANY


def test_to_a_fresh_process_each_costs_one_request(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    first = archives_in(store, tmp_path / "cache", clock)
    read_all(first)
    first.wait_idle()
    store.requests.clear()
    second = archives_in(store, tmp_path / "cache", clock)
    read_all(second)
    assert len(store.requests) == MANY
    read_all(second)
    assert len(store.requests) == MANY


def test_what_is_known_is_bounded(store: ScriptedStore, tmp_path: Path, clock: Clock) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, known_max=5)
    read_all(archives, 6)
    archives.wait_idle()
    store.requests.clear()
    archives.get(location(5))
    assert store.requests == []
    archives.get(location(0))  # was forgotten
    assert len(store.requests) == 1


def test_an_archive_replaced_while_it_was_closed_is_noticed_when_something_must_be_fetched(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    cache = tmp_path / "cache"
    archives = archives_in(store, cache, clock, open_archives_bytes=0)
    archives.get(location(0))
    archives.get(location(1))
    archives.wait_idle()
    shutil.rmtree(cache)
    replace_object(store, tmp_path, b"2")
    assert archives.get(location(0)).image.read_bytes("/a") == b"2"


def test_an_archive_that_was_discarded_is_not_opened_from_the_cache(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    """It turned out to be replaced: what the cache has of it may be a part only."""
    archives = archives_in(store, tmp_path / "cache", clock, open_archives_bytes=0)
    archive = archives.get(location(0))
    archives.get(location(1))
    archives.wait_idle()
    archives.discard(archive)
    store.requests.clear()
    archives.get(location(0))
    assert len(store.requests) == 2
    assert not any("if-none-match" in request.headers for request in store.requests)


def test_threads_that_need_a_closed_archive_open_it_once(
    store: ScriptedStore, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, open_archives_bytes=0)
    version = archives.get(location(0)).version
    archives.get(location(1))
    archives.wait_idle()
    reopen, count = S3Opener.reopen, 0
    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:  # noqa: ANN401 -- passed on
        nonlocal count
        count += 1
        begun.set()
        assert go_on.wait(60)
        return reopen(*arguments)

    monkeypatch.setattr(S3Opener, "reopen", slow)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(archives.get(location(0)))) for _ in range(4)
    ]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    wait_for_joined(archives.reopenings, (location(0), version), 3)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert count == 1
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


# ---- Ahead ---------------------------------------------------------------------------------------


def number_of(request: Request) -> str:
    """Of the archive that is asked for."""
    return request.path.rpartition("/")[2].partition(".")[0]


class Crowd:
    """Lets replies go only once so many requests have come, and counts how many wait at most; but
    for the archives below `first`.
    """

    def __init__(self, size: int, *, first: int = 0) -> None:
        self._size = size
        self._first = first
        self._waiting = 0
        self.most = 0
        self._changed = threading.Condition()
        self._is_full = False

    def __call__(self, request: Request, reply: Reply) -> Reply:
        if int(number_of(request)) < self._first:
            return reply
        with self._changed:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
            self._is_full |= self._waiting >= self._size
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._is_full, 60)
            self._waiting -= 1
        return reply


def test_archives_begun_are_opened_side_by_side_by_no_more_threads_than_there_are(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, superblock_metadata="expected")
    crowd = Crowd(OPEN_AHEAD_THREADS)
    store.script(crowd, match="bytes=-", times=1000)
    begun = [archives.begin(location(number)) for number in range(3 * OPEN_AHEAD_THREADS)]
    for get in begun:
        assert get().image.read_bytes("/a") == NOISE
    assert crowd.most == OPEN_AHEAD_THREADS


def opened_in(store: ScriptedStore) -> set[str]:
    return {number_of(request) for request in store.requests}


def keys_of(numbers: range) -> list[str]:
    return [f"a{number:03}/a" for number in numbers]


def test_a_listing_opens_the_archives_that_come_next_side_by_side(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(
        store, tmp_path / "cache", clock, mapped=40, superblock_metadata="expected"
    )
    # By twice as many at each step: 0, 1, 2, 4, 8, 16. When the listing comes to the sixth archive,
    # the sixteen behind it are being opened.
    crowd = Crowd(OPEN_AHEAD_THREADS, first=6)
    store.script(crowd, match="bytes=-", times=1000)
    assert list_keys(Operations(archives)) == keys_of(range(40))
    assert crowd.most == OPEN_AHEAD_THREADS
    archives.wait_idle()
    store.requests.clear()
    clock.now += 59
    assert list_keys(Operations(archives)) == keys_of(range(40))
    assert store.requests == []
    clock.now += 1
    assert list_keys(Operations(archives)) == keys_of(range(40))
    assert len(store.requests) == 40


def test_a_page_that_ends_with_the_first_archive_opens_hardly_any_other(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(
        store, tmp_path / "cache", clock, mapped=40, superblock_metadata="expected"
    )
    page = list_page(Operations(archives), max_keys="1")
    assert [listed.key for listed in page.objects] == [b"a000/a"]
    # The second tells that there is another page; and one more is opened ahead.
    archives.begin(location(2))()
    assert opened_in(store) == {"000", "001", "002"}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"delimiter": "/"}, range(0)),
        ({"prefix": "a01", "delimiter": "z"}, range(10, 20)),
        ({"prefix": "a012/"}, range(12, 13)),
        ({"start_after": "a035/z"}, range(36, 40)),
    ],
)
def test_archives_that_a_listing_does_not_come_to_are_not_opened(
    store: ScriptedStore,
    tmp_path: Path,
    clock: Clock,
    query: dict[str, str],
    numbers: range,
) -> None:
    archives = archives_in(
        store, tmp_path / "cache", clock, mapped=40, superblock_metadata="expected"
    )
    page = list_page(Operations(archives), **query)
    assert [listed.key.decode() for listed in page.objects] == keys_of(numbers)
    assert opened_in(store) <= {f"{number:03}" for number in numbers} | {"035"}


def test_what_is_begun_counts_for_its_request_once_the_request_has_come_to_it(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    mine = Usage()
    with request_scope(mine):
        get, _ = archives.begin(location(0)), archives.begin(location(1))
        assert not mine.archives
        assert get().location == location(0)
        assert list(mine.archives) == [location(0)]
    assert Usage().archives == {}


def test_an_error_of_work_begun_ahead_is_raised_to_its_caller(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock)
    store.script(lambda *_: error_reply(404, "NoSuchKey"), times=99)
    get = archives.begin(location(0))
    with pytest.raises(ArchiveNotFoundError):
        get()


def test_a_caller_does_the_work_that_no_thread_has_begun() -> None:
    """A store that is silent may hold all the threads: nobody waits for those."""
    ahead, go_on = OpenAhead(), threading.Event()
    with ExitStack() as ended:
        ended.callback(go_on.set)
        for _ in range(OPEN_AHEAD_THREADS):
            ahead.begin(lambda: go_on.wait(60))
        assert ahead.begin(threading.get_ident)() == threading.get_ident()


def test_where_no_thread_can_be_had_things_are_done_when_they_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert OpenAhead().begin(threading.get_ident)() == threading.get_ident()
