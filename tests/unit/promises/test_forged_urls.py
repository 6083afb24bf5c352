"""Presigned URLs as an attacker would write them, and what keys of few prefixes would reach.

Each has its one right outcome. They are signed by the specification, and sent as bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.adapter.attacked_endpoint import (
    NOW,
    TARGET,
    AttackedEndpoint,
    Wire,
    by_version_2,
    in_header,
    in_query,
    signer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVED = "200"
MISMATCH = "403 SignatureDoesNotMatch"
MALFORMED = "400 AuthorizationQueryParametersError"
DENIED = "403 AccessDenied"
UNKNOWN = "403 InvalidAccessKeyId"
INVALID = "400 InvalidArgument"

RIGHT = in_query()
SIGNATURE = RIGHT.target[-64:]
OLD = by_version_2()
OLD_SIGNATURE = OLD.target.partition("Signature=")[2].partition("&")[0]
REQUIRED = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


def parameter(wire: Wire, name: str) -> str:
    """A parameter of a presigned URL, as it stands there."""
    (found,) = (part for part in wire.target.split("?")[1].split("&") if part.startswith(name))
    return found


def without(wire: Wire, name: str) -> Wire:
    return wire.at(parameter(wire, name), "x=1")


def twice(wire: Wire, name: str) -> Wire:
    found = parameter(wire, name)
    return wire.at(found, f"{found}&{found}")


def lasting(text: str) -> Wire:
    return RIGHT.at("X-Amz-Expires=60", f"X-Amz-Expires={text}")


PRESIGNED = {
    "right": (RIGHT, SERVED),
    "of a HEAD, for a HEAD": (in_query(method="HEAD"), SERVED),
    "for a HEAD": (RIGHT.by("HEAD"), "403"),
    "for a method that writes": (RIGHT.by("PUT"), "405 MethodNotAllowed"),
    "for another key": (RIGHT.at("/docs/a", "/docs/b"), MISMATCH),
    "for another bucket": (RIGHT.at("/archive/", "/maps/"), MISMATCH),
    "for the bucket": (RIGHT.at("/docs/a", ""), MISMATCH),
    "at another host": (RIGHT.with_field("host", "localhost:9000"), MISMATCH),
    "at a bucket's host": (RIGHT.with_field("host", "archive.localhost:9000"), MISMATCH),
    **{f"without its {name}": (without(RIGHT, f"X-Amz-{name}="), MALFORMED) for name in REQUIRED},
    **{f"with its {name} twice": (twice(RIGHT, f"X-Amz-{name}="), MALFORMED) for name in REQUIRED},
    **{
        f"with its {name} in lower case": (
            RIGHT.at(f"X-Amz-{name}=", f"x-amz-{name.lower()}="),
            MALFORMED,
        )
        for name in REQUIRED
    },
    "with a parameter more": (RIGHT.at("?", "?x=1&"), MISMATCH),
    "with a parameter behind": (RIGHT.at(SIGNATURE, SIGNATURE + "&versionId=null"), MISMATCH),
    "with an override": (RIGHT.at("?", "?response-content-type=text%2Fhtml&"), MISMATCH),
    "with an override, signed": (in_query(TARGET + "?response-content-type=text%2Fhtml"), SERVED),
    "with an override, exchanged": (
        in_query(TARGET + "?response-content-type=text%2Fplain").at("plain", "html"),
        MISMATCH,
    ),
    "with a sub-resource": (RIGHT.at("?", "?acl&"), MISMATCH),
    "with a fragment": (RIGHT.at(SIGNATURE, SIGNATURE + "#x"), "400 BadRequest"),
    "with a broken escape": (RIGHT.at(SIGNATURE, SIGNATURE + "%"), MISMATCH),
    "with a NUL": (RIGHT.at(SIGNATURE, SIGNATURE + "%00"), MISMATCH),
    "with a short signature": (RIGHT.at(SIGNATURE, SIGNATURE[:-1]), MISMATCH),
    "with no signature": (RIGHT.at(SIGNATURE, ""), MISMATCH),
    "with a signature in upper case": (RIGHT.at(SIGNATURE, SIGNATURE.upper()), MISMATCH),
    "with a signature of zeros": (RIGHT.at(SIGNATURE, "0" * 64), MISMATCH),
    "with a signature beyond ASCII": (RIGHT.at(SIGNATURE, "%C3%BF"), MISMATCH),
    "by SHA-1": (RIGHT.at("HMAC-SHA256", "HMAC-SHA1"), MALFORMED),
    "by an elliptic curve": (RIGHT.at("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), MALFORMED),
    "by no algorithm": (RIGHT.at("AWS4-HMAC-SHA256", ""), MALFORMED),
    "by an unknown key": (in_query(by=signer("NOBODY")), UNKNOWN),
    "by a disabled key": (in_query(by=signer("FORMER")), UNKNOWN),
    "by another key": (in_query(by=signer("READER")).at("READER", "ADMIN"), MISMATCH),
    "by no key": (RIGHT.at("ADMIN", ""), MALFORMED),
    "for another region": (in_query(by=signer(region="eu-west-1")), MALFORMED),
    "for no region": (in_query(by=signer(region="")), MALFORMED),
    "for another service": (in_query(by=signer(service="iam")), MALFORMED),
    "for another terminator": (in_query(by=signer(terminator="x")), MALFORMED),
    "for another day": (in_query(by=signer(day="20270114")), MALFORMED),
    "with a Credential of slashes": (RIGHT.at("ADMIN%2F", "%2F%2F%2F%2F%2F"), UNKNOWN),
    "with a Credential unescaped": (RIGHT.at("%2F", "/"), SERVED),
    "in its last second": (in_query(by=signer(at=-60)), SERVED),
    "a second too late": (in_query(by=signer(at=-61)), DENIED),
    "a week too late": (in_query(by=signer(at=-604_801), seconds=604_800), DENIED),
    "before its time, by a quarter of an hour": (in_query(by=signer(at=900)), SERVED),
    "before its time, by a second more": (in_query(by=signer(at=901)), DENIED),
    "for a week": (in_query(seconds=604_800), SERVED),
    "for a week and a second": (in_query(seconds=604_801), MALFORMED),
    "for no time": (in_query(seconds=0), SERVED),
    "for less than no time": (in_query(seconds=-1), MALFORMED),
    "for a longer time": (lasting("600"), MISMATCH),
    "for the same time, otherwise spelt": (lasting("060"), MISMATCH),
    **{
        f"for a time of {text}": (lasting(quote(text)), MALFORMED)
        for text in (
            "",
            "x",
            "60.0",
            "6e1",
            "0x3c",
            "+60",
            " 60",
            "60 ",
            "6_0",
            "\u0666",
            "9" * 400,
        )
    },
    **{
        f"with a date of {text}": (RIGHT.at("20270115T080000Z", quote(text)), MALFORMED)
        for text in ("", "x", "20270115", "1800000000", "20271315T080000Z", "20270115T080000Z ")
    },
    "with another date": (RIGHT.at("T080000Z", "T080001Z"), MISMATCH),
    "with one of S3's fields, added": (RIGHT.and_field("x-amz-request-payer", "requester"), DENIED),
    "with a range": (RIGHT.and_field("range", "bytes=0-1"), SERVED),
    "with a signed field, taken out": (
        in_query(headers={"range": "bytes=0-1"}).with_field("range", None),
        DENIED,
    ),
    "with a signed field, changed": (
        in_query(headers={"range": "bytes=0-1"}).with_field("range", "bytes=0-9"),
        MISMATCH,
    ),
    "with no signed fields": (RIGHT.at("SignedHeaders=host", "SignedHeaders="), DENIED),
    "with a session's token": (in_query(TARGET + "?X-Amz-Security-Token=x"), "400 InvalidToken"),
    "with a session's token, added": (
        RIGHT.at("?", "?X-Amz-Security-Token=x&"),
        "400 InvalidToken",
    ),
    "with a payload's hash": (in_query(TARGET + "?X-Amz-Content-Sha256=x"), INVALID),
    "and presigned with version 2": (RIGHT.at("?", "?" + OLD.target.split("?")[1] + "&"), INVALID),
    "of another request, behind it": (
        RIGHT.at("?", "?" + in_query("/archive/b").target.split("?")[1] + "&"),
        MALFORMED,
    ),
}

PRESIGNED_2 = {
    "right": (OLD, SERVED),
    "of a HEAD, for a HEAD": (by_version_2(method="HEAD"), SERVED),
    "for a HEAD": (OLD.by("HEAD"), "403"),
    "for another key": (OLD.at("/docs/a", "/docs/b"), MISMATCH),
    "for another bucket": (OLD.at("/archive/", "/maps/"), MISMATCH),
    "at another host": (OLD.with_field("host", "other.example"), SERVED),  # which it does not cover
    "at a bucket's host": (OLD.with_field("host", "archive.localhost"), MISMATCH),
    "by an unknown key": (by_version_2(key="NOBODY"), UNKNOWN),
    "by a disabled key": (by_version_2(key="FORMER"), UNKNOWN),
    "by another key": (by_version_2(key="READER").at("READER", "ADMIN"), MISMATCH),
    "by no key": (OLD.at("ADMIN", ""), DENIED),
    "with no signature": (OLD.at(OLD_SIGNATURE, ""), DENIED),
    "with a short signature": (OLD.at(OLD_SIGNATURE, OLD_SIGNATURE[:8]), MISMATCH),
    "with a signature of Version 4": (OLD.at(OLD_SIGNATURE, SIGNATURE), MISMATCH),
    "with a signature beyond ASCII": (OLD.at(OLD_SIGNATURE, "%C3%BF"), MISMATCH),
    "in its last second": (by_version_2(expires=str(NOW)), SERVED),
    "a second too late": (by_version_2(expires=str(NOW - 1)), DENIED),
    "for a longer time": (OLD.at(str(NOW + 60), str(NOW + 600)), MISMATCH),
    "with an override": (OLD.at("?", "?response-content-type=text%2Fhtml&"), MISMATCH),
    "with a sub-resource": (OLD.at("?", "?acl&"), MISMATCH),
    "with one of S3's fields": (OLD.and_field("x-amz-request-payer", "requester"), MISMATCH),
    "with a content's type": (OLD.and_field("content-type", "text/plain"), MISMATCH),
    "with a parameter of none's": (OLD.at("?", "?x=1&"), SERVED),  # which it does not cover
    "with a session's token": (OLD.and_field("x-amz-security-token", "x"), "400 InvalidToken"),
    **{
        f"without its {name}": (without(OLD, f"{name}="), DENIED)
        for name in ("AWSAccessKeyId", "Signature", "Expires")
    },
    **{
        f"with its {name} twice": (twice(OLD, f"{name}="), DENIED)
        for name in ("AWSAccessKeyId", "Signature", "Expires")
    },
    **{
        f"until {text}": (by_version_2(expires=text), DENIED)
        for text in ("x", "-1", "1e10", "1800000060.5", "2027-01-15", "9" * 400)
    },
}

REACHES = {
    "under the prefix": ("/archive/docs/a", SERVED),
    "under the prefix, by a way that is a name": ("/archive/docs/a/../b", SERVED),
    "out of the prefix, by a way that is a name": ("/archive/docs/../b", DENIED),
    "under the prefix, escaped": ("/archive/%64ocs%2Fa", SERVED),
    "the prefix": ("/archive/docs/", SERVED),
    "a list under the prefix": ("/archive?list-type=2&prefix=docs%2F", SERVED),
    "a list deeper": ("/archive?list-type=2&prefix=docs%2Fa", SERVED),
    "a list that starts elsewhere": ("/archive?list-type=2&prefix=docs%2F&start-after=a", SERVED),
    "beside the prefix": ("/archive/other/a", DENIED),
    "above the prefix": ("/archive/docs", DENIED),
    "a longer name": ("/archive/docs2/a", DENIED),
    "another case": ("/archive/DOCS/a", DENIED),
    "before it, a slash": ("/archive//docs/a", DENIED),
    "before it, a dot": ("/archive/./docs/a", DENIED),
    "back to it": ("/archive/other/../docs/a", DENIED),
    "with a backslash": ("/archive/docs%5Ca", DENIED),
    "with a NUL": ("/archive/docs%00/a", DENIED),
    "escaped twice": ("/archive/docs%252Fa", DENIED),
    "everything": ("/archive?list-type=2", DENIED),
    "everything, of version 1": ("/archive", DENIED),
    "versions": ("/archive?versions", DENIED),
    "the start of the prefix": ("/archive?list-type=2&prefix=doc", DENIED),
    "the prefix without its slash": ("/archive?list-type=2&prefix=docs", DENIED),
    "an empty prefix first": ("/archive?list-type=2&prefix=&prefix=docs%2F", DENIED),
    "another prefix second": ("/archive?list-type=2&prefix=docs%2F&prefix=", SERVED),  # not heeded
    "a prefix by another case": ("/archive?list-type=2&Prefix=docs%2F", DENIED),
    "another list": ("/archive?list-type=2&prefix=other%2F", DENIED),
    "a list by levels": ("/archive?list-type=2&delimiter=%2F", DENIED),
    "attributes": ("/archive/other/a?attributes", DENIED),
    "tags": ("/archive/other/a?tagging", DENIED),
    "another bucket": ("/maps/docs/a", DENIED),
    "another bucket's list": ("/maps?list-type=2&prefix=docs%2F", DENIED),
    "a bucket that is not there": ("/none/docs/a", "404 NoSuchBucket"),
}
SIGNINGS = {
    "Authorization": lambda target: in_header(target, signer("READER")),
    "presigned": lambda target: in_query(target, signer("READER")),
    "presigned with version 2": lambda target: by_version_2(target, "READER"),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[AttackedEndpoint]:
    with AttackedEndpoint() as endpoint:
        yield endpoint


@pytest.mark.parametrize(("wire", "outcome"), PRESIGNED.values(), ids=PRESIGNED)
def test_a_url_that_version_4_presigned_has_one_right_outcome(
    endpoint: AttackedEndpoint, wire: Wire, outcome: str
) -> None:
    assert endpoint.outcome(wire) == outcome


@pytest.mark.parametrize(("wire", "outcome"), PRESIGNED_2.values(), ids=PRESIGNED_2)
def test_a_url_that_version_2_presigned_has_one_right_outcome(
    endpoint: AttackedEndpoint, wire: Wire, outcome: str
) -> None:
    assert endpoint.outcome(wire) == outcome


@pytest.mark.parametrize("signing", SIGNINGS)
@pytest.mark.parametrize(("target", "outcome"), REACHES.values(), ids=REACHES)
def test_a_key_of_one_prefix_reaches_what_lies_under_it(
    endpoint: AttackedEndpoint, target: str, outcome: str, signing: str
) -> None:
    assert endpoint.outcome(SIGNINGS[signing](target)) == outcome
