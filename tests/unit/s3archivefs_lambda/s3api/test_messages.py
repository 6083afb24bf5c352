"""S3's own rules, held against behaviour captured from Amazon S3."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs_lambda.s3api.conditions import check_preconditions, check_version
from s3archivefs_lambda.s3api.dates import http_date, parse_http_date
from s3archivefs_lambda.s3api.errors import invalid_argument, no_such_key
from s3archivefs_lambda.s3api.messages import (
    S3Error,
    S3Request,
    S3Response,
    query_parameters,
    xml_response,
)
from s3archivefs_lambda.s3api.ranges import ByteRange, parse_range, select_range
from tests.support.sdk import parsed_by_botocore

if TYPE_CHECKING:
    from collections.abc import Iterator

# ---- Ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "content_range"),
    [
        ("bytes=0-8", "bytes 0-8/10"),
        ("bytes=1-", "bytes 1-9/10"),
        ("bytes=-2", "bytes 8-9/10"),
        ("bytes=-15", "bytes 0-9/10"),
        ("bytes=0-100", "bytes 0-9/10"),
        ("bytes=0-0", "bytes 0-0/10"),
        ("bytes=9-9", "bytes 9-9/10"),
        (f"bytes=0-{10**30}", "bytes 0-9/10"),
    ],
)
def test_a_range_is_cut_to_the_object(header: str, content_range: str) -> None:
    part = parse_range(header, 10)
    assert part is not None
    assert part.content_range(10) == content_range
    first, last = content_range.removeprefix("bytes ").removesuffix("/10").split("-")
    assert part == ByteRange(int(first), int(last) + 1)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=1-0",
        "bytes=-1-",
        "bytes=0--1",
        "bytes=0-1,3-4,7-9",
        "0-1",
        "bytes=-",
        "bytes=",
        "bytes",
        "",
        "octets=0-1",
        "bytes=a-b",
        "bytes=\u0661-\u0662",  # digits, but not those of HTTP
        "bytes=0-" + "9" * 5000,
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_a_range_that_s3_does_not_serve_is_ignored(header: str) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=100-200", "bytes=10-", "bytes=10-10"])
def test_a_range_outside_the_object_is_416(header: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_range(header, 10)
    error = caught.value
    assert (error.code, error.status) == ("InvalidRange", 416)
    assert error.message == "The requested range is not satisfiable"
    assert error.extra == {"RangeRequested": header, "ActualObjectSize": "10"}
    assert error.headers == {"Content-Range": "bytes */10"}


@pytest.mark.parametrize("header", ["bytes=0-0", "bytes=0-", "bytes=-0", "bytes=5-9"])
def test_an_empty_object_satisfies_no_range(header: str) -> None:
    with pytest.raises(S3Error, match="InvalidRange"):
        parse_range(header, 0)


@pytest.mark.parametrize("header", ["bytes=-1", "bytes=-100"])
def test_the_last_bytes_of_an_empty_object_are_all_of_it(header: str) -> None:
    assert parse_range(header, 0) is None


@given(
    first=st.none() | st.integers(0, 40),
    last=st.none() | st.integers(0, 40),
    size=st.integers(0, 30),
)
def test_a_range_selects_what_slicing_selects(
    first: int | None, last: int | None, size: int
) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    positions = range(size)
    if first is not None:
        wanted = positions[first:] if last is None else positions[first : last + 1]
    else:
        wanted = positions[max(0, size - (last or 0)) :]
    if first is None:
        ignored = last is None or (last > 0 and size == 0)
    else:
        ignored = last is not None and last < first
    if ignored:
        assert parse_range(header, size) is None
    elif wanted:
        assert parse_range(header, size) == ByteRange(wanted[0], wanted[-1] + 1)
    else:
        with pytest.raises(S3Error, match="InvalidRange"):
            parse_range(header, size)


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9, -]*", fullmatch=True), st.integers(0, 99))
def test_any_range_header_gives_a_range_inside_the_object_or_416(header: str, size: int) -> None:
    with suppress(S3Error):
        part = parse_range(header, size)
        assert part is None or 0 <= part.start < part.stop <= size


@given(st.from_regex(r"[ \t]{0,2}(bytes|Bytes|x)? ?=?[ \t]?\d{0,3}\x0b? ?-? ?-?\d{0,3}[ \r,x]?"))
@example(" BYTES= 1 - 2 ")
@example("bytes =1-2")
@example("bytes=1 2-3")
@example("bytes=\u20031-2")
def test_white_space_counts_for_nothing_around_the_numbers_of_a_range(header: str) -> None:
    plain = re.fullmatch(r"(?ai)\s*(bytes=)\s*(\d*)\s*(-)\s*(\d*)\s*", header)
    assert parsed(header, 500) == (parsed("".join(plain.groups()), 500) if plain else None)


def parsed(header: str, size: int) -> ByteRange | str | None:
    """What parse_range returns, or the code of what it raises."""
    try:
        return parse_range(header, size)
    except S3Error as error:
        return error.code


def test_the_range_comes_from_the_header_alone() -> None:
    assert select_range(S3Request(headers={"range": "bytes=0-0"}), 8) == ByteRange(0, 1)
    assert select_range(S3Request(query={"Range": "bytes=2-3"}), 8) is None
    assert select_range(S3Request(), 8) is None


# ---- Queries -------------------------------------------------------------------------------------


def test_of_a_repeated_parameter_the_first_counts() -> None:
    assert query_parameters([("a", "1"), ("b", ""), ("a", "2"), ("b", "3")]) == {"a": "1", "b": ""}


# ---- Versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"versionId": "null"}])
def test_there_is_one_version(query: dict[str, str]) -> None:
    check_version(query)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "Version id cannot be the empty string"),
        ("NULL", "Invalid version id specified"),
        ("L4kqtJlcpXroDTDmpUMLUo", "Invalid version id specified"),
    ],
)
def test_there_is_no_other_version(version: str, message: str) -> None:
    with pytest.raises(S3Error) as caught:
        check_version({"versionId": version})
    assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)
    assert caught.value.message == message
    assert caught.value.extra == {"ArgumentName": "versionId", "ArgumentValue": version}


# ---- Part numbers --------------------------------------------------------------------------------


def test_part_1_is_the_whole_object() -> None:
    part = select_range(S3Request(query={"partNumber": "1"}), 8)
    assert part is not None
    assert part.content_range(8) == "bytes 0-7/8"


def test_part_1_of_an_empty_object_is_no_range() -> None:
    assert select_range(S3Request(query={"partNumber": "1"}), 0) is None


@pytest.mark.parametrize("number", ["2", "10000"])
def test_there_is_no_second_part(number: str) -> None:
    with pytest.raises(S3Error) as caught:
        select_range(S3Request(query={"partNumber": number}), 8)
    error = caught.value
    assert (error.code, error.status) == ("InvalidPartNumber", 416)
    assert error.message == "The requested partnumber is not satisfiable"
    assert error.extra == {"PartNumberRequested": number, "ActualPartCount": "1"}


@pytest.mark.parametrize("number", ["0", "-1", "10001", "", "one", "1.0", "9" * 5000, "\u0661"])
def test_a_part_number_is_an_integer_from_1_to_10000(number: str) -> None:
    with pytest.raises(S3Error) as caught:
        select_range(S3Request(query={"partNumber": number}), 8)
    assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)
    assert caught.value.extra == {"ArgumentName": "partNumber", "ArgumentValue": number}


def test_a_range_and_a_part_number_exclude_each_other() -> None:
    request = S3Request(query={"partNumber": "1"}, headers={"range": "bytes=0-1"})
    with pytest.raises(S3Error) as caught:
        select_range(request, 8)
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)
    assert caught.value.message == "Cannot specify both Range header and partNumber query parameter"


# ---- Preconditions -------------------------------------------------------------------------------

ETAG = '"0123456789abcdef-1"'
MODIFIED = 1_600_000_000
AT, BEFORE, AFTER = (http_date(MODIFIED + seconds) for seconds in (0, -1, 1))
PASSES = None


def outcome(headers: dict[str, str], modified: float = MODIFIED) -> tuple[int, str] | None:
    """Status and condition or code of what the preconditions raise, or None."""
    try:
        check_preconditions(headers, ETAG, modified)
    except S3Error as error:
        return error.status, error.extra.get("Condition", error.code)
    return None


MATCH_FAILS = (412, "If-Match")
UNMODIFIED_FAILS = (412, "If-Unmodified-Since")
NOT_MODIFIED = (304, "NotModified")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if-match": ETAG}, PASSES),
        ({"if-match": ETAG.strip('"')}, PASSES),
        ({"if-match": "*"}, PASSES),
        ({"if-match": f'"other", {ETAG}'}, PASSES),
        ({"if-match": '"other"'}, MATCH_FAILS),
        ({"if-match": ""}, MATCH_FAILS),
        ({"if-none-match": ETAG}, NOT_MODIFIED),
        ({"if-none-match": ETAG.strip('"')}, NOT_MODIFIED),
        ({"if-none-match": "W/" + ETAG}, NOT_MODIFIED),
        ({"if-none-match": "*"}, NOT_MODIFIED),
        ({"if-none-match": '"other"'}, PASSES),
        ({"if-unmodified-since": AT}, PASSES),
        ({"if-unmodified-since": AFTER}, PASSES),
        ({"if-unmodified-since": BEFORE}, UNMODIFIED_FAILS),
        ({"if-modified-since": AT}, NOT_MODIFIED),
        ({"if-modified-since": AFTER}, NOT_MODIFIED),
        ({"if-modified-since": BEFORE}, PASSES),
        ({"if-modified-since": http_date(time.time() + 86_400)}, PASSES),  # the future is ignored
    ],
)
def test_one_precondition(headers: dict[str, str], expected: tuple[int, str] | None) -> None:
    assert outcome(headers) == expected


def test_of_four_failing_preconditions_each_hides_those_behind_it() -> None:
    failing = {
        "if-match": '"other"',
        "if-unmodified-since": BEFORE,
        "if-none-match": ETAG,
        "if-modified-since": AT,
    }
    seen = []
    while failing:
        seen.append(outcome(failing))
        del failing[next(iter(failing))]
    assert seen == [MATCH_FAILS, UNMODIFIED_FAILS, NOT_MODIFIED, NOT_MODIFIED]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if-match": ETAG, "if-unmodified-since": BEFORE}, PASSES),
        ({"if-match": '"other"', "if-unmodified-since": AFTER}, MATCH_FAILS),
        ({"if-none-match": ETAG, "if-modified-since": BEFORE}, NOT_MODIFIED),
        ({"if-none-match": '"other"', "if-modified-since": AT}, PASSES),
        ({"if-match": ETAG, "if-none-match": ETAG}, NOT_MODIFIED),
    ],
)
def test_an_etag_precondition_rules_out_its_date(
    headers: dict[str, str], expected: tuple[int, str] | None
) -> None:
    assert outcome(headers) == expected


def test_times_count_in_whole_seconds() -> None:
    assert outcome({"if-modified-since": AT}, MODIFIED + 0.9) == NOT_MODIFIED
    assert outcome({"if-unmodified-since": AT}, MODIFIED + 0.9) is None


def test_not_modified_carries_the_etag_and_the_date() -> None:
    with pytest.raises(S3Error) as caught:
        check_preconditions({"if-none-match": ETAG}, ETAG, MODIFIED)
    assert caught.value.headers == {"ETag": ETAG, "Last-Modified": AT}


def test_a_failed_precondition_has_s3s_message() -> None:
    with pytest.raises(S3Error) as caught:
        check_preconditions({"if-match": "x"}, ETAG, MODIFIED)
    assert caught.value.code == "PreconditionFailed"
    assert caught.value.message == "At least one of the pre-conditions you specified did not hold"


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX+11")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    "text",
    [
        "Sun, 13 Sep 2020 12:26:40 GMT",
        "Sunday, 13-Sep-20 12:26:40 GMT",
        "Sun Sep 13 12:26:40 2020",  # C's asctime, which names no zone
        "Sun, 13 Sep 2020 14:26:40 +0200",
    ],
)
def test_the_three_forms_of_http_dates_mean_utc_on_any_machine(text: str) -> None:
    assert parse_http_date(text) == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


@given(st.text(max_size=40))
@example("Wed, 21 Oct 2015 07:28:00 +99999999999999999999")
@example("Fri, 31 Dec 9999 23:59:59 -1200")
@example("")
def test_a_date_that_is_none_is_ignored(text: str) -> None:
    if parse_http_date(text) is None:
        assert outcome({"if-unmodified-since": text, "if-modified-since": text}) is None


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1_600_000_000.9, "Sun, 13 Sep 2020 12:26:40 GMT"),
        (2**32 - 1, "Sun, 07 Feb 2106 06:28:15 GMT"),
    ],
)
def test_dates_of_headers_are_gmt(seconds: float, text: str) -> None:
    assert http_date(seconds) == text


# ---- Errors --------------------------------------------------------------------------------------


def elements(document: bytes) -> dict[str, str]:
    root = ET.fromstring(document)  # noqa: S314 -- made by the code under test
    assert root.tag == "Error"
    return {child.tag: child.text or "" for child in root}


def test_an_error_is_xml_with_the_elements_of_s3() -> None:
    document = no_such_key("a/b").to_xml("REQUEST", "HOST")
    assert document.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
    )
    assert elements(document) == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "Key": "a/b",
        "RequestId": "REQUEST",
        "HostId": "HOST",
    }


def test_an_invalid_argument_names_the_argument_and_its_value() -> None:
    error = invalid_argument("no", "max-keys", "<&>")
    assert error.status == 400
    told = elements(error.to_xml("R"))
    assert (told["ArgumentName"], told["ArgumentValue"]) == ("max-keys", "<&>")


@given(st.text())
@example("\x00\x0b\x1f\ud800\udcff\ufffe\uffff")
@example("]]>&amp;<x>\r\n\t\u0085\u2028")
def test_any_text_makes_a_well_formed_error_that_keeps_what_xml_can_hold(key: str) -> None:
    def is_character(code: int) -> bool:  # XML 1.0, section 2.2
        return (
            code in {0x9, 0xA, 0xD}
            or 0x20 <= code <= 0xD7FF
            or 0xE000 <= code <= 0xFFFD
            or code >= 0x10000
        )

    expected = "".join(letter if is_character(ord(letter)) else "\ufffd" for letter in key)
    assert elements(no_such_key(key).to_xml("R"))["Key"] == expected


def test_an_sdk_reads_the_error() -> None:
    told = parsed_by_botocore("GetObject", 404, no_such_key("k").to_xml("R", "H"))["Error"]
    assert (told["Code"], told["Key"]) == ("NoSuchKey", "k")
    assert told["Message"] == "The specified key does not exist."


# ---- Responses -----------------------------------------------------------------------------------


def test_a_document_is_a_response_with_its_length() -> None:
    response = xml_response(b"<x/>")
    assert response.status == 200
    assert response.headers == {"Content-Type": "application/xml", "Content-Length": "4"}
    assert b"".join(response.body) == b"<x/>"
    response.close()


def test_closing_a_response_closes_its_body() -> None:
    closed = []

    def body() -> Iterator[bytes]:
        try:
            yield b"first"
            yield b"second"
        finally:
            closed.append(True)

    response = S3Response(status=200, headers={}, body=body())
    assert next(iter(response.body)) == b"first"
    response.close()
    assert closed == [True]
