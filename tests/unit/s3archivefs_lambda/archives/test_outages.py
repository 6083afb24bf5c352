"""While a store cannot be asked, what is known of its archives is served, and each asked for anew
at intervals that nobody waits for.
"""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs_lambda.accounting import Usage, request_scope
from s3archivefs_lambda.archives.outages import (
    EXPECTED_SECONDS,
    MOST_IN_FLIGHT,
    RETRY_SECONDS,
    Outages,
    is_outage,
)
from s3archivefs_lambda.request_log import Exchange
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveSilentError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
)
from tests.support.adapter.archives_in_s3 import archives_in, location, replace_object
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image
from tests.support.processes.joined import wait_for_joined
from tests.support.servers.scripted_store import Reply, ScriptedStore, always, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.config.location import Location
    from tests.support.servers.scripted_store import Request

NOISE = noise(100_000)
STALE = 600.0
DOWN = {
    "unavailable": always(error_reply(500, "InternalError")),
    "throttled": always(error_reply(503, "SlowDown")),
    "no answer": always(Reply(0, cut=0)),
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScriptedStore]:
    image = make_image(tmp_path, (file("a", NOISE),), name="stored")
    with ScriptedStore(image.read_bytes()) as running:
        yield running


@pytest.fixture
def archives(store: ScriptedStore, tmp_path: Path, clock: Clock) -> Archives:
    """Those that have read two archives, and find them due to be asked for."""
    found = archives_in(store, tmp_path / "cache", clock, stale_seconds=STALE)
    read(found, store, clock)
    return found


def read(archives: Archives, store: ScriptedStore, clock: Clock, count: int = 2) -> None:
    """Read some archives, until they are due to be asked for again."""
    for number in range(count):
        archives.get(location(number)).image.read_bytes("/a")
    archives.wait_idle()
    store.requests.clear()
    clock.now += 60


class Served(NamedTuple):
    """What a request got."""

    content: bytes
    is_stale: bool


def get(archives: Archives, at: Location) -> Served:
    usage = Usage()
    with request_scope(usage):
        return Served(archives.get(at).image.read_bytes("/a"), usage.stale)


def checks() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "s3archivefs-check"]


def end_checks() -> None:
    for check in checks():
        check.join(60)


FRESH, OLD = Served(NOISE, is_stale=False), Served(NOISE, is_stale=True)
A, B = location(0), location(1)


