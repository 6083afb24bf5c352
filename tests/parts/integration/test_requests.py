"""What reading costs, counted at the S3 server: requests, round trips and bytes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.servers.transports import BUCKET, LARGE_FILE_BYTES, open_transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.swift_store import SwiftStore

CHUNK = 128 << 10
"""The images' block size, and with it the size of a chunk."""
LATENCY = 0.1
"""Seconds before each answer, so that requests made side by side overlap."""


@dataclass
class Reader:
    """A client of a function or endpoint whose requests to the store are counted."""

    client: S3Client
    proxy: CountingProxy
    port: int
    """Where the client finds it."""

    def get(self, key: str, byte_range: str | None = None) -> bytes:
        """An object's content."""
        arguments = {} if byte_range is None else {"Range": byte_range}
        with self.client.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"] as body:  # type: ignore[arg-type]  # keywords for the stubs' TypedDict
            return body.read()


@pytest.fixture(params=["object-lambda", "endpoint"])
def transport_name(request: pytest.FixtureRequest) -> str:
    """Both transports."""
    name: str = request.param
    return name


@contextmanager
def cold(
    name: str, store: SwiftStore, directory: Path, archive: str, **settings: str
) -> Iterator[Reader]:
    """A fresh process; its cache directory, kept in `directory`, is empty at first."""
    with (
        CountingProxy(store.url, latency=LATENCY) as proxy,
        cold_behind(proxy, name, store, directory, archive, settings=settings) as reader,
    ):
        yield reader


@contextmanager
def cold_behind(
    proxy: CountingProxy,
    name: str,
    store: SwiftStore,
    directory: Path,
    archive: str,
    *,
    port: int = 0,
    settings: dict[str, str] | None = None,
) -> Iterator[Reader]:
    """The same, with the store where the proxy is, at the same place as far as it can tell: the
    function's access point is at the port.
    """
    proxy.reset()
    with open_transport(
        name, store, directory, {"a": archive}, store_url=proxy.url, settings=settings, port=port
    ) as transport:
        yield Reader(transport.client, proxy, urlsplit(transport.url).port or 0)


@pytest.mark.parametrize("which", ["archive", "archive_without_metadata"])
def test_cold_get_of_a_small_file_costs_three_requests_in_two_round_trips(  # noqa: PLR0917 -- fixtures
    transport_name: str,
    store: SwiftStore,
    tmp_path: Path,
    tree: Path,
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    """With and without superblock in the metadata."""
    with cold(transport_name, store, tmp_path, request.getfixturevalue(which)) as reader:
        assert reader.get("a/json/decoder.py") == (tree / "json/decoder.py").read_bytes()
        assert len(reader.proxy.requests) <= 3
        assert reader.proxy.round_trips() <= 2


def test_superblock_in_the_metadata_saves_a_request(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive: str
) -> None:
    expected = {"S3ARCHIVEFS_SUPERBLOCK_METADATA": "expected"}
    with cold(transport_name, store, tmp_path, archive, **expected) as reader:
        reader.get("a/json/decoder.py")
        assert len(reader.proxy.requests) == 2


def test_warm_instance_reads_an_uncached_block_with_one_request_and_a_cached_one_with_none(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive: str, tree: Path
) -> None:
    with cold(transport_name, store, tmp_path, archive) as reader:
        reader.get("a/abc.py")
        reader.proxy.reset()
        assert reader.get("a/email/message.py") == (tree / "email/message.py").read_bytes()
        assert len(reader.proxy.requests) == 1
        reader.proxy.reset()
        assert reader.get("a/email/message.py") == (tree / "email/message.py").read_bytes()
        assert reader.proxy.requests == []


def test_listing_on_a_warm_instance_costs_no_request(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive: str
) -> None:
    with cold(transport_name, store, tmp_path, archive) as reader:
        reader.client.list_objects_v2(Bucket=BUCKET, Prefix="a/json/", Delimiter="/")
        assert len(reader.proxy.requests) <= 2
        reader.proxy.reset()
        listed = reader.client.list_objects_v2(Bucket=BUCKET, Prefix="a/", MaxKeys=500)
        assert listed["KeyCount"] == 500
        assert reader.proxy.requests == []


def test_one_byte_of_a_large_file_costs_one_request_of_the_chunks_its_block_lies_in(
    transport_name: str,
    store: SwiftStore,
    tmp_path: Path,
    archive_of_large_file: str,
    large_file: bytes,
) -> None:
    """One chunk, or two where the block, which may lie anywhere, straddles their border."""
    with cold(transport_name, store, tmp_path, archive_of_large_file) as reader:
        reader.client.head_object(Bucket=BUCKET, Key="a/large.bin")
        read: set[int] = set()
        for offset in Random(1).sample(range(LARGE_FILE_BYTES), 10):
            byte = f"bytes={offset}-{offset}"
            reader.proxy.reset()
            assert reader.get("a/large.bin", byte) == large_file[offset : offset + 1]
            requests = reader.proxy.requests
            assert len(requests) <= 1
            # The file is the image's first and stored as it is, behind 96 bytes of superblock.
            block = offset // CHUNK
            straddled = {(96 + block * CHUNK) // CHUNK, (96 + (block + 1) * CHUNK - 1) // CHUNK}
            assert sum(request.bytes_sent for request in requests) <= len(straddled - read) * CHUNK
            read |= straddled
            reader.proxy.reset()
            assert reader.get("a/large.bin", byte) == large_file[offset : offset + 1]
            assert reader.proxy.requests == []


def test_new_instance_on_the_same_cache_directory_reads_no_data_again(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive_of_large_file: str
) -> None:
    at = transport_name, store, tmp_path, archive_of_large_file
    with CountingProxy(store.url, latency=LATENCY) as proxy:
        with cold_behind(proxy, *at) as reader:
            content = reader.get("a/large.bin", "bytes=1000000-1999999")
        with cold_behind(proxy, *at, port=reader.port) as reader:
            assert reader.get("a/large.bin", "bytes=1000000-1999999") == content
            assert len(proxy.requests) <= 2  # the opening


def test_large_file_streams_in_few_requests(
    transport_name: str,
    store: SwiftStore,
    tmp_path: Path,
    archive_of_large_file: str,
    large_file: bytes,
) -> None:
    with cold(transport_name, store, tmp_path, archive_of_large_file) as reader:
        assert reader.get("a/large.bin") == large_file
        # The opening; the first MiB, for which the client waits; the others by some 4 MiB each.
        assert len(reader.proxy.requests) <= 2 + 1 + LARGE_FILE_BYTES // (4 << 20) + 5
