"""Object Lambda events: what is asked, where it stands, and what S3 is told."""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import b64encode
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from fixtures.shapes import text
from fixtures.tree import file
from s3archivefs_lambda.accounting import add
from s3archivefs_lambda.object_lambda.transport import ObjectLambda
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response
from s3archivefs_lambda.store.client import make_response_client
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.local_archives import (
    ask,
    content,
    location_of,
    operations_on,
    parse_page,
)
from tests.support.adapter.request_lines import logged_lines
from tests.support.aws.emf import metrics_of
from tests.support.aws.object_lambda_events import Operation
from tests.support.aws.recording_function import ROUTE, TOKEN, Function, event
from tests.support.images.fixtures import FIXTURES, make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from botocore.awsrequest import AWSPreparedRequest

    from s3archivefs_lambda.bucket.operations import Operations

ODD_NAMES = (
    "a b",
    "a+b",
    "100%",
    "a%2Fb",
    "what?partNumber=2",
    "hash#tag",
    "a&b=c;d",
    "ü日本\U0001f600",
    "\udcff\udc80",
    "new\nline\tand\x01",
    "<&>\"'",
    "[brackets]",
    " ",
)


@pytest.fixture(scope="module")
def odd_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tuple(file(name, name.encode("utf-8", "surrogateescape")) for name in ODD_NAMES)
    return make_image(tmp_path_factory.mktemp("odd"), tree)


@pytest.fixture(scope="module")
def odd_operations(odd_image: Path) -> Operations:
    return operations_on({"plain": FIXTURES["gzip"].image, "odd": odd_image})


@pytest.fixture
def function(odd_operations: Operations) -> Function:
    return Function(odd_operations)


# ---- GetObject -----------------------------------------------------------------------------------


def test_an_object_is_written_with_its_headers(
    function: Function, odd_operations: Operations
) -> None:
    written = function.get("plain/docs/guide.txt")
    told = ask(odd_operations, "HeadObject", S3Request(key="plain/docs/guide.txt")).headers
    assert written == {
        "StatusCode": 200,
        "Body": text(4596),
        "AcceptRanges": "bytes",
        "ContentLength": 4596,
        "ContentType": "text/plain",
        "ETag": told["ETag"],
        "LastModified": datetime(2017, 7, 14, 2, 40, 1, tzinfo=UTC),
        "Metadata": {
            "file-owner": "1000",
            "file-group": "100",
            "file-permissions": "0100644",
            "file-mtime": "1500000001000000000ns",
        },
    }


def test_headers_of_s3s_own_are_written_as_they_are_returned() -> None:
    headers = {"Content-Length": "0", "x-amz-version-id": "v", "x-amz-tagging-count": "2"}
    function = Function(FakeOperations(lambda _: S3Response(status=200, headers=dict(headers))))
    assert function.head("x")["headers"] == headers | {"Content-Length": 0}
    written = function.get("x")
    assert (written["VersionId"], written["TagCount"]) == ("v", 2)


def test_a_checksum_that_is_asked_for_is_written(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"content")
    summed = file("a", b"content", xattrs={"user.sha256": digest.hexdigest().encode()})
    function = Function(operations_on({"": make_image(tmp_path, (summed,))}))
    encoded = b64encode(digest.digest()).decode()
    enabled = {"X-Amz-Checksum-Mode": "ENABLED"}
    assert function.get("a", **enabled)["ChecksumSHA256"] == encoded
    assert "ChecksumSHA256" not in function.get("a", Range="bytes=0-4", **enabled)
    assert "ChecksumSHA256" not in function.get("a")


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=-1"}])
def test_an_empty_object_is_written(function: Function, headers: dict[str, str]) -> None:
    written = function.get("plain/empty.txt", **headers)
    assert "ContentRange" not in written
    assert (written["StatusCode"], written["ContentLength"], written["Body"]) == (200, 0, b"")


