"""What a request costs, as the layers that cost something say it."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise
from s3archivefs import BytesDevice
from s3archivefs_lambda.accounting import (
    Usage,
    add,
    add_archive,
    request_scope,
    with_current_request,
)
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.store.client import make_s3_client
from s3archivefs_lambda.store.device import S3Device
from s3archivefs_lambda.store.opening import open_object
from tests.support.adapter.local_archives import get, list_page, location_of, operations_on
from tests.support.images.fixtures import FIXTURES
from tests.support.servers.scripted_store import SECRETS, Reply, Request, ScriptedStore, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from _typeshed import TraceFunction

CHUNK = 4096
CONTENT = noise(64 * CHUNK)


@pytest.fixture
def request_() -> Iterator[Usage]:
    """A request that this thread works for."""
    request = Usage()
    with request_scope(request):
        yield request


def test_figures_begin_at_none() -> None:
    nothing = {"s3_requests": 0, "s3_bytes": 0, "cache_hits": 0, "cache_misses": 0}
    assert (Usage().figures, Usage().archives) == (nothing, {})


def test_work_counts_for_the_request_it_serves() -> None:
    outer, inner = Usage(), Usage()
    add("s3_requests")  # for none
    with request_scope(outer):
        add("s3_bytes", 7)
        with request_scope(inner):
            add("s3_bytes", 5)
            add("cache_hits")
        with request_scope(None):
            add("s3_bytes", 100)
        add("s3_bytes", 1)
    add("s3_bytes", 100)
    assert (outer.figures["s3_bytes"], outer.figures["cache_hits"]) == (8, 0)
    assert (inner.figures["s3_bytes"], inner.figures["cache_hits"]) == (5, 1)
    assert outer.figures["s3_requests"] == 0


def test_a_request_ends_where_it_fails() -> None:
    request = Usage()
    with pytest.raises(ZeroDivisionError), request_scope(request):
        raise ZeroDivisionError
    add("s3_requests")
    assert request.figures["s3_requests"] == 0


def test_another_thread_counts_for_a_request_only_in_its_scope(
    request_: Usage,
) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(add, "cache_hits").result()
        assert request_.figures["cache_hits"] == 0
        executor.submit(with_current_request(add), "cache_hits", 3).result()
        executor.submit(add, "cache_hits").result()
    assert request_.figures["cache_hits"] == 3


def test_carried_means_to_the_request_of_then() -> None:
    first, second = Usage(), Usage()
    with request_scope(first):
        for_first = with_current_request(add)
    with request_scope(second):
        for_first("s3_requests", amount=2)
        add("s3_requests")
    assert (first.figures["s3_requests"], second.figures["s3_requests"]) == (2, 1)


def traced(frame: FrameType, _: str, __: object) -> TraceFunction:
    """Tracing each opcode gives other threads a chance between any two of them."""
    frame.f_trace_opcodes = True
    return traced


SETTING_TRACE = threading.Lock()
"""Python refuses a trace function while another thread sets its own."""


def add_with_interruptions(times: int) -> None:
    with SETTING_TRACE:
        sys.settrace(traced)
    for _ in range(times):
        add("s3_bytes")
    with SETTING_TRACE:
        sys.settrace(None)


def test_threads_lose_nothing_of_each_other(request_: Usage) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as executor:
            list(executor.map(with_current_request(add_with_interruptions), [5000] * 4))
    finally:
        sys.setswitchinterval(interval)
    assert request_.figures["s3_bytes"] == 20_000


def test_each_archive_that_is_asked_is_named_once(request_: Usage) -> None:
    for location in ("s3://b/z", "s3://b/a", "s3://b/z"):
        add_archive(location)
    with request_scope(None):
        add_archive("s3://b/other")
    assert list(request_.archives) == ["s3://b/z", "s3://b/a"]


# ---- The layers ----------------------------------------------------------------------------------


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedStore]:
    """A store that the environment names, with credentials for it."""
    with ScriptedStore(CONTENT) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[1])
        yield store


@pytest.fixture
def device(store: ScriptedStore) -> Iterator[S3Device]:
    """All of the store's object, through the client that the adapter makes."""
    with closing(make_s3_client()) as client:
        yield S3Device(client, "bucket", "key", etag='"v1"', size=len(CONTENT))


def refused(_: Request, reply: Reply) -> Reply:
    return error_reply(503, "SlowDown")


