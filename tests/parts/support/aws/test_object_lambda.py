"""The Object Lambda stand-in, with the real runtime client, the real boto3 and a real store."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from botocore.response import StreamingBody

from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.servers.loopback_server import PIECE_BYTES
from tests.support.servers.swift_store import SwiftStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

ODD_KEY = "a b/ü+%?#&=.txt"
ODD_PATH = "/a%20b/%C3%BC%2B%25%3F%23%26%3D.txt"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftStore]:
    with SwiftStore.start(tmp_path_factory.mktemp("swift")) as store:
        store.client().create_bucket(Bucket="archives")
        store.client().put_object(Bucket="archives", Key="a", Body=b"0123456789")
        yield store


@pytest.fixture(scope="module")
def access_point(store: SwiftStore) -> Iterator[AccessPoint]:
    with AccessPoint(store.url, payload="a payload") as access_point:
        yield access_point


@pytest.fixture(scope="module")
def fifo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fifo") / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture(scope="module")
def function(store: SwiftStore, access_point: AccessPoint, fifo: Path) -> Iterator[RuntimeApi]:
    with RuntimeApi(
        store.environ(endpoint_url=access_point.url) | {"FIFO": str(fifo)},
        handler="tests.parts.support.aws.answering_function.handler",
    ) as function:
        access_point.function = function
        yield function


@pytest.fixture(scope="module")
def caller(store: SwiftStore, access_point: AccessPoint, function: RuntimeApi) -> S3Client:
    return store.client(store.stranger, endpoint_url=access_point.url)


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the error that the caller sees."""
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def echoed_event(caller: S3Client, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
    event: dict[str, Any] = json.loads(
        caller.get_object(Bucket="archive", **parameters)["Body"].read()
    )
    return event


def test_get_object_carries_the_key_as_the_caller_encoded_it(caller: S3Client) -> None:
    event = echoed_event(caller, Key=ODD_KEY)
    assert set(event["getObjectContext"]) == {"inputS3Url", "outputRoute", "outputToken"}
    assert urlsplit(event["getObjectContext"]["inputS3Url"]).path == ODD_PATH
    assert event["userRequest"]["url"].endswith(f".amazonaws.com/{ODD_KEY}")


def test_get_object_presigns_the_version_and_shows_the_rest_elsewhere(caller: S3Client) -> None:
    event = echoed_event(
        caller,
        Key="k",
        VersionId="v1",
        PartNumber=1,
        ResponseContentType="text/html",
        IfNoneMatch='"tag"',
    )
    presigned = parse_qs(urlsplit(event["getObjectContext"]["inputS3Url"]).query)
    assert presigned["versionId"] == ["v1"]
    assert presigned["X-Amz-SignedHeaders"] == ["host;x-amz-checksum-mode"]
    assert not presigned.keys() & {"partNumber", "response-content-type"}
    shown = parse_qs(urlsplit(event["userRequest"]["url"]).query)
    assert shown["partNumber"] == ["1"]
    assert shown["response-content-type"] == ["text/html"]
    assert event["userRequest"]["headers"]["If-None-Match"] == '"tag"'


def test_headers_keep_their_case_and_lose_what_authorizes(
    access_point: AccessPoint, function: RuntimeApi
) -> None:
    address = urlsplit(access_point.url)
    with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as connection:
        connection.putrequest("GET", "/archive/k")
        connection.putheader("rAnGe", "bytes=0-1")
        connection.putheader("X-Twice", "1")
        connection.putheader("x-twice", "2")
        connection.putheader("Authorization", "AWS4-HMAC-SHA256 secret")
        connection.putheader("X-Amz-Security-Token", "secret")
        connection.endheaders()
        headers = json.loads(connection.getresponse().read())["userRequest"]["headers"]
    assert headers.pop("Host").endswith(".s3-object-lambda.us-east-1.amazonaws.com")
    assert headers == {"Accept-Encoding": "identity", "rAnGe": "bytes=0-1", "X-Twice": "1,2"}


def test_an_event_has_the_common_members(caller: S3Client) -> None:
    event = echoed_event(caller, Key="k")
    assert event["protocolVersion"] == "1.00"
    assert event["configuration"]["payload"] == "a payload"
    common = {"xAmzRequestId", "configuration", "userRequest", "userIdentity", "protocolVersion"}
    assert event.keys() - common == {"getObjectContext"}
    assert common < event.keys()


def test_head_object_is_answered_from_the_result(
    access_point: AccessPoint, caller: S3Client
) -> None:
    head = caller.head_object(Bucket="archive", Key="k", Range="bytes=0-6")
    assert (head["ContentLength"], head["ETag"], head["Metadata"]) == (7, '"tag"', {"a": "b"})
    event = access_point.events[-1]
    assert set(event["headObjectContext"]) == {"inputS3Url"}
    assert event["userRequest"]["headers"]["Range"] == "bytes=0-6"


def test_list_objects_v2_carries_all_parameters_presigned(
    access_point: AccessPoint, caller: S3Client
) -> None:
    listing = caller.list_objects_v2(
        Bucket="archive", Prefix="a b/ü+", Delimiter="/", StartAfter="x", MaxKeys=5
    )
    assert [entry["Key"] for entry in listing["Contents"]] == ["ü"]
    event = access_point.events[-1]
    assert set(event["listObjectsV2Context"]) == {"inputS3Url"}
    url = urlsplit(event["listObjectsV2Context"]["inputS3Url"])
    presigned = {
        name: values[0]
        for name, values in parse_qs(url.query).items()
        if not name.startswith("X-Amz-")
    }
    assert url.path == "/"
    assert presigned == {
        "list-type": "2",
        "prefix": "a b/ü+",
        "delimiter": "/",
        "start-after": "x",
        "max-keys": "5",
        "encoding-type": "url",
    }
    assert urlsplit(event["userRequest"]["url"]).query == ""


def test_list_objects_v1_has_a_context_of_its_own(
    access_point: AccessPoint, caller: S3Client
) -> None:
    caller.list_objects(Bucket="archive", Marker="m")
    context = access_point.events[-1]["listObjectsContext"]
    assert parse_qs(urlsplit(context["inputS3Url"]).query)["marker"] == ["m"]


@pytest.mark.parametrize("key", ["length", "chunks"])
def test_a_long_body_arrives_whole_and_is_never_held_whole(
    key: str, access_point: AccessPoint, caller: S3Client
) -> None:
    access_point.peak_buffered = 0
    response = caller.get_object(Bucket="archive", Key=key)
    assert response["Body"].read() == b"x" * 5_000_000
    assert ("ContentLength" in response) == (key == "length")
    assert 0 < access_point.peak_buffered <= PIECE_BYTES


def test_the_caller_gets_the_first_bytes_before_the_function_has_the_last(
    caller: S3Client, fifo: Path
) -> None:
    body = caller.get_object(Bucket="archive", Key="from-fifo")["Body"]
    assert isinstance(body, StreamingBody)
    assert body.read(5) == b"first"
    # The function is waiting for this, so it cannot have finished its response.
    fifo.write_bytes(b" and last")
    assert body.read() == b" and last"


def test_a_token_is_good_for_one_response(caller: S3Client, function: RuntimeApi) -> None:
    assert caller.get_object(Bucket="archive", Key="twice")["Body"].read() == b"first"
    caller.get_object(Bucket="archive", Key="k")  # one at a time: "twice" has ended by now
    assert "refused ValidationError 400" in function.log


@pytest.mark.parametrize(
    "key", ["bad-status", "bad-route", "bad-code", "error-and-body", "error-and-success"]
)
def test_an_invalid_response_fails_for_caller_and_function(
    key: str, caller: S3Client, function: RuntimeApi
) -> None:
    seen = len(function.log)
    assert refusal(lambda: caller.get_object(Bucket="archive", Key=key)) == (
        400,
        "LambdaInvalidResponse",
    )
    caller.head_object(Bucket="archive", Key="k")  # waits until the function has ended
    assert "refused ValidationError 400" in function.log[seen:]


def test_a_function_that_does_not_respond_fails_the_caller(caller: S3Client) -> None:
    assert refusal(lambda: caller.get_object(Bucket="archive", Key="nothing")) == (
        500,
        "LambdaResponseNotReceived",
    )


def test_a_function_that_raises_fails_the_caller(caller: S3Client) -> None:
    assert refusal(lambda: caller.get_object(Bucket="archive", Key="raise")) == (
        500,
        "LambdaRuntimeError",
    )
    assert refusal(lambda: caller.head_object(Bucket="archive", Key="raise")) == (500, "500")


def test_a_body_that_breaks_off_is_truncated_for_the_caller(caller: S3Client) -> None:
    body = caller.get_object(Bucket="archive", Key="broken")["Body"]
    with pytest.raises(ResponseStreamingError):
        body.read()
    assert caller.get_object(Bucket="archive", Key="short")["Body"].read() == b"45"


def test_a_caller_that_leaves_is_reported_to_the_function(
    access_point: AccessPoint, caller: S3Client, function: RuntimeApi
) -> None:
    address = urlsplit(access_point.url)
    with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as connection:
        connection.request("GET", "/archive/length")
        with connection.getresponse() as response:
            assert response.read(1) == b"x"
    caller.head_object(Bucket="archive", Key="k")  # waits until the function has ended
    assert "refused ConnectionClosedByRequester 400" in function.log


@pytest.mark.parametrize("key", ["malformed", "no-length"])
def test_a_malformed_result_is_an_invalid_response(key: str, caller: S3Client) -> None:
    assert refusal(lambda: caller.head_object(Bucket="archive", Key=key)) == (400, "400")


def test_the_function_reads_the_store_through_the_access_point(caller: S3Client) -> None:
    assert caller.get_object(Bucket="archive", Key="archive")["Body"].read() == b"234"


def test_requests_for_other_buckets_reach_the_store_unaltered(
    store: SwiftStore, access_point: AccessPoint, function: RuntimeApi, tmp_path: Path
) -> None:
    owner = store.client(endpoint_url=access_point.url)
    content = os.urandom(9_000_000)
    (tmp_path / "large").write_bytes(content)
    owner.upload_file(str(tmp_path / "large"), "archives", "large")
    assert owner.head_object(Bucket="archives", Key="large")["ContentLength"] == len(content)
    assert owner.get_object(Bucket="archives", Key="large")["Body"].read() == content
    assert owner.list_objects_v2(Bucket="archives", Prefix="l")["KeyCount"] == 1
    owner.delete_object(Bucket="archives", Key="large")
    assert refusal(lambda: owner.get_object(Bucket="archives", Key="large")) == (404, "NoSuchKey")
    stranger = store.client(store.stranger, endpoint_url=access_point.url)
    assert refusal(lambda: stranger.get_object(Bucket="archives", Key="a")) == (403, "AccessDenied")


def test_a_restart_makes_the_next_invocation_cold(caller: S3Client, function: RuntimeApi) -> None:
    def invocations() -> int:
        return int(caller.get_object(Bucket="archive", Key="invocations")["Body"].read())

    function.restart()
    cold_starts = function.cold_starts
    assert [invocations(), invocations()] == [1, 2]
    function.restart()
    assert invocations() == 1
    assert function.cold_starts == cold_starts + 2


def test_a_function_that_takes_too_long_is_ended(
    caller: S3Client, function: RuntimeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller.head_object(Bucket="archive", Key="k")  # so that it is warm
    with monkeypatch.context() as patch:
        patch.setattr(function, "timeout", 0.5)
        assert refusal(lambda: caller.get_object(Bucket="archive", Key="hang")) == (
            500,
            "LambdaTimeout",
        )
    assert caller.get_object(Bucket="archive", Key="invocations")["Body"].read() == b"1"
