"""Whether archives can be reached, as their stores tell in the background."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from fixtures.tree import file
from s3archivefs_lambda.archives.reachability import CHECK_SECONDS, Reachability, Reached
from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMapping
from tests.support.adapter.archives_in_s3 import archives_in, location
from tests.support.adapter.http_site import until
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import Reply, ScriptedStore, always, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.archives.archives import Archives

SECONDS = 60
MISSING = always(error_reply(404, "NoSuchKey"))
DOWN = always(error_reply(500, "InternalError"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScriptedStore]:
    image = make_image(tmp_path, (file("a", b"1"),), name="stored")
    with ScriptedStore(image.read_bytes()) as running:
        yield running


@pytest.fixture
def archives(store: ScriptedStore, tmp_path: Path, clock: Clock) -> Archives:
    return archives_in(store, tmp_path / "cache", clock, stale_seconds=600.0)


def mapped(*numbers: int, bucket: str = "bucket") -> list[PrefixMapping]:
    return [PrefixMapping(f"a{n:03}", location(n, bucket), "the test") for n in numbers]


def looked(reachability: Reachability) -> Reached:
    """What is known once the check has ended that a look begins."""
    reachability.look()
    for thread in threading.enumerate():
        if thread.name == "s3archivefs-reach":
            thread.join(SECONDS)
    return reachability.known


def test_it_is_not_ready_before_the_stores_have_answered_and_asks_nothing_unasked(
    store: ScriptedStore, archives: Archives
) -> None:
    reachability = Reachability(archives, mapped(0, 1))
    assert not reachability.known.is_ready
    assert reachability.known.failing_count == 0  # which would be an alert
    assert store.requests == []
    assert looked(reachability) == (True, {}, 0)
    assert [request.method for request in store.requests] == ["HEAD", "HEAD"]


def test_the_first_look_can_wait_for_its_check(archives: Archives) -> None:
    assert Reachability(archives, mapped(0)).look(SECONDS).is_ready


def test_what_a_store_said_holds_for_a_time(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    reachability = Reachability(archives, mapped(0))
    looked(reachability)
    clock.now += CHECK_SECONDS - 1
    looked(reachability)
    assert len(store.requests) == 1
    clock.now += 1
    looked(reachability)
    assert len(store.requests) == 2


def test_an_archive_that_requests_read_is_not_asked_for(
    store: ScriptedStore, archives: Archives
) -> None:
    archives.get(location(0))
    archives.wait_idle()
    before = len(store.requests)
    assert looked(Reachability(archives, mapped(0))).is_ready
    assert len(store.requests) == before


def test_a_store_that_is_down_is_named_and_noticed_and_so_is_its_end(
    store: ScriptedStore, archives: Archives, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    reachability = Reachability(archives, mapped(0))
    assert looked(reachability).is_ready
    store.script(DOWN)
    clock.now += CHECK_SECONDS
    found = looked(reachability)
    assert (found.is_ready, found.failing_count) == (False, 1)
    assert found.failing[str(location(0))].startswith("s3://bucket/000.sqfs: the request failed")
    clock.now += CHECK_SECONDS
    assert looked(reachability) == (True, {}, 0)
    down, up = caplog.messages
    assert down.startswith("not ready: s3://bucket/000.sqfs: the request failed")
    assert up == "ready again"


def test_while_a_store_is_down_what_is_known_of_it_is_served_and_it_stays_ready(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    archives.get(location(0))
    archives.wait_idle()
    reachability = Reachability(archives, mapped(0))
    store.script(DOWN, times=1000)
    clock.now += 599
    found = looked(reachability)
    assert found.is_ready
    assert found.failing[str(location(0))].startswith("served as of 599 s ago: ")
    clock.now += CHECK_SECONDS
    assert not looked(reachability).is_ready


def test_one_archive_that_is_missing_is_named_but_the_others_are_served(
    store: ScriptedStore, archives: Archives
) -> None:
    store.script(MISSING, times=1)
    found = looked(Reachability(archives, mapped(0, 1)))
    assert found.is_ready
    assert "there is no such object or bucket" in found.failing[str(location(0))]


@pytest.mark.parametrize("refused", [MISSING, always(error_reply(403, "AccessDenied"))])
def test_where_no_archive_can_be_read_it_is_not_ready(
    store: ScriptedStore, archives: Archives, refused: object
) -> None:
    assert callable(refused)
    store.script(refused, times=1000)
    found = looked(Reachability(archives, mapped(0, 1)))
    assert (found.is_ready, found.failing_count) == (False, 2)


def test_local_images_alone_are_ready_and_nothing_is_asked(
    store: ScriptedStore, archives: Archives
) -> None:
    local = PrefixMapping("x", Location("file", "", "/x.sqfs"), "the test")
    assert Reachability(archives, [local]).look().is_ready
    assert store.requests == []


def test_a_silent_store_is_asked_once_for_all_its_archives(
    store: ScriptedStore, archives: Archives
) -> None:
    store.script(always(Reply(0, cut=0)), times=1000)
    found = looked(Reachability(archives, mapped(*range(10))))
    assert (found.is_ready, found.failing_count) == (False, 10)
    assert len(store.requests) == 1


def test_a_store_that_takes_its_time_counts_as_silent_before_it_has_answered(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def late(_: object, reply: Reply) -> Reply:
        asked.set()
        may_answer.wait(SECONDS)
        return reply

    store.script(late)
    reachability = Reachability(archives, mapped(0))
    reachability.look()
    assert asked.wait(SECONDS)
    clock.now += 5
    reachability.look()
    until(lambda: reachability.known.failing_count)
    found = reachability.known
    assert not found.is_ready
    assert found.failing == {str(location(0)): "s3://bucket: no answer for 5 s"}
    may_answer.set()
    assert looked(reachability).is_ready


def test_of_many_archives_some_are_asked_for_at_a_time_but_of_each_store_one(
    store: ScriptedStore, archives: Archives, clock: Clock
) -> None:
    every = mapped(*range(50)) + mapped(*range(50, 55), bucket="other")
    reachability = Reachability(archives, every)
    assert looked(reachability).is_ready
    first = [request.path for request in store.requests]
    assert len(first) == 32
    assert sum(path.startswith("/other/") for path in first) == 1
    clock.now += CHECK_SECONDS
    looked(reachability)
    assert len({request.path for request in store.requests}) == 55


def test_a_bucket_that_passes_through_is_listed(store: ScriptedStore, archives: Archives) -> None:
    whole = PrefixMapping(
        "", Location("s3", "bucket", "data"), "the test", archives=KeyPatterns(("*.sqfs",))
    )
    store.script(always(error_reply(403, "AccessDenied")))
    found = looked(Reachability(archives, [whole]))
    assert not found.is_ready
    (why,) = found.failing.values()
    assert "s3:ListBucket" in why
    assert "list-type=2" in store.requests[0].path
