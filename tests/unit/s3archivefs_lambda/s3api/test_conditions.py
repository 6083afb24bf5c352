"""Versions and preconditions, against behaviour captured from Amazon S3."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs_lambda.s3api.conditions import check_preconditions, check_version
from s3archivefs_lambda.s3api.dates import http_date, parse_http_date
from s3archivefs_lambda.s3api.messages import S3Error

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


@given(st.text(max_size=40))
@example("Wed, 21 Oct 2015 07:28:00 +99999999999999999999")
@example("Fri, 31 Dec 9999 23:59:59 -1200")
@example("")
def test_a_date_that_is_none_is_ignored(text: str) -> None:
    if parse_http_date(text) is None:
        assert outcome({"if-unmodified-since": text, "if-modified-since": text}) is None