@pytest.mark.parametrize("name", ["Range", "range", "RANGE"])
def test_the_range_is_found_in_any_case(function: Function, name: str) -> None:
    written = function.get("plain/short.txt", **{name: "bytes=0-4"})
    assert written["StatusCode"] == 206
    assert written["ContentRange"] == "bytes 0-4/700"
    assert written["ContentLength"] == 5
    assert written["Body"] == text(5)


def test_range_and_part_number_may_come_in_the_query(function: Function) -> None:
    assert function.get("plain/short.txt", "Range=bytes%3D0-4")["Body"] == text(5)
    header_first = function.get("plain/short.txt", "Range=bytes%3D0-4", Range="bytes=0-1")
    assert header_first["Body"] == text(2)
    written = function.get("plain/short.txt", "partNumber=1")
    assert (written["StatusCode"], written["ContentRange"]) == (206, "bytes 0-699/700")
    assert function.get("plain/short.txt", "partNumber=2")["ErrorCode"] == "InvalidPartNumber"
    both = function.get("plain/short.txt", "partNumber=1", Range="bytes=0-4")
    assert (both["StatusCode"], both["ErrorCode"]) == (400, "InvalidRequest")


def test_of_a_repeated_parameter_the_first_counts(function: Function) -> None:
    assert function.get("plain/short.txt", "Range=bytes%3D0-4&Range=bytes%3D0-0")["Body"] == text(5)
    written = function.get(
        "plain/short.txt", "partNumber=1&partNumber=2&versionId=null&versionId=x"
    )
    assert written["StatusCode"] == 206


def test_of_a_repeated_parameter_of_a_listing_the_first_counts(function: Function) -> None:
    page = function.page("prefix=plain%2Fdocs%2F&prefix=odd%2F&max-keys=1&max-keys=2")
    assert (page.elements["Prefix"], page.elements["MaxKeys"]) == ("plain/docs/", "1")


def test_an_object_has_no_version_but_null(function: Function) -> None:
    assert function.get("plain/short.txt", "versionId=null")["Body"] == text(700)
    refused = function.get("plain/short.txt", "versionId=3HL4kqtJlcpXroDTDmJ")
    assert (refused["StatusCode"], refused["ErrorCode"]) == (400, "InvalidArgument")
    assert refused["ErrorMessage"] == "Invalid version id specified"


def test_head_of_a_version_or_a_range_in_the_query(function: Function) -> None:
    ranged = function.head("plain/short.txt", "Range=bytes%3D0-4&versionId=null")
    assert (ranged["statusCode"], ranged["headers"]["Content-Length"]) == (206, 5)
    head = function.head("plain/short.txt", "versionId=")
    assert (head["statusCode"], head["errorCode"]) == (400, "InvalidArgument")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_key_of_any_characters_is_that_key(function: Function, name: str) -> None:
    assert function.get(f"odd/{name}")["Body"] == name.encode("utf-8", "surrogateescape")
    # With a query behind it, which in the decoded URL could be a part of the key.
    written = function.get(f"odd/{name}", "partNumber=1&response-content-type=a/b")
    assert (written["StatusCode"], written["ContentType"]) == (206, "a/b")


def test_a_plus_in_the_path_of_the_signed_url_is_a_plus(function: Function) -> None:
    made = event(Operation.GET_OBJECT, "odd/a+b")
    context = made["getObjectContext"]
    context["inputS3Url"] = context["inputS3Url"].replace("%2B", "+")
    assert function.written(made)["Body"] == b"a+b"


def test_the_query_overrides_headers(function: Function) -> None:
    query = (
        "response-content-type=image%2Fsvg%2Bxml&response-cache-control=no-store"
        "&response-content-disposition=attachment%3B%20filename%3D%22a%20b%22"
        "&response-content-encoding=gzip&response-content-language=mi"
        "&response-expires=Thu%2C%2001%20Dec%201994%2016%3A00%3A00%20GMT"
    )
    written = function.get("plain/short.txt", query)
    assert written["ContentType"] == "image/svg+xml"
    assert written["CacheControl"] == "no-store"
    assert written["ContentDisposition"] == 'attachment; filename="a b"'
    assert written["ContentEncoding"] == "gzip"
    assert written["ContentLanguage"] == "mi"
    assert written["Expires"] == datetime(1994, 12, 1, 16, tzinfo=UTC)


