"""Reading while the store and the network fail in every way they have: right bytes, or an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from s3archivefs_lambda.store.client import READ_TIMEOUT
from tests.support.adapter.local_archives import ask
from tests.support.images.trees import pack
from tests.support.proxy.counting_proxy import (
    Answer,
    CountingProxy,
    CutBody,
    Fault,
    Reset,
    Stall,
    WrongRange,
    WrongVersion,
)
from tests.support.servers.transports import upload

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.proxy.recorded import Request
    from tests.support.servers.swift_store import SwiftStore

BLOCK = 4 << 10
READS = 2000
THREADS = 16
READS_PER_OPENING = 25
ATTEMPTS = 5
"""Of the product's client, to read a range."""
SHORT_TIMEOUT = 2
"""Seconds, in place of the product's 5."""
FAULTS: Mapping[Fault, float] = {
    Answer(503, "SlowDown"): 0.025,
    Answer(500, "InternalError"): 0.025,
    Reset(): 0.025,
    Reset(BLOCK // 2): 0.025,
    CutBody(0): 0.025,
    CutBody(BLOCK // 2): 0.025,
    Stall(None): 0.005,
    Stall(BLOCK // 2): 0.005,
    WrongRange(): 0.02,
    WrongVersion(): 0.02,
}
"""How often each of them befalls a request; the stalls seldom, for each costs the time-out."""


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Files by key: many small ones, and some whose bodies are read in several pieces."""
    random = Random(1)
    sizes = [random.randrange(1, 20 * BLOCK) for _ in range(60)] + [3 << 20] * 2
    return {f"a/{number}": random.randbytes(size) for number, size in enumerate(sizes)}


@pytest.fixture(scope="module")
def location(
    store: SwiftStore, contents: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of an image that holds them."""
    directory = tmp_path_factory.mktemp("faults")
    (directory / "tree").mkdir()
    for key, content in contents.items():
        (directory / "tree" / key.removeprefix("a/")).write_bytes(content)
    image = pack(directory / "tree", directory / "image.sqfs", block_size=BLOCK)
    return upload(store, image, "faults.sqfs", superblock=True)


@pytest.fixture
def proxy(store: SwiftStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingProxy]:
    """What stands between the product and the store, which the environment leads to."""
    with CountingProxy(store.url) as proxy:
        for name, value in store.environ(endpoint_url=proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def read_timeout() -> float:
    """The product's, in seconds; a test may have another."""
    return READ_TIMEOUT


@pytest.fixture
def client(proxy: CountingProxy, read_timeout: float) -> Iterator[S3Client]:
    """The product's own client."""
    with closing(make_archive_client(requests=THREADS, read_timeout=read_timeout)) as client:
        yield client


@pytest.fixture
def operations(client: S3Client, location: str, tmp_path: Path) -> Callable[..., Operations]:
    """Operations over an archive that is not open yet; without any cache, unless settings say
    otherwise.
    """

    def make(**settings: int) -> Operations:
        settings = {"CACHE_MAX_BYTES": 0, "CACHE_MEMORY_BYTES": 0, "TAIL_BYTES": BLOCK} | settings
        environ = {f"S3ARCHIVEFS_{name}": str(value) for name, value in settings.items()}
        environ |= {
            "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
            "S3ARCHIVEFS_PREFIX_VMAP1": f"a|{location}",
        }
        return Operations(Archives(Config.from_environ(environ), lambda: client))

    return make


@dataclass
class Outcomes:
    """What came of reads, counted; any of another kind fails the test."""

    counts: Counter[str] = field(default_factory=Counter)

    def read(self, operations: Operations, key: str, content: bytes, start: int, stop: int) -> None:
        """Read a range of a file, and count what came of it."""
        request = S3Request(key=key, headers={"range": f"bytes={start}-{stop - 1}"})
        received, outcome = b"", "served"
        try:
            response = ask(operations, "GetObject", request)
            with closing(response):
                outcome = "broken off"
                for piece in response.body:
                    received += piece
                outcome = "served"
        except S3Error as error:
            outcome = f"{outcome}: {error.code}" if received else error.code
        wanted = content[start:stop]
        assert received == (wanted if outcome == "served" else wanted[: len(received)])
        self.counts[outcome] += 1


def inject(proxy: CountingProxy, faults: Mapping[Fault, float]) -> None:
    """Let faults befall requests by chance."""
    random = Random(2)
    spared = 1.0  # by the faults before

    def befalls(_: Request, *, chance: float) -> bool:
        return random.random() < chance

    for fault, chance in faults.items():
        proxy.inject(fault, times=10 * READS, match=partial(befalls, chance=chance / spared))
        spared -= chance


@pytest.mark.parametrize("read_timeout", [SHORT_TIMEOUT])
def test_reads_among_faults_are_right_or_fail_cleanly(
    proxy: CountingProxy,
    operations: Callable[..., Operations],
    contents: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    inject(proxy, FAULTS)
    outcomes = [Outcomes() for _ in range(THREADS)]

    def work(number: int) -> None:
        random = Random(number)
        # Half of them read ahead, in other threads, into a memory that holds a few files.
        memory = (number % 2) << 20
        for _ in range(READS // THREADS // READS_PER_OPENING):
            opened = operations(CACHE_MEMORY_BYTES=memory)
            for _ in range(READS_PER_OPENING):
                key, content = random.choice(list(contents.items()))
                start = random.randrange(len(content))
                stop = random.randrange(start, len(content)) + 1
                outcomes[number].read(opened, key, content, start, stop)

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(work, range(THREADS)))

    counts = sum((each.counts for each in outcomes), Counter[str]())
    befallen = Counter(request.fault for request in proxy.requests)
    assert counts.total() == READS
    assert counts.keys() <= {
        *("served", "SlowDown", "ServiceUnavailable"),
        *("broken off: SlowDown", "broken off: ServiceUnavailable"),
    }
    reasons = Counter(
        reason_of(record.getMessage()) for record in caplog.records if record.levelname == "ERROR"
    )
    assert reasons.total() == READS - counts["served"]
    # Nobody asks twice where the store answers with another range, or with another version in the
    # midst of a body: each such answer fails one read at most.
    assert reasons["another range"] <= befallen[WrongRange()]
    assert reasons["replaced"] <= befallen[WrongVersion()]
    # What else befalls a sixth of the requests is asked for again: five in a row befall one read
    # of ten thousand.
    assert reasons["asked for again in vain"] <= READS // 200
    # Each attempt of a read that ran out of time left an answer that was not sent whole.
    late = [
        request
        for request in proxy.requests
        if not request.complete and (request.fault is None or isinstance(request.fault, Stall))
    ]
    assert ATTEMPTS * reasons["out of time"] <= len(late)
    assert all(befallen[fault] for fault in FAULTS)
    # A storm of repeated requests would make matters worse. Those that a slow machine did not
    # answer in time are not counted.
    assert sum(request.complete for request in proxy.requests) < 2 * READS


def reason_of(message: str) -> str:
    """Why a read failed, by its line in the log."""
    if "the store answered Range" in message:
        return "another range"
    if "was replaced" in message:
        return "replaced"
    # Where the machine is slow, time-outs befall requests that no fault was injected into.
    return "out of time" if "Timeout" in message else "asked for again in vain"


def test_a_store_that_stalls_is_asked_again(
    proxy: CountingProxy, operations: Callable[..., Operations], contents: dict[str, bytes]
) -> None:
    # Both ends of the archive are asked for at once: this costs five seconds, not ten.
    stalls = (Stall(None), Stall(BLOCK // 2))
    for stall in stalls:
        proxy.inject(stall)
    outcomes = Outcomes()
    key, content = next(iter(contents.items()))
    outcomes.read(operations(), key, content, 0, len(content))
    assert outcomes.counts == {"served": 1}
    assert {request.fault for request in proxy.requests} == {None, *stalls}
