"""A reader of one archive whose requests to the store are counted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask, content, list_page
from tests.support.proxy.counting_proxy import CountingProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.support.servers.swift_store import SwiftStore

__all__ = ["CHUNK", "KIB", "MIB", "TAIL", "CountedReader", "counted_reader"]

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 128 * KIB
TAIL = 512 * KIB
LATENCY = 0.05  # seconds; so that requests made side by side overlap


@dataclass
class CountedReader:
    """A fresh instance, over the archive at the prefix `a`, and what it costs."""

    operations: Operations
    proxy: CountingProxy

    def get(self, key: str, byte_range: str | None = None, **headers: str) -> bytes:
        headers |= {} if byte_range is None else {"range": byte_range}
        request = S3Request(key=f"a/{key}", headers=headers)
        return content(ask(self.operations, "GetObject", request))

    def head(self, key: str) -> int:
        answer = ask(self.operations, "HeadObject", S3Request(key=f"a/{key}"))
        return int(answer.headers["Content-Length"])

    def listed(self, **query: str) -> int:
        page = list_page(self.operations, **query)
        return len(page.items)

    def cost(self) -> tuple[int, int, int]:
        """Requests, round trips and bytes since the last time."""
        requests = self.proxy.requests
        trips = self.proxy.round_trips()
        self.proxy.reset()
        return len(requests), trips, sum(request.bytes_sent for request in requests)


@contextmanager
def counted_reader(
    store: SwiftStore, archive: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CountedReader]:
    """A cold one: its cache is empty."""
    with CountingProxy(store.url, latency=LATENCY) as proxy:
        for name, value in store.environ(endpoint_url=proxy.url).items():
            monkeypatch.setenv(name, value)
        settings = {
            "S3ARCHIVEFS_PREFIX_VMAP1": f"a|{archive}",
            "S3ARCHIVEFS_CACHE_DIR": str(cache),
        }
        client = make_archive_client()
        archives = Archives(Config.from_environ(settings), lambda: client)
        yield CountedReader(Operations(archives), proxy)
        client.close()
