"""How much is stored of what is read in sequence."""

from __future__ import annotations

from s3archivefs_lambda.cache.streams import Streams
from tests.support.archives_in_s3 import Clock


def test_readers_who_are_there_have_no_more_stored_than_they_may_together() -> None:
    streams = Streams(Clock())
    assert streams.store("a", 60, 100)
    assert not streams.store("b", 41, 100)
    assert streams.store("b", 40, 100)
    streams.end(60)
    assert streams.store("c", 60, 100)


def test_a_stream_has_no_more_stored_by_many_readers_than_by_one_and_as_much_each_hour() -> None:
    clock = Clock()
    streams = Streams(clock)
    for _ in range(3):
        for _ in range(2):
            assert streams.store("a", 50, 100)
            streams.end(50)
        assert not streams.store("a", 1, 100)
        for other in ("b", None):
            assert streams.store(other, 1, 100)
            streams.end(1)
        clock.now += 3600
    clock.now += 3600  # of which none is saved up
    assert streams.store("a", 100, 100)
    streams.end(100)
    clock.now += 36
    assert not streams.store("a", 2, 100)
    assert streams.store("a", 1, 100)


def test_so_many_streams_are_remembered() -> None:
    streams = Streams(Clock())
    for number in range(1001):
        assert streams.store(number, 100, 100)
        streams.end(100)
    assert len(streams._levels) == 1000
    assert not streams.store(1, 1, 100)
    assert streams.store(0, 1, 100)
