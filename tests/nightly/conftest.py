"""The store of the nightly tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers.transports import STORE_BUCKET

if TYPE_CHECKING:
    from tests.support.servers.swift_store import SwiftStore


@pytest.fixture(scope="session")
def store(store: SwiftStore) -> SwiftStore:
    """A real S3 server with the bucket of archives."""
    store.client().create_bucket(Bucket=STORE_BUCKET)
    return store
