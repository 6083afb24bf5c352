"""A forked child serves and reads on, whatever the threads of its parent were at."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.shapes import noise, text
from fixtures.tree import file
from s3archivefs_lambda import accounting
from s3archivefs_lambda.accounting import Usage
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.cache.background import Background
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.eviction import DirectoryLimit
from s3archivefs_lambda.cache.fetch_plan import FetchPlan
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.store.process_client import process_client
from tests.support.adapter.local_archives import config_for
from tests.support.images.fixtures import make_image
from tests.support.processes.forked import Child, Gate, amid, in_child
from tests.support.servers.scripted_store import Reply, Request, ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AT_S3 = Location("s3", "bucket", "a.sqfs")
CHUNK = 4096
CONTENT = noise(1 << 20)
FILES = {f"/{number}": text(number * 777) for number in range(1, 20)} | {"/big": noise(300_000)}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = tuple(file(name[1:], content) for name, content in FILES.items())
    return make_image(tmp_path_factory.mktemp("forks"), tree, "-b", "4096").read_bytes()


@pytest.fixture
def store(image: bytes) -> Iterator[ScriptedStore]:
    with ScriptedStore(image) as running:
        yield running


class GatedDevice:
    """Reads come to a gate in the process that set it."""

    def __init__(self) -> None:
        self.size = len(CONTENT)
        self.gate: Gate | None = None
        self.reads = 0
        self._process = os.getpid()

    def pread(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if self.gate is not None and os.getpid() == self._process:
            self.gate.wait()
        return CONTENT[offset : offset + length]


def cached_device(below: GatedDevice, directory: Path) -> CachedDevice:
    memory = ChunkMemory(1 << 20)
    return CachedDevice(
        below, "archive", CHUNK, memory=memory, store=ChunkStore(directory, 8 << 20)
    )


def archives_in(store: ScriptedStore, cache: Path, **settings: Any) -> Archives:  # noqa: ANN401 -- Config's
    config = replace(config_for({}), cache_dir=cache, tail_bytes=4096, revalidate_seconds=0)
    return Archives(replace(config, **settings), store.client)


# ---- Chunks --------------------------------------------------------------------------------------


def test_a_child_fetches_what_a_thread_of_its_parent_was_fetching(tmp_path: Path) -> None:
    below = GatedDevice()
    cached = cached_device(below, tmp_path)

    def read(gate: Gate) -> None:
        below.gate = gate
        assert cached.pread(10, 9000) == CONTENT[10:9010]

    with amid(read):
        assert in_child(lambda: cached.pread(0, 20_000)) == CONTENT[:20_000]


def test_a_child_reads_what_was_being_fetched_ahead_with_threads_of_its_own(tmp_path: Path) -> None:
    below = GatedDevice()
    cached = cached_device(below, tmp_path)
    cached.pread(0, CHUNK)
    gate = below.gate = Gate()
    ahead = cached.readahead(0, 400_000)
    ahead.will_read(0, 400_000)
    ahead.pread(0, CHUNK)
    assert gate.reached.wait(60)

    def reads() -> tuple[bool, bool]:
        data = b"".join(ahead.pread(at, 10_000) for at in range(CHUNK, 300_000, 10_000))
        with closing(cached.readahead(400_000, 400_000)) as other:
            other.will_read(400_000, 400_000)
            more = b"".join(other.pread(at, 10_000) for at in range(400_000, 800_000, 10_000))
        return data == CONTENT[CHUNK : CHUNK + len(data)], more == CONTENT[400_000:800_000]

    try:
        assert in_child(reads) == (True, True)
    finally:
        gate.open()
    assert ahead.pread(CHUNK, 100_000) == CONTENT[CHUNK : CHUNK + 100_000]
    ahead.close()
    cached.background.wait_idle()
    assert cached.background.held == 0


def test_a_child_keeps_the_chunks_that_were_in_memory(tmp_path: Path) -> None:
    below = GatedDevice()
    cached = cached_device(below, tmp_path)
    cached.pread(0, CHUNK)

    def reads() -> int:
        cached.pread(0, CHUNK)
        return below.reads

    assert in_child(reads) == 1


# ---- Locks ---------------------------------------------------------------------------------------


def uses_limit(limit: DirectoryLimit) -> object:
    return [limit.make_room(4096) for _ in range(3)]


def uses_background(background: Background) -> object:
    done = threading.Semaphore(0)
    assert background.start(10, done.release)
    assert done.acquire(timeout=60)
    return background.reserve(61), background.reserve(60)


def uses_memory(memory: ChunkMemory) -> object:
    for index in range(9):
        memory.put("a", index, bytes(10))
    return [memory.get("a", index) is not None for index in range(9)]


def uses_plan(plan: FetchPlan) -> object:
    return list(plan.prefetch([3])), list(plan.prefetch([4]))


def uses_usage(figures: Usage) -> object:
    with accounting.request_scope(figures):
        accounting.add("cache_hits", 7)
    return figures.figures


LOCKED: dict[str, tuple[Callable[[Path], Any], Callable[[Any], object]]] = {
    "the directory's limit": (lambda top: DirectoryLimit(str(top), 8192), uses_limit),
    "chunks in memory": (lambda _: ChunkMemory(70), uses_memory),
    "what is done beside readers": (lambda _: Background(70), uses_background),
    "the plan": (lambda _: FetchPlan(1 << 20, CHUNK, 1 << 20), uses_plan),
    "the accounting": (lambda _: Usage(), uses_usage),
    "one that reads ahead": (
        lambda top: cached_device(GatedDevice(), top).readahead(0, 90_000),
        lambda ahead: [ahead.pread(at, 9_000) for at in range(0, 90_000, 9_000)],
    ),
}


@pytest.mark.parametrize("name", LOCKED)
def test_a_child_uses_what_a_thread_of_its_parent_had_locked(name: str, tmp_path: Path) -> None:
    make, use = LOCKED[name]
    owner = make(tmp_path / "locked")
    expected = use(make(tmp_path / "free"))

    def hold(gate: Gate) -> None:
        with owner._lock:
            gate.wait()

    with amid(hold):
        assert in_child(lambda: use(owner)) == expected


def test_a_child_keeps_to_the_limit_of_a_directory_that_was_being_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        path = tmp_path / f"ab/archive/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(CHUNK))
    limit = DirectoryLimit(str(tmp_path), 2 * CHUNK)
    scandir = os.scandir

    def count(gate: Gate) -> None:
        process = os.getpid()

        def gated(path: str) -> Any:  # noqa: ANN401 -- as os.scandir
            if os.getpid() == process:
                gate.wait()
            return scandir(path)

        monkeypatch.setattr(os, "scandir", gated)
        limit.make_room(CHUNK)

    with amid(count):
        assert in_child(lambda: (limit.make_room(CHUNK), len(list(tmp_path.glob("*/*/*"))))) == (
            True,
            1,
        )


# ---- Archives and clients ------------------------------------------------------------------------


def test_a_child_opens_and_checks_an_archive_that_a_thread_of_its_parent_was_checking(
    store: ScriptedStore, tmp_path: Path
) -> None:
    archives = archives_in(store, tmp_path)
    archives.get(AT_S3)
    held = threading.Event()

    def check(gate: Gate) -> None:
        def hold(_: Request, reply: Reply) -> Reply:
            if not held.is_set():
                held.set()
                gate.wait()
            return reply

        store.script(hold, match="HEAD", times=9)
        archives.get(AT_S3)

    with amid(check):
        assert in_child(lambda: archives.get(AT_S3).image.read_bytes("/7")) == FILES["/7"]


@pytest.mark.parametrize("what", ["_known", "_images", "_outages", "checks", "reopenings"])
def test_a_child_uses_archives_that_a_thread_of_its_parent_had_locked(
    store: ScriptedStore, tmp_path: Path, what: str
) -> None:
    archives = archives_in(store, tmp_path)
    archives.get(AT_S3)
    lock = getattr(archives, what)._lock

    def hold(gate: Gate) -> None:
        with lock:
            gate.wait()

    with amid(hold):
        assert in_child(lambda: archives.get(AT_S3).image.read_bytes("/7")) == FILES["/7"]


def test_a_child_opens_ahead_with_threads_of_its_own(store: ScriptedStore, tmp_path: Path) -> None:
    archives = archives_in(store, tmp_path)
    archives.begin(AT_S3)()
    assert in_child(lambda: archives.begin(AT_S3)().image.read_bytes("/7")) == FILES["/7"]


def test_a_child_makes_a_client_and_connections_of_its_own(store: ScriptedStore) -> None:
    made = []

    def make() -> Any:  # noqa: ANN401 -- a client
        made.append(os.getpid())
        return store.client()

    client = process_client(make)

    def etag() -> str:
        return client.head_object(Bucket="b", Key="k")["ETag"]

    assert [etag(), etag()] == [store.etag] * 2
    assert len(store.connections) == 1
    children = [Child(lambda: (etag(), etag(), made[1:] == [os.getpid()])) for _ in range(3)]
    for child in children:
        assert child.result() == (store.etag, store.etag, True)
    assert etag() == store.etag
    assert made == [os.getpid()]
    assert len(store.connections) == 4


def test_a_fork_waits_for_a_client_that_is_being_made(store: ScriptedStore) -> None:
    """For it may have locked OpenSSL, and botocore's import: no child could make one then."""
    gate = Gate()

    def make() -> Any:  # noqa: ANN401 -- a client
        if not made:
            gate.wait()
        made.append(os.getpid())
        return store.client()

    made: list[int] = []
    client = process_client(make)

    def etag() -> str:
        return client.head_object(Bucket="b", Key="k")["ETag"]

    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(etag)
        assert gate.reached.wait(60)
        child = pool.submit(in_child, lambda: (etag(), len(made)))
        gate.open()
        assert making.result(60) == store.etag
        # By the time of the fork the parent had its own; the child made another.
        assert child.result() == (store.etag, 2)


def test_children_forked_among_reading_threads_read_on(
    store: ScriptedStore, tmp_path: Path
) -> None:
    archives = archives_in(store, tmp_path, cache_max_bytes=1 << 17, cache_memory_bytes=1 << 17)
    stop = threading.Event()

    def is_right(name: str) -> bool:
        return archives.get(AT_S3).image.read_bytes(name) == FILES[name]

    with ThreadPoolExecutor(3) as pool:

        def read_until_stopped() -> None:
            for name in cycle(FILES):
                assert is_right(name)
                if stop.is_set():
                    return

        threads = [pool.submit(read_until_stopped) for _ in range(3)]
        try:
            for _ in range(10):
                assert in_child(lambda: all(is_right(name) for name in ("/7", "/19", "/big")))
        finally:
            stop.set()
        for thread in threads:
            thread.result()
