"""Hostile archives in a real store: one S3 error and one log line each, few requests, and what
comes after them is served as if nothing had been.
"""

from __future__ import annotations

import struct
import time
import zlib
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.images.built import Image, Link, build, directory, file
from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.servers.transports import BUCKET, STORE_BUCKET, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.servers.swift_store import SwiftStore
    from tests.support.servers.transports import Transport

REQUESTS = 8
"""To the store, for one answer about a small image, whatever is in it."""
INJECTED = "names/a\r\nX-Injected: 1\r\n\r\nbody"


def bomb() -> Image:
    payload = zlib.compress(bytes(8 << 20), 9)[:8000]
    table = struct.pack("<H", len(payload)) + payload
    tree = directory({b"file": file(b"content")})
    return build(tree, tables={"inode": table}, superblock={"root_inode": 0})


def loop() -> Image:
    top = directory({b"file": file(b"content")})
    top.children[b"loop"] = Link(top)
    return build(directory({b"d": top}))


def doubling() -> Image:
    below = directory()
    for _ in range(100):
        below = directory({b"a": below, b"b": Link(below)})
    return build(below)


IMAGES: dict[str, Callable[[], Image]] = {
    "bomb": bomb,
    "block": lambda: build(directory({b"file": file(b"content", start=2**31)})),
    "doubling": doubling,
    "fragment": lambda: build(
        directory({b"file": file(b"content", in_fragment=True, offset=2**31)})
    ),
    "good": lambda: build(directory({b"file": file(b"content")})),
    "inode": lambda: build(directory({b"file": file(b"content", uid=9)})),
    "loop": loop,
    "names": lambda: build(
        directory({INJECTED.encode()[6:]: file(b"content"), b"z<&>]]>\x01": file(b"odd")})
    ),
}


@pytest.fixture(scope="module")
def proxy(store: SwiftStore) -> Iterator[CountingProxy]:
    for name, make in IMAGES.items():
        image = bytes(make())
        store.client().put_object(Bucket=STORE_BUCKET, Key=f"hostile/{name}", Body=image)
    with CountingProxy(store.url) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=["object-lambda", "endpoint"])
def hostile(
    request: pytest.FixtureRequest,
    store: SwiftStore,
    proxy: CountingProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Transport]:
    mappings = {name: f"s3://{STORE_BUCKET}/hostile/{name}" for name in IMAGES}
    folder = tmp_path_factory.mktemp(f"hostile-{request.param}")
    with open_transport(
        request.param,
        store,
        folder,
        mappings,
        store_url=proxy.url,
        settings={"S3ARCHIVEFS_REVALIDATE_SECONDS": "0"},
    ) as transport:
        yield transport


def fails(transport: Transport, proxy: CountingProxy, operation: str, **arguments: str) -> str:
    """The code of the error that ends an operation, which may cost no more than REQUESTS."""
    before = len(proxy.requests)
    with pytest.raises(ClientError) as caught:
        getattr(transport.client, operation)(Bucket=BUCKET, **arguments)
    assert len(proxy.requests) - before <= REQUESTS
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    return str(caught.value.response["Error"]["Code"])


def serves(transport: Transport, key: str, content: bytes = b"content") -> bool:
    with transport.client.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
        return body.read() == content


@pytest.mark.parametrize("name", ["bomb", "block", "fragment", "inode"])
def test_damaged_member_is_an_internal_error_and_the_next_request_is_served(
    name: str, hostile: Transport, proxy: CountingProxy
) -> None:
    before = said(hostile, f"hostile/{name}")
    assert fails(hostile, proxy, "get_object", Key=f"{name}/file") == "InternalError"
    assert said_after(before, hostile, f"hostile/{name}") == before + 1
    assert serves(hostile, "good/file")


@pytest.mark.parametrize("name", ["bomb", "doubling", "loop"])
def test_listing_of_a_hostile_tree_ends(
    name: str, hostile: Transport, proxy: CountingProxy
) -> None:
    before = said(hostile, f"hostile/{name}")
    code = fails(hostile, proxy, "list_objects_v2", Prefix=f"{name}/")
    assert code == "InternalError"
    assert said_after(before, hostile, f"hostile/{name}") == before + 1
    assert serves(hostile, "good/file")


def test_files_beside_the_damage_are_served(hostile: Transport) -> None:
    assert serves(hostile, "loop/d/file")
    assert serves(hostile, "loop/d/loop/loop/file")


def test_archive_mended_in_its_place_is_served(
    hostile: Transport, proxy: CountingProxy, store: SwiftStore
) -> None:
    key = "hostile/block"
    assert fails(hostile, proxy, "get_object", Key="block/file") == "InternalError"
    try:
        store.client().put_object(Bucket=STORE_BUCKET, Key=key, Body=bytes(IMAGES["good"]()))
        assert serves(hostile, "block/file")
    finally:
        store.client().put_object(Bucket=STORE_BUCKET, Key=key, Body=bytes(IMAGES["block"]()))
    assert fails(hostile, proxy, "get_object", Key="block/file") == "InternalError"


def test_names_reach_no_header(hostile: Transport) -> None:
    answer = hostile.client.get_object(Bucket=BUCKET, Key=INJECTED)
    with answer["Body"] as body:
        assert body.read() == b"content"
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert not any("injected" in f"{name}{value}".lower() for name, value in headers.items())
    listed = hostile.client.list_objects_v2(Bucket=BUCKET, Prefix="names/")
    assert [item["Key"] for item in listed["Contents"]] == [INJECTED, "names/z<&>]]>\x01"]


def said(transport: Transport, archive: str) -> int:
    """Lines of the log that name the archive, but for those that the endpoint writes of requests,
    which name a key.
    """
    lines = transport.log_lines()
    return sum(archive in line and '"operation"' not in line for line in lines)


def said_after(before: int, transport: Transport, archive: str) -> int:
    """The same once there are more: a line is written soon, not at once."""
    while (now := said(transport, archive)) == before:
        time.sleep(0.01)
    return now