def cut(_: Request, reply: Reply) -> Reply:
    return replace(reply, cut=1000)


def test_a_read_is_one_request_and_its_bytes(device: S3Device, request_: Usage) -> None:
    device.pread(5, 2000)
    assert (request_.figures["s3_requests"], request_.figures["s3_bytes"]) == (1, 2000)


def test_each_attempt_is_a_request(store: ScriptedStore, device: S3Device, request_: Usage) -> None:
    store.script(refused)
    device.pread(0, 2000)
    assert len(store.requests) == 2
    assert (request_.figures["s3_requests"], request_.figures["s3_bytes"]) == (2, 2000)


def test_a_body_that_is_resumed_is_counted_as_it_came(
    store: ScriptedStore, device: S3Device, request_: Usage
) -> None:
    store.script(cut)
    device.pread(0, 2000)
    assert store.ranges == ["bytes=0-1999", "bytes=1000-1999"]
    assert (request_.figures["s3_requests"], request_.figures["s3_bytes"]) == (2, 2000)


def test_both_ends_of_an_archive_are_read_for_the_request_that_opens_it(
    store: ScriptedStore, request_: Usage
) -> None:
    with closing(make_s3_client()) as client:
        open_object(client, "bucket", "key", tail_bytes=3000)
    assert len(store.requests) == 2
    assert (request_.figures["s3_requests"], request_.figures["s3_bytes"]) == (2, 3096)


def cached(
    directory: Path, memory_bytes: int = 0, make_store: type[ChunkStore] = ChunkStore
) -> CachedDevice:
    memory = ChunkMemory(memory_bytes)
    store = make_store(directory, len(CONTENT) * 2)
    return CachedDevice(BytesDevice(CONTENT), "an archive", CHUNK, memory=memory, store=store)


def counted(request: Usage) -> tuple[int, int]:
    return request.figures["cache_hits"], request.figures["cache_misses"]


def test_a_chunk_is_a_miss_when_it_is_fetched_and_a_hit_when_it_is_found(
    tmp_path: Path, request_: Usage
) -> None:
    device = cached(tmp_path)
    device.pread(100, CHUNK)  # of two chunks
    assert counted(request_) == (0, 2)
    device.pread(CHUNK, 2 * CHUNK)
    assert counted(request_) == (1, 3)
    cached(tmp_path).pread(0, 10)
    assert counted(request_) == (2, 3)


def test_what_is_read_ahead_is_fetched_for_the_request_that_reads(
    tmp_path: Path, request_: Usage
) -> None:
    device = cached(tmp_path, len(CONTENT))
    with closing(device.readahead(0, 8 * CHUNK)) as ahead:
        ahead.will_read(0, 8 * CHUNK)
        assert ahead.pread(0, CHUNK) == CONTENT[:CHUNK]
        assert ahead.pread(CHUNK, 7 * CHUNK) == CONTENT[CHUNK : 8 * CHUNK]
    assert request_.figures["cache_misses"] == 8


def test_what_has_come_ahead_and_is_not_on_disk_yet_is_found(
    tmp_path: Path, request_: Usage
) -> None:
    storing, go_on = threading.Event(), threading.Event()

    # Not every store: another test's device may still be storing.
    class HeldStore(ChunkStore):
        def put(
            self, archive_id: str, index: int, chunk: bytes | memoryview, *, replace: bool = False
        ) -> None:
            if index:  # of those ahead, which have all come by then
                storing.set()
            assert go_on.wait(30)

    device = cached(tmp_path, len(CONTENT), HeldStore)
    with closing(device.readahead(0, 8 * CHUNK)) as ahead:
        ahead.will_read(0, 8 * CHUNK)
        ahead.pread(0, 10)
        assert storing.wait(30)
        assert ahead.pread(10, 8 * CHUNK - 10) == CONTENT[10 : 8 * CHUNK]
        go_on.set()
    assert counted(request_) == (8, 8)


def test_a_request_names_the_archives_that_it_asks(request_: Usage) -> None:
    images = {"a": FIXTURES["gzip"].image, "b": FIXTURES["xz"].image}
    operations = operations_on(images)
    get(operations, "b/short.txt")
    assert list(request_.archives) == [location_of(images["b"])]
    list_page(operations)
    assert list(request_.archives) == [location_of(images["b"]), location_of(images["a"])]
