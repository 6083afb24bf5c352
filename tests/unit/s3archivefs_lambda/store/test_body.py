"""Bodies that break, trickle or come in pieces."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from s3archivefs_lambda.store.body import (
    LASTING_PATIENCE,
    BodyBrokenError,
    Patience,
    ResumedBody,
    in_pieces,
)
from s3archivefs_lambda.store.errors import (
    ArchiveReplacedError,
    ArchiveUnavailableError,
)
from tests.support.adapter.scripted_device import CONTENT, SIZE, device_of
from tests.support.clock import Clock
from tests.support.servers.scripted_store import Reply, Request, ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.response import StreamingBody


class Body(io.BytesIO):
    """Arrives in bits of at most 7,000 bytes, and its end takes some seconds to come."""

    def __init__(self, content: bytes, clock: Clock | None = None, seconds: float = 0.0) -> None:
        super().__init__(content)
        self._clock, self._seconds = clock, seconds

    def read1(self, size: int | None = -1, /) -> bytes:
        bit = self.read(7000 if size is None else min(size, 7000))
        if not bit and self._clock is not None:
            self._clock.now += self._seconds
        return bit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of bodies."""
    clock = Clock()
    monkeypatch.setattr("s3archivefs_lambda.store.body.time.monotonic", clock)
    return clock


def resumed(bodies: Iterator[Body], patience: Patience | None = None) -> ResumedBody:
    def request(_: int) -> StreamingBody:
        return cast("StreamingBody", next(bodies))

    return ResumedBody(request, SIZE, "url", patience=patience or Patience())


@pytest.mark.parametrize("cut", [0, 1, 70_000, 499_999])
def test_a_cut_body_is_resumed_at_the_byte_reached(store: ScriptedStore, cut: int) -> None:
    store.script(lambda _, reply: replace(reply, cut=cut))
    assert device_of(store).pread(1000, 500_000) == CONTENT[1000:501_000]
    assert store.ranges == ["bytes=1000-500999", f"bytes={1000 + cut}-500999"]
    assert [request.headers["if-match"] for request in store.requests] == ['"v1"', '"v1"']


def test_a_stalled_body_is_resumed_at_the_byte_reached(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=70_000, ending="stall"))
    assert device_of(store, read_timeout=2).pread(0, 500_000) == CONTENT[:500_000]
    assert store.ranges[:2] == ["bytes=0-499999", "bytes=70000-499999"]


def test_what_comes_with_the_headers_counts_though_the_rest_stalls(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=5000, ending="stall", together=True))
    assert device_of(store, read_timeout=1).pread(0, 500_000) == CONTENT[:500_000]
    assert store.ranges[:2] == ["bytes=0-499999", "bytes=5000-499999"]


def test_a_reset_connection_is_resumed(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=70_000, ending="reset"))
    assert device_of(store).pread(0, 500_000) == CONTENT[:500_000]
    assert len(store.requests) == 2


def test_a_short_body_is_resumed(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, body=reply.body[:70_000]))
    assert device_of(store).pread(0, 500_000) == CONTENT[:500_000]
    assert store.ranges == ["bytes=0-499999", "bytes=70000-499999"]


def test_a_body_is_resumed_as_often_as_it_takes_within_bounds(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=100), times=4)
    assert device_of(store).pread(0, 500) == CONTENT[:500]
    assert store.ranges == [f"bytes={start}-499" for start in (0, 100, 200, 300, 400)]


def test_a_body_that_always_breaks_is_given_up(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=1), times=1000)
    with pytest.raises(ArchiveUnavailableError, match="with 95 of 100 bytes missing"):
        device_of(store).pread(10, 100)
    assert len(store.requests) == 5


def test_no_attempt_begins_late(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=1))
    with pytest.raises(
        ArchiveUnavailableError, match="; after 0 seconds it is not asked for again"
    ):
        device_of(store, patience=Patience(last_attempt_seconds=-1)).pread(10, 100)
    assert len(store.requests) == 1


