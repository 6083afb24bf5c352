"""Prepared GETs at real stores, which check signatures: what botocore signed is sent for ranges."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from s3archivefs_lambda.store.access import StoreAccess
from s3archivefs_lambda.store.client import make_s3_client
from s3archivefs_lambda.store.device import Range, S3Device, get_range
from s3archivefs_lambda.store.errors import ArchiveReplacedError
from s3archivefs_lambda.store.process_client import process_client
from tests.support.adapter.signed_requests import ODD_KEYS
from tests.support.processes.forked import in_child
from tests.support.proxy.counting_proxy import Answer, CountingProxy, Rewrite, WrongRange
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from tests.support.servers.radosgw_server import RadosGateway
    from tests.support.servers.swift_store import SwiftStore

BUCKET = own("ranged")
CONTENT = Random(3).randbytes(300_000)


@pytest.fixture(params=["swift", "radosgw"])
def server(request: pytest.FixtureRequest) -> Iterator[SwiftStore | RadosGateway]:
    """A store with an empty bucket."""
    server: SwiftStore | RadosGateway = request.getfixturevalue(
        "store" if request.param == "swift" else "gateway"
    )
    owner = server.client()
    with suppress(owner.exceptions.BucketAlreadyOwnedByYou):
        owner.create_bucket(Bucket=BUCKET)
    yield server
    for each in owner.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        owner.delete_object(Bucket=BUCKET, Key=each["Key"])


@pytest.fixture
def proxy(server: SwiftStore | RadosGateway) -> Iterator[CountingProxy]:
    with CountingProxy(server.url) as proxy:
        yield proxy


def access(server: SwiftStore | RadosGateway, url: str) -> StoreAccess:
    return StoreAccess(
        endpoint_url=url,
        region_name="us-east-1",
        access_key_id=server.owner.access_key,
        secret_access_key=server.owner.secret_key,
    )


@pytest.fixture
def client(server: SwiftStore | RadosGateway, proxy: CountingProxy) -> Iterator[S3Client]:
    with closing(make_s3_client(access=access(server, proxy.url))) as client:
        yield client


def calls(client: S3Client) -> list[str]:
    """From now on, an item for each GetObject that goes through botocore."""
    made: list[str] = []
    client.meta.events.register("before-call.s3.GetObject", lambda **_: made.append("call"))
    return made


def device_of(client: S3Client, key: str) -> S3Device:
    """A device of an object that the client has read of, so that its next GET is prepared."""
    answer = get_range(client, BUCKET, key, Range(0, 1))
    assert answer.body.read() == CONTENT[:1]
    return answer.device


def put(server: SwiftStore | RadosGateway, key: str, content: bytes = CONTENT) -> Any:  # noqa: ANN401 -- boto3's
    return server.client().put_object(Bucket=BUCKET, Key=key, Body=content)


@pytest.mark.parametrize(
    "key", [*ODD_KEYS, "plain", "ключ", "a?versionId=b", "a\\b", "\u00e9 \u0301"]
)
def test_any_key_is_read_by_one_signature(
    server: SwiftStore | RadosGateway, client: S3Client, proxy: CountingProxy, key: str
) -> None:
    put(server, key)
    device = device_of(client, key)
    made = calls(client)
    proxy.reset()
    for offset in range(0, 300_000, 60_000):
        assert device.pread(offset, 60_000) == CONTENT[offset : offset + 60_000]
    assert Counter(request.status for request in proxy.requests) == {206: 5}
    assert len(made) == 1


def test_threads_share_it(server: SwiftStore | RadosGateway, client: S3Client) -> None:
    put(server, "key")
    device = device_of(client, "key")
    made = calls(client)
    with ThreadPoolExecutor(32) as executor:
        read = executor.map(lambda offset: device.pread(offset, 3000), range(0, 300_000, 3000))
    assert b"".join(read) == CONTENT
    assert len(made) == 1


def test_a_replaced_object_is_noticed(server: SwiftStore | RadosGateway, client: S3Client) -> None:
    put(server, "key")
    device = device_of(client, "key")
    assert device.pread(0, 300_000) == CONTENT
    put(server, "key", CONTENT[::-1])
    with pytest.raises(ArchiveReplacedError, match="status 412"):
        device.pread(0, 10)
    server.client().delete_object(Bucket=BUCKET, Key="key")
    with pytest.raises(ArchiveReplacedError):
        device.pread(0, 10)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(403, "AccessDenied"),
        Answer(307, "TemporaryRedirect"),
        Answer(500, "InternalError"),
        Answer(503, "SlowDown"),
        Rewrite((("ETag", None),)),
        Rewrite((("Content-Range", None),)),
        WrongRange(),
    ],
    ids=str,
)
def test_after_a_fault_the_client_asks(
    server: SwiftStore | RadosGateway,
    client: S3Client,
    proxy: CountingProxy,
    fault: Answer | Rewrite | WrongRange,
) -> None:
    put(server, "key")
    device = device_of(client, "key")
    device.pread(0, 10)
    proxy.reset()
    made = calls(client)
    proxy.inject(fault)
    assert device.pread(5, 1000) == CONTENT[5:1005]
    assert len(proxy.requests) == 2
    assert len(made) == 1


def test_former_versions_are_read_by_their_ids(gateway: RadosGateway) -> None:
    bucket = own("ranged-versions")
    owner = gateway.client()
    owner.create_bucket(Bucket=bucket)
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    contents = [CONTENT, CONTENT[::-1]]
    made = [owner.put_object(Bucket=bucket, Key="a b+c", Body=content) for content in contents]
    with closing(make_s3_client(access=access(gateway, gateway.url))) as client:
        asked = calls(client)
        for content, version in zip(contents, made, strict=True):
            device = S3Device(
                client,
                bucket,
                "a b+c",
                etag=version["ETag"],
                size=len(content),
                version_id=version["VersionId"],
            )
            for offset in (0, 5, 10):
                assert device.pread(offset, 1000) == content[offset : offset + 1000]
    assert len(asked) == 4  # of each, the first and a preparation
    for version in made:
        owner.delete_object(Bucket=bucket, Key="a b+c", VersionId=version["VersionId"])
    owner.delete_bucket(Bucket=bucket)


def test_what_anybody_may_read_is_read_without_a_signature(gateway: RadosGateway) -> None:
    bucket = own("ranged-public")
    owner = gateway.client()
    owner.create_bucket(Bucket=bucket)
    owner.put_object(Bucket=bucket, Key="key", Body=CONTENT, ACL="public-read")
    etag = owner.head_object(Bucket=bucket, Key="key")["ETag"]
    anybody = StoreAccess(endpoint_url=gateway.url, region_name="us-east-1", is_anonymous=True)
    with closing(make_s3_client(access=anybody)) as client:
        asked = calls(client)
        device = S3Device(client, bucket, "key", etag=etag, size=len(CONTENT))
        for offset in (0, 5, 10):
            assert device.pread(offset, 1000) == CONTENT[offset : offset + 1000]
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket=bucket, Key="key", Body=b"")
    assert len(asked) == 2
    owner.delete_object(Bucket=bucket, Key="key")
    owner.delete_bucket(Bucket=bucket)


def test_a_forked_child_reads_on(server: SwiftStore | RadosGateway) -> None:
    put(server, "key")
    client = process_client(lambda: make_s3_client(access=access(server, server.url)))
    device = device_of(client, "key")
    assert device.pread(5, 1000) == CONTENT[5:1005]

    def read() -> bool:
        return all(device.pread(n, 1000) == CONTENT[n : n + 1000] for n in range(5))

    assert in_child(read)
    assert read()
    client.close()
