"""The request log, held against what the S3 server was asked and what the client was told."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws.emf import metrics_of
from tests.support.proxy.counting_proxy import Answer, CountingProxy
from tests.support.servers.transports import BUCKET, STORE_BUCKET, open_transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

MISSING = f"s3://{STORE_BUCKET}/missing.sqfs"


@pytest.fixture(params=["object-lambda", "endpoint"])
def transport_name(request: pytest.FixtureRequest) -> str:
    """Both transports."""
    name: str = request.param
    return name


@dataclass
class Told:
    """What came of a request: at the client, and at the proxy in front of the store."""

    request_id: str
    status: int
    body_bytes: int
    s3_requests: int
    s3_bytes: int


@dataclass
class Reader:
    """A client whose requests to the store are counted. `lines`, by request id, and `raw` are what
    the server has logged of its requests, once it has stopped.
    """

    client: Any
    """Of boto3."""
    proxy: CountingProxy
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    raw: list[str] = field(default_factory=list)

    def get(self, key: str, byte_range: str = "bytes=0-") -> Told:
        return self._ask("get_object", Key=key, Range=byte_range)

    def head(self, key: str) -> Told:
        return self._ask("head_object", Key=key)

    def list(self, **parameters: Any) -> Told:  # noqa: ANN401 -- boto3's
        return self._ask("list_objects_v2", **parameters)

    def _ask(self, operation: str, **parameters: Any) -> Told:  # noqa: ANN401 -- boto3's
        self.proxy.reset()
        answer: Any
        try:
            answer = getattr(self.client, operation)(Bucket=BUCKET, **parameters)
            if "Body" in answer:
                with answer["Body"] as body:
                    body.read()
        except ClientError as error:
            answer = error.response
        asked = self.proxy.requests
        metadata = answer["ResponseMetadata"]
        length = 0 if operation == "head_object" else metadata["HTTPHeaders"]["content-length"]
        return Told(
            request_id=metadata["RequestId"],
            status=metadata["HTTPStatusCode"],
            body_bytes=int(length),
            s3_requests=len(asked),
            s3_bytes=sum(request.bytes_sent for request in asked),
        )


@contextmanager
def cold(
    name: str, store: SwiftStore, directory: Path, mappings: dict[str, str], **settings: str
) -> Iterator[Reader]:
    """A fresh process with an empty cache; its log is there afterwards."""
    with CountingProxy(store.url) as proxy:
        with open_transport(
            name, store, directory, mappings, store_url=proxy.url, settings=settings
        ) as transport:
            reader = Reader(transport.client, proxy)
            yield reader
            # The function is asked for one thing at a time, and returns this answer: all lines
            # before have been written.
            reader.head("no/such/key")
            written = transport.log_lines()
        if name == "endpoint":
            written = transport.log_lines()  # it has stopped, and finished its requests before
    reader.raw = [line for line in written if '"request_id"' in line]
    reader.lines = {line["request_id"]: line for line in map(json.loads, reader.raw)}


def costs(lines: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(line["s3_requests"], line["s3_bytes"]) for line in lines]


def test_lines_say_what_the_store_and_the_client_saw(
    transport_name: str,
    store: SwiftStore,
    tmp_path: Path,
    archive: str,
    archive_without_metadata: str,
) -> None:
    mappings = {"a": archive, "b": archive_without_metadata}
    with cold(transport_name, store, tmp_path, mappings) as reader:
        told = [
            reader.get("a/json/decoder.py"),
            reader.get("a/json/decoder.py"),
            reader.get("a/email/message.py", "bytes=10-19"),
            reader.get("a/no such file"),
            reader.list(Prefix="b/json/"),
            reader.list(Prefix="b/json/"),
            reader.list(StartAfter="a/y"),  # of both
            reader.list(Delimiter="/"),  # of the prefixes alone
            reader.head("b/abc.py"),
            reader.get("unmapped/key"),
        ]
    lines = [reader.lines[each.request_id] for each in told]
    assert costs(lines) == [(each.s3_requests, each.s3_bytes) for each in told]
    assert [each.s3_requests > 0 for each in told] == [
        *(True, False, True, False),
        *(True, False, False, False, False, False),
    ]
    assert [line["status"] for line in lines] == [206] * 3 + [404] + [200] * 5 + [404]
    assert [line["status"] for line in lines] == [each.status for each in told]
    assert [line["operation"] for line in lines] == [
        *["GetObject"] * 4,
        *["ListObjectsV2"] * 4,
        "HeadObject",
        "GetObject",
    ]
    assert [line["key"] for line in lines[-3:]] == [None, "b/abc.py", "unmapped/key"]
    assert [line["archive"] for line in lines] == [
        *[archive] * 4,
        *[archive_without_metadata] * 2,
        f"{archive}, {archive_without_metadata}",
        None,
        archive_without_metadata,
        None,
    ]
    for line, each in zip(lines, told, strict=True):
        if line["status"] < 400:
            assert line["bytes"] == each.body_bytes
        assert ("method" in line) == (transport_name == "endpoint")
        assert (line["cache_misses"] > 0) <= (line["s3_requests"] > 0)
    assert lines[2]["cache_misses"] > 0
    assert not any("_aws" in line for line in lines)


def test_what_is_read_ahead_is_in_the_line_of_the_request_that_reads(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive_of_large_file: str
) -> None:
    with cold(transport_name, store, tmp_path, {"a": archive_of_large_file}) as reader:
        first = reader.get("a/large.bin", "bytes=1000000-20999999")
        again = reader.get("a/large.bin", "bytes=1000000-20999999")
    assert first.s3_bytes > 20_000_000
    assert first.s3_requests > 5
    assert again.s3_requests == 0
    lines = [reader.lines[each.request_id] for each in (first, again)]
    assert costs(lines) == [(each.s3_requests, each.s3_bytes) for each in (first, again)]
    assert [line["bytes"] for line in lines] == [20_000_000] * 2
    assert lines[0]["cache_misses"] >= 20_000_000 // (128 << 10)
    assert lines[1]["cache_misses"] == 0
    assert lines[1]["cache_hits"] >= 20_000_000 // (128 << 10)


def test_errors_and_retries_are_found_by_the_id_that_the_client_was_told(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive: str
) -> None:
    mappings = {"a": archive, "missing": MISSING}
    with cold(transport_name, store, tmp_path, mappings) as reader:
        reader.proxy.inject(Answer(503))
        retried = reader.head("a/abc.py")
        missing = reader.get("missing/a")
    assert retried.status == 200
    line = reader.lines[retried.request_id]
    assert line["s3_requests"] == retried.s3_requests == 3
    line = reader.lines[missing.request_id]
    assert (line["status"], line["archive"]) == (404, MISSING)
    # Of archives alone bytes are counted, not of the store's error documents.
    assert (line["s3_requests"], line["s3_bytes"]) == (missing.s3_requests, 0)


def test_lines_are_metrics_on_demand(
    transport_name: str, store: SwiftStore, tmp_path: Path, archive: str
) -> None:
    emf = {"S3ARCHIVEFS_METRICS": "emf"}
    with cold(transport_name, store, tmp_path, {"a": archive}, **emf) as reader:
        got = reader.get("a/json/decoder.py")
        reader.get("a/no such file")
    assert len(reader.raw) == 3
    metrics = [metric for line in reader.raw for metric in metrics_of(line)]
    total = {
        name: sum(
            metric.value for metric in metrics if (metric.name, metric.dimensions) == (name, ())
        )
        for name in {metric.name for metric in metrics}
    }
    assert (total["Requests"], total["ClientErrors"], total["Errors"]) == (3, 2, 0)
    assert (total["S3Requests"], total["S3Bytes"]) == (got.s3_requests, got.s3_bytes)
    assert total["BytesOut"] >= got.body_bytes