def test_an_expiry_that_is_no_date_is_left_out(function: Function) -> None:
    for value in ("0", "never", "Fri%2C%2031%20Dec%209999%2023%3A59%3A59%20-1200"):
        written = function.get("plain/short.txt", f"response-expires={value}")
        assert written["StatusCode"] == 200
        assert "Expires" not in written


def test_a_header_that_cannot_be_sent_is_the_callers_error(function: Function) -> None:
    written = function.get("plain/short.txt", "response-content-type=a%0D%0Ab")
    assert (written["StatusCode"], written["ErrorCode"]) == (400, "InvalidArgument")


# ---- Errors of GetObject -------------------------------------------------------------------------


def test_an_error_is_written_without_a_body(function: Function) -> None:
    assert function.get("plain/none") == {
        "StatusCode": 404,
        "ErrorCode": "NoSuchKey",
        "ErrorMessage": "The specified key does not exist.",
    }
    assert function.get("unmapped")["ErrorCode"] == "NoSuchKey"


def test_a_range_that_is_not_there_is_416(function: Function) -> None:
    written = function.get("plain/short.txt", Range="bytes=700-")
    assert (written["StatusCode"], written["ErrorCode"]) == (416, "InvalidRange")
    assert written["ContentRange"] == "bytes */700"


def test_an_errors_message_is_one_line_of_ascii() -> None:
    def refuse(request: S3Request) -> S3Response:
        raise S3Error("SomeCode", 400, "so\n\u00fcber")

    assert Function(FakeOperations(refuse)).get("k")["ErrorMessage"] == "so ?ber"


def test_not_modified_is_an_answer_with_the_etag_and_no_error(function: Function) -> None:
    etag = function.get("plain/short.txt")["ETag"]
    written = function.get("plain/short.txt", If_None_Match=etag)
    modified = datetime.fromtimestamp(0, UTC)
    assert written == {"StatusCode": 304, "ETag": etag, "LastModified": modified}
    failed = function.get("plain/short.txt", If_Match='"other"')
    assert (failed["StatusCode"], failed["ErrorCode"]) == (412, "PreconditionFailed")


@pytest.mark.parametrize(("status", "written"), [(503, 503), (501, 500), (307, 500)])
def test_a_status_that_s3_does_not_take_becomes_500(status: int, written: int) -> None:
    def refuse(request: S3Request) -> S3Response:
        raise S3Error("SomeCode", status, "some message")

    assert Function(FakeOperations(refuse)).get("plain/short.txt") == {
        "StatusCode": written,
        "ErrorCode": "SomeCode",
        "ErrorMessage": "some message",
    }


def test_a_fault_of_the_program_is_500_with_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(request: S3Request) -> S3Response:
        raise ZeroDivisionError

    operations = FakeOperations(fail)
    function = Function(operations)
    made = event(Operation.GET_OBJECT, "plain/short.txt")
    assert function.written(made)["ErrorCode"] == "InternalError"
    listed = function.handle(event(Operation.LIST_OBJECTS_V2, "", "list-type=2"))
    operations.reset()
    assert (listed["statusCode"], listed["errorCode"]) == (500, "InternalError")
    assert made["xAmzRequestId"] in caplog.records[0].getMessage()
    assert caplog.records[0].exc_info is not None
    assert function.get("plain/short.txt")["StatusCode"] == 200


def test_an_error_is_told_to_every_caller() -> None:
    def refuse(request: S3Request) -> S3Response:
        raise S3Error("InternalError", 500, "malformed settings")

    function = Function(FakeOperations(refuse))
    told = {"errorCode": "InternalError", "errorMessage": "malformed settings", "statusCode": 500}
    assert function.head("x") == told
    assert function.list("") == told
    assert function.get("x") == {
        "StatusCode": 500,
        "ErrorCode": "InternalError",
        "ErrorMessage": "malformed settings",
    }


# ---- The body ------------------------------------------------------------------------------------