@pytest.mark.parametrize("how", DOWN)
def test_what_is_known_is_served_while_the_store_is_down_and_the_log_says_so(
    store: ScriptedStore,
    archives: Archives,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    store.script(DOWN[how], times=10**6)
    assert get(archives, A) == OLD
    (line,) = caplog.messages
    assert line.startswith(f"archive {A} is served as of 60 s ago: ")
    clock.now += STALE - 60.5
    assert get(archives, A) == OLD
    clock.now += 0.5
    with pytest.raises((ArchiveUnavailableError, ArchiveThrottledError)):
        archives.get(A)


def test_the_line_of_the_request_log_says_that_it_was_stale(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "s3archivefs.requests")
    for stale in (False, True):
        exchange = Exchange(request_id="1", emf=False)
        exchange.usage.stale = stale
        exchange.log()
    fresh, old = map(json.loads, caplog.messages)
    assert "stale" not in fresh
    assert old["stale"] is True


@pytest.mark.parametrize("how", DOWN)
def test_each_archive_of_a_store_that_is_down_is_retried_once_a_pause(
    store: ScriptedStore, archives: Archives, clock: Clock, how: str
) -> None:
    store.script(DOWN[how], times=10**6)
    for pause in range(1, 4):
        for _, at in itertools.product(range(5), (A, B)):
            assert get(archives, at) == OLD
            end_checks()
        asked = [request.path.split("/")[-1] for request in store.requests]
        assert [asked.count(at.key) for at in (A, B)] == [pause, pause]
        clock.now += RETRY_SECONDS


def test_once_it_answers_again_all_is_as_before(
    store: ScriptedStore, archives: Archives, clock: Clock, tmp_path: Path
) -> None:
    store.script(DOWN["unavailable"])
    assert get(archives, A) == OLD
    replace_object(store, tmp_path, b"2")
    assert get(archives, A) == OLD
    clock.now += RETRY_SECONDS
    assert get(archives, A) == OLD  # without a wait, as the last request failed
    end_checks()
    for at in (A, B):
        assert get(archives, at) == Served(b"2", is_stale=False)


def test_long_after_it_failed_the_store_is_waited_for_again(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    store.script(DOWN["no answer"])
    assert get(archives, A) == OLD
    clock.now += EXPECTED_SECONDS
    assert get(archives, A) == FRESH
    assert get(archives, B) == FRESH


@pytest.mark.parametrize("how", ["unavailable", "throttled"])
def test_an_archive_that_is_answered_badly_leaves_the_others_of_its_store_be(
    store: ScriptedStore, archives: Archives, clock: Clock, tmp_path: Path, how: str
) -> None:
    store.script(
        lambda request, reply: DOWN[how](request, reply) if A.key in request.path else reply,
        times=10**6,
    )
    assert get(archives, A) == OLD
    assert get(archives, B) == FRESH
    replace_object(store, tmp_path, b"2")
    clock.now += 60
    assert get(archives, A) == OLD
    assert get(archives, B) == Served(b"2", is_stale=False)


def test_an_archive_that_is_answered_badly_just_now_holds_up_no_other(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    """However long its next request is under way."""
    is_held, go_on = threading.Event(), threading.Event()

    def fail(request: Request, reply: Reply) -> Reply:
        if A.key not in request.path:
            return reply
        if clock.now > 1060:
            is_held.set()
            assert go_on.wait(60)
        return DOWN["unavailable"](request, reply)

    store.script(fail, times=10**6)
    assert get(archives, A) == OLD
    clock.now += RETRY_SECONDS
    try:
        assert get(archives, A) == OLD
        assert is_held.wait(60)
        assert get(archives, B) == FRESH
    finally:
        go_on.set()
        end_checks()


def test_one_store_that_is_down_leaves_the_others_be(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    other = location(0, "other-bucket")
    assert get(archives, other) == FRESH
    clock.now += 60
    store.requests.clear()
    store.script(
        lambda request, reply: (
            DOWN["unavailable"](request, reply) if "/other-bucket/" not in request.path else reply
        ),
        times=10**6,
    )
    assert get(archives, A) == OLD
    assert get(archives, other) == FRESH
    assert [request.path.split("/")[1] for request in store.requests] == ["bucket", "other-bucket"]


@pytest.mark.parametrize("stale_seconds", [0, 60])
def test_without_the_setting_or_past_it_the_fault_is_the_requests(
    store: ScriptedStore, tmp_path: Path, clock: Clock, stale_seconds: float
) -> None:
    archives = archives_in(store, tmp_path / "cache", clock, stale_seconds=stale_seconds)
    archives.get(A)
    clock.now += 60
    store.script(DOWN["unavailable"], times=10**6)
    for _ in range(2):
        with pytest.raises(ArchiveUnavailableError):
            archives.get(A)


def test_an_archive_of_which_nothing_is_known_cannot_be_served(
    store: ScriptedStore, archives: Archives, tmp_path: Path, clock: Clock
) -> None:
    """Not even where its chunks are on disk: when its version was last the current one is not."""
    store.script(DOWN["unavailable"], times=10**6)
    assert get(archives, A) == OLD
    with pytest.raises(ArchiveUnavailableError):
        archives.get(location(2))
    fresh = archives_in(store, tmp_path / "cache", clock, stale_seconds=STALE)
    with pytest.raises(ArchiveUnavailableError):
        fresh.get(A)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ArchiveNotFoundError),
        (403, "AccessDenied", ArchiveForbiddenError),
        (403, "ExpiredToken", ArchiveForbiddenError),
        (400, "ExpiredToken", ArchiveCredentialsError),
        (400, "BadRequest", ArchiveAccessError),
        (405, "MethodNotAllowed", ArchiveUnavailableError),
    ],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_what_the_store_refuses_is_not_served_nor_is_it_when_it_goes_down_then(  # noqa: PLR0917 -- fixtures
    store: ScriptedStore,
    tmp_path: Path,
    clock: Clock,
    status: int,
    code: str,
    expected: type[Exception],
    *,
    is_open: bool,
) -> None:
    """Whether it is asked with HEAD or, as its image is not open, with GET."""
    room = 1 << 30 if is_open else 0
    archives = archives_in(
        store, tmp_path / "cache", clock, stale_seconds=STALE, open_archives_bytes=room
    )
    read(archives, store, clock)
    refusal = always(error_reply(status, code))
    is_down = False
    store.script(
        lambda request, reply: (
            DOWN["unavailable"](request, reply) if is_down else refusal(request, reply)
        ),
        times=10**6,
    )
    for _ in range(2):
        with pytest.raises(expected):
            archives.get(A)
    assert store.requests[0].method == ("HEAD" if is_open else "GET")
    is_down = True
    with pytest.raises(ArchiveUnavailableError):
        archives.get(A)


def test_an_archive_that_is_not_open_is_opened_from_the_cache(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(
        store, tmp_path / "cache", clock, stale_seconds=STALE, open_archives_bytes=0
    )
    for at in (A, B):
        get(archives, at)
    archives.wait_idle()
    clock.now += 60
    store.script(DOWN["unavailable"], times=10**6)
    assert get(archives, A) == OLD
    assert get(archives, B) == OLD


def test_what_the_cache_lacks_is_a_fault(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(
        store,
        tmp_path / "cache",
        clock,
        stale_seconds=STALE,
        open_archives_bytes=0,
        cache_memory_bytes=0,
    )
    for at in (A, B):
        get(archives, at)
    shutil.rmtree(tmp_path / "cache")
    clock.now += 60
    store.script(DOWN["unavailable"], times=10**6)
    assert archives.get(B).image.stat("/a").size == len(NOISE)
    with pytest.raises(ArchiveUnavailableError):
        archives.get(A)


def test_an_answer_without_etag_is_an_answer(store: ScriptedStore, archives: Archives) -> None:
    store.script(lambda _, reply: reply.without("ETag"))
    with pytest.raises(ArchiveUnavailableError, match="lacks ETag"):
        archives.get(A)
    store.script(DOWN["unavailable"])
    with pytest.raises(ArchiveUnavailableError, match="status 500"):
        archives.get(A)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(None, True), (500, True), (503, True), (599, True), (200, False), (301, False), (400, False)],
)
def test_an_outage_is_no_answer_or_one_that_blames_the_store(
    status: int | None, *, expected: bool
) -> None:
    error = ArchiveUnavailableError.of("bucket", "key", "the request failed", status)
    assert is_outage(error) is expected


# ---- A store that is silent ----------------------------------------------------------------------


class Silence:
    """Holds requests back until it ends."""

    def __init__(self, store: ScriptedStore) -> None:
        self.begun = threading.Semaphore(0)
        self._ended = threading.Event()
        store.script(self._hold, times=10**6)

    def _hold(self, _: Request, reply: Reply) -> Reply:
        if not self._ended.is_set():
            self.begun.release()
            assert self._ended.wait(60)
        return reply

    def end(self) -> None:
        self._ended.set()


@contextmanager
def silence(store: ScriptedStore) -> Iterator[Silence]:
    silent = Silence(store)
    try:
        yield silent
    finally:
        silent.end()


def test_a_silent_store_is_asked_in_the_background_and_waited_for_once(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    archives.patience_seconds = 0
    with silence(store) as silent:
        assert get(archives, A) == OLD
        assert silent.begun.acquire(timeout=60)
        archives.patience_seconds = 10**6  # nobody else waits
        clock.now += 2 * RETRY_SECONDS
        with ThreadPoolExecutor(8) as pool:
            for served in pool.map(lambda at: get(archives, at), [A, B] * 8):
                assert served == OLD
        assert silent.begun.acquire(timeout=60)
        assert sorted(request.path.split("/")[-1] for request in store.requests) == [A.key, B.key]
        assert [check.daemon for check in checks()] == [True, True]
        silent.end()
        end_checks()
    for at in (A, B):
        assert get(archives, at) == FRESH
    assert len(store.requests) == 2


def test_a_silent_store_has_a_bounded_number_of_openings_in_flight(
    store: ScriptedStore, tmp_path: Path, clock: Clock
) -> None:
    archives = archives_in(
        store, tmp_path / "cache", clock, stale_seconds=STALE, patience_seconds=0
    )
    many = MOST_IN_FLIGHT + 2
    read(archives, store, clock, many)
    with silence(store) as silent:
        for number in range(many):
            assert get(archives, location(number)) == OLD
        assert len(checks()) == MOST_IN_FLIGHT
        archives.patience_seconds = 60
        silent.end()
        end_checks()
    assert get(archives, location(many - 1)) == FRESH


def test_a_version_that_was_replaced_is_not_served_while_the_new_one_is_slow_to_open(
    store: ScriptedStore, archives: Archives, tmp_path: Path
) -> None:
    """The store answers: it said that the archive was replaced."""
    replace_object(store, tmp_path, b"2")
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Request, reply: Reply) -> Reply:
        begun.set()
        assert go_on.wait(60)
        return reply

    store.script(hold, match="GET", times=10**6)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(get, archives, A)
        assert begun.wait(60)
        archives.patience_seconds = 0
        second = pool.submit(get, archives, A)
        wait_for_joined(archives.checks, A)
        go_on.set()
        assert {first.result(60), second.result(60)} == {Served(b"2", is_stale=False)}


def test_a_version_past_its_time_waits_for_a_silent_store(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    archives.patience_seconds = 0
    with silence(store) as silent, ThreadPoolExecutor(1) as pool:
        assert get(archives, A) == OLD
        assert silent.begun.acquire(timeout=60)
        clock.now += STALE
        late = pool.submit(get, archives, A)
        silent.end()
        assert late.result(60) == FRESH


def test_where_no_thread_can_be_had_the_request_asks_itself(
    archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "s3archivefs-check":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert get(archives, A) == FRESH


def test_a_store_found_silent_that_has_answered_meanwhile_is_not_out(clock: Clock) -> None:
    outages = Outages(clock)
    with outages.watching(A):
        pass
    outages.found_silent(A)
    assert not outages.is_expected(A)


def test_the_archive_that_failed_longest_ago_is_forgotten_first(clock: Clock) -> None:
    outages = Outages(clock, most=2)
    places = [location(number) for number in range(3)]
    for failed in (*places[:2], places[0], places[2]):
        with pytest.raises(ArchiveThrottledError), outages.watching(failed):
            raise ArchiveThrottledError("slow down")
    assert [outages.is_expected(place) for place in places] == [True, False, True]


def test_an_interruption_tells_nothing_of_the_store(clock: Clock) -> None:
    outages = Outages(clock)
    with pytest.raises(ArchiveSilentError), outages.watching(A):
        raise ArchiveSilentError("down")
    with pytest.raises(KeyboardInterrupt), outages.watching(A):
        raise KeyboardInterrupt
    assert outages.is_expected(A)
    assert outages.is_expected(B)
    assert not outages.retry_is_due(A)
    assert outages.retry_is_due(B)
    clock.now += RETRY_SECONDS
    assert outages.retry_is_due(A)
    with outages.watching(A):
        assert not outages.retry_is_due(A)  # that is being done
    with pytest.raises(ArchiveSilentError), outages.watching(A):
        raise ArchiveSilentError("down")
    with pytest.raises(ArchiveReplacedError), outages.watching(A):
        raise ArchiveReplacedError("an answer")
    assert not outages.is_expected(A)
    assert not outages.is_expected(B)


# ---- Whatever happens ----------------------------------------------------------------------------

Step = tuple[Literal["get", "toggle", "spoil", "replace", "pass"], float]
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("get"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("toggle"), st.just(0.0)),
    st.tuples(st.just("spoil"), st.just(0.0)),
    st.tuples(st.just("replace"), st.just(0.0)),
    st.tuples(st.just("pass"), st.sampled_from([1.0, RETRY_SECONDS, 30.0, 60.0, 100.0])),
)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Images of one size whose file `a` is of one byte each."""
    directory = tmp_path_factory.mktemp("versions")
    return [
        make_image(directory, (file("a", bytes([65 + number]) * 9000),), name="v").read_bytes()
        for number in range(6)
    ]


class Faults:
    """What befalls the requests for the first two archives, and when it last did for each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_silent = self.is_second_bad = False
        self.asked_at = [-1e9, -1e9]
        self.failed_at = [-1e9, -1e9]

    def __call__(self, request: Request, reply: Reply) -> Reply:
        at = int(location(1).key in request.path)
        self.asked_at[at] = self._clock.now
        if self.is_silent:  # which tells of both
            self.failed_at = [self._clock.now] * 2
            return DOWN["no answer"](request, reply)
        if at and self.is_second_bad:
            self.failed_at[1] = self._clock.now
            return DOWN["unavailable"](request, reply)
        return reply


@pytest.mark.property
@given(
    steps=st.lists(STEPS, max_size=25),
    interval=st.sampled_from([0.0, 60.0]),
    stale=st.sampled_from([0.0, 100.0]),
)
def test_what_is_served_was_the_current_version_as_lately_as_the_settings_say(
    versions: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[Step],
    interval: float,
    stale: float,
) -> None:
    clock = Clock()
    replaced_at: list[float] = []  # when each version but the current one ended
    faults = Faults(clock)
    with ScriptedStore(versions[0], '"0"') as store:
        store.script(faults, times=10**6)
        archives = archives_in(
            store,
            tmp_path_factory.mktemp("cache"),
            clock,
            revalidate_seconds=interval,
            stale_seconds=stale,
            open_archives_bytes=0,
        )
        for what, number in steps:
            if what == "toggle":
                faults.is_silent = not faults.is_silent
            elif what == "spoil":
                faults.is_second_bad = not faults.is_second_bad
            elif what == "replace" and len(replaced_at) + 1 < len(versions):
                replaced_at.append(clock.now)
                store.content = versions[len(replaced_at)]
                store.etag = f'"{len(replaced_at)}"'
            elif what == "pass":
                clock.now += number
            elif what == "get":
                at = int(number)
                store.requests.clear()
                failed_before = faults.failed_at[at]
                usage = Usage()
                with request_scope(usage):
                    try:
                        content = archives.get(location(at)).image.read_bytes("/a")
                    except (
                        ArchiveUnavailableError,
                        ArchiveThrottledError,
                        ArchiveReplacedError,
                    ):
                        content = b""
                end_checks()
                assert len(store.requests) <= 8
                if not content:
                    continue
                (byte,) = set(content)  # of one version
                served = byte - 65
                ended = [*replaced_at, clock.now][served]
                if usage.stale:
                    assert clock.now - ended < stale
                    assert clock.now - faults.asked_at[at] < RETRY_SECONDS
                    is_failing = faults.failed_at[at] == clock.now
                    assert is_failing or clock.now - failed_before < EXPECTED_SECONDS
                elif served < len(replaced_at):
                    assert clock.now - ended < interval