def test_a_read_that_must_end_in_time_is_asked_for_five_times_whatever_it_brings(
    store: ScriptedStore,
) -> None:
    store.script(lambda _, reply: replace(reply, cut=SIZE // 10), times=1000)
    with pytest.raises(ArchiveUnavailableError, match="also when asked for again"):
        device_of(store).pread(0, SIZE)
    assert len(store.requests) == 5


def test_a_long_body_is_resumed_as_often_as_it_goes_on(store: ScriptedStore) -> None:
    # The least that counts as progress comes with every fifth attempt.
    patience = LASTING_PATIENCE._replace(renewing_bytes=50_000)
    store.script(lambda _, reply: replace(reply, cut=10_000), times=1000)
    assert device_of(store, patience=patience).pread(0, SIZE) == CONTENT
    assert len(store.requests) == SIZE // 10_000


def test_a_long_body_that_all_but_stands_still_is_given_up(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=1_000_000), match="bytes=0-")
    store.script(lambda _, reply: replace(reply, cut=1), match="bytes=1", times=1000)
    with pytest.raises(ArchiveUnavailableError, match="also when asked for again"):
        device_of(store, patience=LASTING_PATIENCE).pread(0, SIZE)
    firsts = (0, *range(1_000_000, 1_000_005))
    assert store.ranges == [f"bytes={first}-{SIZE - 1}" for first in firsts]


def test_a_long_body_that_breaks_late_is_asked_for_again(clock: Clock) -> None:
    bodies = iter([Body(CONTENT[:2_000_000], clock, seconds=10_000), Body(CONTENT[2_000_000:])])
    assert b"".join(in_pieces(resumed(bodies, LASTING_PATIENCE), SIZE, SIZE)) == CONTENT


def test_a_read_that_must_end_in_time_is_not_asked_for_again_late(clock: Clock) -> None:
    bodies = iter([Body(CONTENT[:2_000_000], clock, seconds=16)])
    with pytest.raises(BodyBrokenError, match="; after 16 seconds it is not asked for again"):
        b"".join(in_pieces(resumed(bodies, Patience()), SIZE, SIZE))


def test_a_long_body_that_makes_no_progress_is_given_up_in_time(clock: Clock) -> None:
    bodies = iter([Body(CONTENT[:10], clock, seconds=301) for _ in range(2)])
    with pytest.raises(BodyBrokenError, match="after 301 seconds it is not asked for again"):
        b"".join(in_pieces(resumed(bodies, LASTING_PATIENCE), SIZE, SIZE))


def test_the_time_that_the_reader_of_a_body_takes_does_not_make_an_attempt_late(
    clock: Clock,
) -> None:
    bodies = iter([Body(CONTENT[:15_000]), Body(CONTENT[15_000:])])
    read = []
    for piece in in_pieces(resumed(bodies), SIZE, 10_000):
        read.append(piece)
        clock.now += 60
    assert b"".join(read) == CONTENT


def test_a_broken_body_is_not_resumed_with_another_version(store: ScriptedStore) -> None:
    def cut_and_replace(_request: Request, reply: Reply) -> Reply:
        store.etag = '"v2"'
        return replace(reply, cut=50)

    store.script(cut_and_replace)
    with pytest.raises(ArchiveReplacedError):
        device_of(store).pread(10, 100)
    assert len(store.requests) == 2


def test_a_body_that_trickles_is_broken(store: ScriptedStore) -> None:
    patience = Patience(progress_seconds=0, progress_bytes=SIZE)
    with pytest.raises(ArchiveUnavailableError, match="the body brought"):
        device_of(store, patience=patience).pread(0, SIZE)
    assert len(store.requests) == 5
    firsts = [int(str(asked).removeprefix("bytes=").split("-")[0]) for asked in store.ranges]
    assert firsts == sorted(set(firsts))  # each goes on from what the one before brought


def test_a_long_body_is_not_broken_while_it_brings_enough(store: ScriptedStore) -> None:
    patience = Patience(progress_seconds=0, progress_bytes=1)
    assert device_of(store, patience=patience).pread(0, SIZE) == CONTENT
    assert len(store.requests) == 1


def test_the_time_that_the_reader_of_a_body_takes_does_not_count(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("s3archivefs_lambda.store.body.time.monotonic", lambda: now)
    pieces = []
    for piece in device_of(store, patience=Patience(progress_bytes=SIZE)).stream(0, SIZE, 10_000):
        pieces.append(piece)
        now += 60
    assert b"".join(pieces) == CONTENT
    assert len(store.requests) == 1


@pytest.mark.parametrize("length", [0, 1, 10_000, 999_999, 1_000_000])
@pytest.mark.parametrize("piece_bytes", [1, 10_000, 300_000, 2_000_000])
def test_every_piece_but_the_last_has_the_length_that_is_asked_for(
    length: int, piece_bytes: int
) -> None:
    length = min(length, 300 * piece_bytes)
    body = ResumedBody(lambda done: Body(CONTENT[done:length]), length, "url")  # type: ignore[arg-type, return-value]
    pieces = [*in_pieces(body, length, piece_bytes)]
    assert b"".join(pieces) == CONTENT[:length]
    assert {len(piece) for piece in pieces[:-1]} <= {piece_bytes}
    assert all(0 < len(piece) <= piece_bytes for piece in pieces)


def test_a_piece_keeps_no_other_in_memory_and_cannot_be_changed(store: ScriptedStore) -> None:
    pieces = [*device_of(store).stream(0, SIZE, 10_000)]
    assert all(memoryview(piece.obj).nbytes == piece.nbytes for piece in pieces)
    assert all(piece.readonly for piece in pieces)


def test_pieces_come_in_the_memory_that_is_given_for_them(store: ScriptedStore) -> None:
    given: list[bytearray] = []

    def take(size: int) -> memoryview:
        given.append(bytearray(size))
        return memoryview(given[-1])

    pieces = [*device_of(store).stream(0, SIZE, 10_000, take=take)]
    assert b"".join(pieces) == CONTENT
    assert [piece.obj for piece in pieces] == given


@pytest.mark.parametrize("piece_bytes", [1, 7, 8])
def test_a_body_ends_anywhere_in_a_piece_and_its_connection_is_used_again(
    store: ScriptedStore, piece_bytes: int
) -> None:
    device = device_of(store)
    for length in range(1, 17):
        assert b"".join(device.stream(3, length, piece_bytes)) == CONTENT[3 : 3 + length]
    assert len(store.connections) == 1