class Pieces:
    """A body that says whether it was closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = iter(pieces)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed = True


def function_with_body(body: Pieces, *, emf: bool = False) -> Function:
    response = S3Response(status=200, headers={"Content-Length": "6"}, body=body)
    return Function(FakeOperations(lambda _: response), emf=emf)


def test_a_body_that_breaks_off_fails_the_function() -> None:
    body = Pieces(b"abc", S3Error("InternalError", 500, "a bad block"))
    function = function_with_body(body)
    with pytest.raises(S3Error, match="a bad block"):
        function.handle(event(Operation.GET_OBJECT, "x"))
    assert body.closed
    assert function.client.written == []  # nothing else can be said once the body has begun


def test_a_body_is_closed_when_s3_refuses_it() -> None:
    body = Pieces(b"abcdef")
    function = function_with_body(body)
    function.client.error = ConnectionError("the caller went away")
    with pytest.raises(ConnectionError):
        function.handle(event(Operation.GET_OBJECT, "x"))
    assert body.closed


# ---- Events --------------------------------------------------------------------------------------


def test_the_url_may_be_whole_or_a_path(function: Function) -> None:
    whole = event(Operation.GET_OBJECT, "plain/short.txt", "Range=bytes%3D0-4")
    assert whole["userRequest"]["url"].startswith("https://")
    path = json.loads(json.dumps(whole))
    path["userRequest"]["url"] = "/plain/short.txt?Range=bytes=0-4"
    encoded = json.loads(json.dumps(whole))
    encoded["userRequest"]["url"] = "/plain/short%2Etxt?Range=bytes%3D0-4"
    for made in (whole, path, encoded):
        assert function.written(made)["Body"] == text(5)


def test_what_is_not_known_or_not_there_does_not_matter(function: Function) -> None:
    made = event(Operation.GET_OBJECT, "plain/short.txt")
    more = made | {"new": {"x": 1}, "getObjectContext": made["getObjectContext"] | {"newer": None}}
    context = {
        name: made["getObjectContext"][name]
        for name in ("inputS3Url", "outputRoute", "outputToken")
    }
    for changed in (more, {"getObjectContext": context}):
        assert function.written(changed)["Body"] == text(700)


@pytest.mark.parametrize("version", ["1.00", "1.5", "1.99"])
def test_any_minor_version_is_served(function: Function, version: str) -> None:
    made = event(Operation.GET_OBJECT, "plain/short.txt") | {"protocolVersion": version}
    assert function.written(made)["StatusCode"] == 200


def test_another_major_version_is_refused(function: Function) -> None:
    made = event(Operation.GET_OBJECT, "plain/short.txt") | {"protocolVersion": "2.0"}
    written = function.written(made)
    assert (written["StatusCode"], written["ErrorCode"]) == (400, "InvalidRequest")
    assert "2.0" in written["ErrorMessage"]
    made = event(Operation.HEAD_OBJECT, "plain/short.txt") | {"protocolVersion": "2.0"}
    assert function.handle(made)["statusCode"] == 400


@pytest.mark.parametrize(
    "made",
    [{}, {"Records": []}, {"getObjectContext": {}}, {"putObjectContext": {"inputS3Url": ""}}],
)
def test_what_is_no_event_is_a_value_error(function: Function, made: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an S3 Object Lambda event"):
        function.handle(made)
    assert function.client.written == []


def test_one_client_is_made_and_only_for_get_object(function: Function) -> None:
    function.head("plain/short.txt")
    function.page()
    assert function.clients == 0
    function.get("plain/short.txt")
    function.get("plain/none")
    assert function.clients == 1


# ---- HeadObject ----------------------------------------------------------------------------------


def test_connections_that_may_be_gone_are_not_used_again(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("s3archivefs_lambda.object_lambda.transport.time.time", lambda: now)
    for pause, closed in [(0, 0), (1, 0), (4, 0), (60, 1), (1, 1), (600, 2)]:
        now += pause  # while which Lambda may have frozen the instance
        function.get("plain/short.txt")
        assert function.client.closed == closed


def test_head_returns_the_headers_and_a_length_that_is_a_number(
    function: Function, odd_operations: Operations
) -> None:
    expected = ask(odd_operations, "HeadObject", S3Request(key="plain/short.txt")).headers
    assert function.head("plain/short.txt") == {
        "statusCode": 200,
        "headers": expected | {"Content-Length": 700},
    }


def test_head_of_a_range(function: Function) -> None:
    result = function.head("plain/short.txt", range="bytes=-7")
    assert result["statusCode"] == 206
    assert result["headers"]["Content-Length"] == 7
    assert result["headers"]["Content-Range"] == "bytes 693-699/700"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_head_of_a_key_of_any_characters(function: Function, name: str) -> None:
    length = len(name.encode("utf-8", "surrogateescape"))
    assert function.head(f"odd/{name}")["headers"]["Content-Length"] == length


def test_errors_of_head(function: Function) -> None:
    assert function.head("plain/none") == {
        "statusCode": 404,
        "errorCode": "NoSuchKey",
        "errorMessage": "The specified key does not exist.",
    }
    failed = function.head("plain/short.txt", If_Match='"other"')
    assert (failed["statusCode"], failed["errorCode"]) == (412, "PreconditionFailed")
    outside = function.head("plain/short.txt", Range="bytes=700-")
    assert (outside["statusCode"], outside["errorCode"]) == (416, "InvalidRange")
    assert outside["headers"] == {"Content-Range": "bytes */700"}


def test_not_modified_is_no_error_of_head(function: Function) -> None:
    etag = function.head("plain/short.txt")["headers"]["ETag"]
    result = function.head("plain/short.txt", If_None_Match=etag)
    assert result.keys() == {"statusCode", "headers"}
    assert result["statusCode"] == 304
    assert result["headers"]["ETag"] == etag


# ---- Listings ------------------------------------------------------------------------------------


def test_a_listing_returns_the_document_of_the_operations(
    function: Function, odd_operations: Operations
) -> None:
    response = ask(odd_operations, "ListObjectsV2", S3Request())
    assert function.list("") == {
        "statusCode": 200,
        "listResultXml": content(response).decode("utf-8"),
    }


def test_all_parameters_are_taken_from_the_signed_url(function: Function) -> None:
    page = function.page("prefix=plain%2F&delimiter=%2F&max-keys=2")
    assert page.items == [b"plain/block.txt", b"plain/docs/"]
    assert page.elements["MaxKeys"] == "2"
    token = quote(page.next_token or "", safe="")
    page = function.page(f"prefix=plain%2F&delimiter=%2F&max-keys=2&continuation-token={token}")
    assert page.items == [b"plain/empty.txt", b"plain/guide"]
    page = function.page("start-after=plain%2Fguide&max-keys=1&fetch-owner=true")
    assert page.items == [b"plain/noise.bin"]


def test_what_is_signed_goes_before_what_is_shown(function: Function) -> None:
    made = event(Operation.LIST_OBJECTS_V2, "", "list-type=2&prefix=odd%2F&encoding-type=url")
    made["userRequest"]["url"] += "?prefix=plain/&max-keys=0"
    page = parse_page(function.handle(made)["listResultXml"].encode())
    assert page.elements["Prefix"] == "odd/"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_prefix_of_any_characters(function: Function, name: str) -> None:
    raw = f"odd/{name}".encode("utf-8", "surrogateescape")
    page = function.page(f"prefix={quote(raw, safe='')}")
    assert [found.key for found in page.objects] == [raw]


def test_errors_of_listings(function: Function) -> None:
    assert function.list("max-keys=x") == {
        "statusCode": 400,
        "errorCode": "InvalidArgument",
        "errorMessage": "Provided max-keys not an integer or within integer range",
    }
    assert function.list("continuation-token=x")["errorCode"] == "InvalidArgument"
    assert function.list("continuation-token=")["errorCode"] == "InvalidArgument"
    assert function.list("encoding-type=")["errorCode"] == "InvalidArgument"


def test_version_1_of_listings_says_the_same_in_its_own_words(function: Function) -> None:
    asked = event(Operation.LIST_OBJECTS, "", "prefix=plain%2F&max-keys=2&encoding-type=url")
    page = parse_page(function.handle(asked)["listResultXml"].encode())
    in_version_2 = function.page("prefix=plain%2F&max-keys=2&encoding-type=url")
    assert page.objects == in_version_2.objects
    assert page.elements["Marker"] == ""


# ---- The request log -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (
            (Operation.GET_OBJECT, "plain/short.txt", ""),
            ("GetObject", "plain/short.txt", 200, None),
        ),
        (
            (Operation.GET_OBJECT, "odd/\udcff\udc80", ""),
            ("GetObject", "odd/\udcff\udc80", 200, None),
        ),
        ((Operation.GET_OBJECT, "plain/none", ""), ("GetObject", "plain/none", 404, "NoSuchKey")),
        (
            (Operation.HEAD_OBJECT, "plain/short.txt", ""),
            ("HeadObject", "plain/short.txt", 200, None),
        ),
        ((Operation.HEAD_OBJECT, "unmapped", ""), ("HeadObject", "unmapped", 404, "NoSuchKey")),
        ((Operation.LIST_OBJECTS_V2, "", "list-type=2"), ("ListObjectsV2", None, 200, None)),
        ((Operation.LIST_OBJECTS, "", ""), ("ListObjects", None, 200, None)),
        (
            (Operation.LIST_OBJECTS_V2, "", "list-type=2&max-keys=x"),
            ("ListObjectsV2", None, 400, "InvalidArgument"),
        ),
    ],
)
def test_each_event_is_one_line_of_the_request_log(
    function: Function,
    caplog: pytest.LogCaptureFixture,
    asked: tuple[Operation, str, str],
    line: tuple[str, str | None, int, str | None],
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    made = event(*asked)
    result = function.handle(made)
    (logged,) = logged_lines(caplog)
    assert logged.pop("ms") >= 0
    assert logged.pop("time").endswith("Z")
    del logged["archive"]
    written = function.client.written
    body = written[0].get("Body", b"") if written else result.get("listResultXml", "").encode()
    assert logged == {
        "operation": line[0],
        "access_key_id": "EXAMPLEACCESSKEY",
        "key": line[1],
        "status": line[2],
        "error": line[3],
        "bytes": len(body),
        "s3_requests": 0,
        "s3_bytes": 0,
        "cache_hits": 0,
        "cache_misses": 0,
        "request_id": made["xAmzRequestId"],
    }


@pytest.mark.parametrize(
    ("identity", "key_id"),
    [
        ({"accessKeyId": "AKID"}, "AKID"),
        ({"accessKeyId": "", "sessionContext": {}}, None),
        *(({}, None), (None, None), ("AKID", None), ([], None), ({"accessKeyId": 1}, None)),
    ],
)
def test_a_line_says_who_asked_where_the_event_does(
    function: Function, caplog: pytest.LogCaptureFixture, identity: object, key_id: str | None
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    made = event(Operation.HEAD_OBJECT, "plain/short.txt")
    assert function.handle(made | {"userIdentity": identity})["statusCode"] == 200
    del made["userIdentity"]
    assert function.handle(made)["statusCode"] == 200
    assert [line["access_key_id"] for line in logged_lines(caplog)] == [key_id, None]


def test_the_line_names_the_archives_that_were_asked(
    odd_operations: Operations, odd_image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    function = Function(odd_operations)
    function.get("plain/none")
    function.get("unmapped")
    function.handle(event(Operation.LIST_OBJECTS_V2, "", "list-type=2"))
    told = [line["archive"] for line in logged_lines(caplog)]
    plain, odd = str(location_of(FIXTURES["gzip"].image)), str(location_of(odd_image))
    assert told == [plain, None, f"{odd}, {plain}"]


def test_the_line_has_the_status_that_the_client_gets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(request: S3Request) -> S3Response:
        raise S3Error("SomeCode", 501, "some message")

    caplog.set_level(logging.INFO, "s3archivefs")
    assert Function(FakeOperations(refuse)).get("plain/short.txt")["StatusCode"] == 500
    (line,) = logged_lines(caplog)
    assert line["status"] == 500


def test_a_body_that_breaks_off_is_logged_with_the_bytes_that_went_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    body = Pieces(b"abc", S3Error("InternalError", 500, "a bad block"))
    function = function_with_body(body, emf=True)
    with pytest.raises(S3Error, match="a bad block"):
        function.handle(event(Operation.GET_OBJECT, "x"))
    (line,) = logged_lines(caplog)
    assert (line["status"], line["bytes"], line["Errors"]) == (200, 3, 1)


def test_a_line_says_what_its_event_alone_cost_body_included(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")

    def costly() -> Iterator[bytes]:
        add("s3_bytes", 5)
        yield b"abcdef"

    def answer(_: S3Request) -> S3Response:
        add("s3_requests", 2)
        return S3Response(status=200, headers={"Content-Length": "6"}, body=costly())

    function = Function(FakeOperations(answer))
    for _ in range(2):
        function.get("x")
        add("s3_requests")  # for no event
    costs = [(line["s3_requests"], line["s3_bytes"]) for line in logged_lines(caplog)]
    assert costs == [(2, 5), (2, 5)]


def test_lines_carry_metrics_where_they_are_asked_for(
    odd_operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    Function(odd_operations, emf=True).get("plain/short.txt")
    Function(odd_operations).get("plain/short.txt")
    with_metrics, plain = caplog.messages
    found = {metric.name: metric.value for metric in metrics_of(with_metrics)}
    assert (found["Requests"], found["BytesOut"]) == (1, 700)
    assert "_aws" not in json.loads(plain)


def test_what_is_no_event_has_no_line(function: Function, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    with pytest.raises(ValueError, match="not an S3 Object Lambda event"):
        function.handle({"Records": []})
    assert caplog.records == []


# ---- The real client -----------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "EXAMPLEACCESSKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example-secret")
    return monkeypatch


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, f"https://{ROUTE}.s3-object-lambda.us-east-1.amazonaws.com/WriteGetObjectResponse"),
        (
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            "http://127.0.0.1:9/WriteGetObjectResponse",
        ),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9/WriteGetObjectResponse"),
        (
            {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_S3": ""},
            f"https://{ROUTE}.s3-object-lambda.eu-west-1.amazonaws.com/WriteGetObjectResponse",
        ),
    ],
)
def test_boto3_streams_the_answer_to_the_route_or_to_the_custom_endpoint(
    odd_operations: Operations, aws: pytest.MonkeyPatch, environ: dict[str, str], url: str
) -> None:
    for name, value in environ.items():
        aws.setenv(name, value)
    sent: list[tuple[AWSPreparedRequest, bytes]] = []

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        body = cast("Any", request.body)
        sent.append((request, b"".join(iter(lambda: body.read(100), b""))))
        nothing: Any = SimpleNamespace(stream=lambda: [b""])
        return AWSResponse(request.url, 200, HTTPHeaders(), nothing)

    client = make_response_client()
    events: Any = client.meta.events
    events.register("before-send.s3.WriteGetObjectResponse", send)
    function = ObjectLambda(odd_operations, lambda: client)
    function.handle(event(Operation.GET_OBJECT, "plain/short.txt", Range="bytes=0-499"))
    client.close()
    ((request, body),) = sent
    assert request.url == url
    assert body == text(700)[:500]
    fields = {name.lower(): cast("Any", value) for name, value in request.headers.items()}
    headers = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in fields.items()
    }
    assert headers["x-amz-request-token"] == TOKEN
    assert headers["x-amz-fwd-status"] == "206"
    assert headers["x-amz-fwd-header-content-range"] == "bytes 0-499/700"
    assert headers["x-amz-fwd-header-content-type"] == "text/plain"
    assert headers["x-amz-fwd-header-last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert headers["x-amz-meta-file-permissions"] == "0100644"
    assert headers["content-length"] == "500"
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert "transfer-encoding" not in headers
