"""Archives in a real store, behind a proxy that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs.filesystem import register
from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

BUCKET = own("my-bucket")
ARCHIVES = own("archives")


@pytest.fixture(scope="session")
def bucket(store: SwiftStore) -> str:
    """A bucket of this process's own, for what the pages upload."""
    store.client().create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture(scope="session")
def archives(store: SwiftStore) -> str:
    """Another, for the archives of tests: each has a name of its own there."""
    store.client().create_bucket(Bucket=ARCHIVES)
    return ARCHIVES


@pytest.fixture
def proxy(store: SwiftStore) -> Iterator[CountingProxy]:
    """The store, at an address that counts."""
    with CountingProxy(store.url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty chunk cache."""
    register()
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))
