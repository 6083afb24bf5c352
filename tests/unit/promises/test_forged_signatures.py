"""Authorization headers as an attacker would write them, each with its one right outcome.

They are signed by the specification, not by a client, and sent as bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.messages import HttpRequest
from s3archivefs_lambda.endpoint.request_target import parse_target
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError, SignedRequest
from tests.support.adapter.attacked_endpoint import (
    KEYS,
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
MALFORMED = "400 AuthorizationHeaderMalformed"
DENIED = "403 AccessDenied"
SKEWED = "403 RequestTimeTooSkewed"
UNKNOWN = "403 InvalidAccessKeyId"
NO_HASH = "400 InvalidArgument"
OTHER_HASH = "400 XAmzContentSHA256Mismatch"
BAD_HEAD = "400 BadRequest"
INVALID = "400 InvalidArgument"
EMPTY = hashlib.sha256(b"").hexdigest()

RIGHT = in_header()
SIGNATURE = RIGHT.fields[-1][1][-64:]
RANGED = in_header(headers={"range": "bytes=0-1"})
LISTING = in_header("/archive?list-type=2&prefix=docs%2F")


def authorization(old: str, new: str, wire: Wire = RIGHT) -> Wire:
    return wire.field("authorization", old, new)


def signature(text: str) -> Wire:
    return authorization(SIGNATURE, text)


DIGITS = {
    "right": (RIGHT, SERVED),
    "upper case": (signature(SIGNATURE.upper()), MISMATCH),
    "first digit": (
        signature("0123456789abcdef"[int(SIGNATURE[0], 16) - 1] + SIGNATURE[1:]),
        MISMATCH,
    ),
    "last digit": (
        signature(SIGNATURE[:-1] + "0123456789abcdef"[int(SIGNATURE[-1], 16) - 1]),
        MISMATCH,
    ),
    "reversed": (signature(SIGNATURE[::-1]), MISMATCH),
    "none": (signature(""), MISMATCH),
    "one digit": (signature(SIGNATURE[:1]), MISMATCH),
    "half": (signature(SIGNATURE[:32]), MISMATCH),
    "one digit less": (signature(SIGNATURE[:-1]), MISMATCH),
    "one digit more": (signature(SIGNATURE + "0"), MISMATCH),
    "twice": (signature(SIGNATURE * 2), MISMATCH),
    "zeros": (signature("0" * 64), MISMATCH),
    "no digits": (signature("x" * 64), MISMATCH),
    "a space before": (signature(" " + SIGNATURE), MISMATCH),
    "a tab inside": (signature(f"{SIGNATURE[:32]}\t{SIGNATURE[32:]}"), MISMATCH),
    "beyond ASCII": (signature("\xff" * 64), MISMATCH),
    "escaped": (
        signature("%" + "%".join(SIGNATURE[at : at + 2] for at in range(0, 64, 2))),
        MISMATCH,
    ),
    "of a megabyte's tenth": (signature("0" * 60_000), MISMATCH),
    "of an empty secret": (
        in_header(by=signer("NOBODY")).field("authorization", "NOBODY", "ADMIN"),
        MISMATCH,
    ),
    "of another key": (
        in_header(by=signer("READER")).field("authorization", "READER", "ADMIN"),
        MISMATCH,
    ),
    "of the same key by its other name": (authorization("ADMIN", "admin"), UNKNOWN),
}

CREDENTIALS = {
    "no key": (authorization("ADMIN", ""), MALFORMED),
    "unknown key": (in_header(by=signer("NOBODY")), UNKNOWN),
    "disabled key": (in_header(by=signer("FORMER")), UNKNOWN),
    "disabled key, wrong signature": (authorization("ADMIN", "FORMER"), UNKNOWN),
    "key with a space": (authorization("ADMIN", "ADMIN "), UNKNOWN),
    "key with a slash": (authorization("ADMIN", "x/ADMIN"), UNKNOWN),
    "key beyond ASCII": (authorization("ADMIN", "ADM\xcdN"), UNKNOWN),
    "key of 50,000 characters": (authorization("ADMIN", "A" * 50_000), UNKNOWN),
    "another region": (in_header(by=signer(region="eu-west-1")), MALFORMED),
    "another region, moved": (authorization("us-east-1", "eu-west-1"), MALFORMED),
    "no region": (in_header(by=signer(region="")), MALFORMED),
    "region in upper case": (in_header(by=signer(region="US-EAST-1")), MALFORMED),
    "region with a star": (in_header(by=signer(region="*")), MALFORMED),
    "another service": (in_header(by=signer(service="sts")), MALFORMED),
    "service in upper case": (in_header(by=signer(service="S3")), MALFORMED),
    "service of S3 Express": (in_header(by=signer(service="s3express")), MALFORMED),
    "no service": (in_header(by=signer(service="")), MALFORMED),
    "another terminator": (in_header(by=signer(terminator="aws5_request")), MALFORMED),
    "no terminator": (in_header(by=signer(terminator="")), MALFORMED),
    "yesterday": (in_header(by=signer(day="20270114")), MALFORMED),
    "tomorrow": (in_header(by=signer(day="20270116")), MALFORMED),
    "a day with dashes": (in_header(by=signer(day="2027-01-15")), MALFORMED),
    "no day": (in_header(by=signer(day="")), MALFORMED),
    "a part less": (authorization("/s3/", "/"), MALFORMED),
    "a part more": (authorization("/s3/", "/s3/s3/"), MALFORMED),
    "no slashes": (authorization("/", ""), MALFORMED),
    "nothing": (
        authorization("Credential=ADMIN/20270115/us-east-1/s3/aws4_request", "Credential="),
        MALFORMED,
    ),
}

TIMES = {
    "14 minutes and 59 seconds ago": (in_header(by=signer(at=-899)), SERVED),
    "in 14 minutes and 59 seconds": (in_header(by=signer(at=899)), SERVED),
    "15 minutes ago": (in_header(by=signer(at=-900)), SERVED),
    "15 minutes and a second ago": (in_header(by=signer(at=-901)), SKEWED),
    "in 15 minutes and a second": (in_header(by=signer(at=901)), SKEWED),
    "yesterday's request": (in_header(by=signer(at=-86_400)), SKEWED),
    "tomorrow's request": (in_header(by=signer(at=86_400)), SKEWED),
    "of the year 1970": (in_header(by=signer(at=-1_800_000_000)), SKEWED),
    "of the year 2084": (in_header(by=signer(at=1_800_000_000)), SKEWED),
    "another time, not signed anew": (RIGHT.with_field("x-amz-date", "20270115T080001Z"), MISMATCH),
    "no time": (RIGHT.with_field("x-amz-date", None), DENIED),
    "empty": (RIGHT.with_field("x-amz-date", ""), DENIED),
    "in words": (RIGHT.with_field("x-amz-date", "now"), DENIED),
    "with dashes": (RIGHT.with_field("x-amz-date", "2027-01-15T08:00:00Z"), DENIED),
    "without a zone": (RIGHT.with_field("x-amz-date", "20270115T080000"), DENIED),
    "zone in lower case": (RIGHT.with_field("x-amz-date", "20270115T080000z"), DENIED),
    "month 13": (RIGHT.with_field("x-amz-date", "20271315T080000Z"), DENIED),
    "day 0": (RIGHT.with_field("x-amz-date", "20270100T080000Z"), DENIED),
    "hour 24": (RIGHT.with_field("x-amz-date", "20270115T240000Z"), DENIED),
    "second 60": (RIGHT.with_field("x-amz-date", "20270115T080060Z"), DENIED),
    "of the year 0": (RIGHT.with_field("x-amz-date", "00000115T080000Z"), DENIED),
    "other digits": (RIGHT.with_field("x-amz-date", "2027\xb91\xb95T080000Z"), DENIED),
    "seconds since the epoch": (RIGHT.with_field("x-amz-date", "1800000000"), DENIED),
    "twice": (RIGHT.and_field("x-amz-date", "20270115T080000Z"), BAD_HEAD),
    "in the Date header alone": (
        RIGHT.with_field("x-amz-date", None).and_field("date", "Fri, 15 Jan 2027 08:00:00 GMT"),
        DENIED,
    ),
    "another in an unsigned Date header": (
        RIGHT.and_field("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        SERVED,
    ),
    "in two Date headers": (RIGHT.and_field("date", "a").and_field("date", "b"), BAD_HEAD),
}

COVERED = {
    "a range, signed": (RANGED, SERVED),
    "a range, changed": (RANGED.with_field("range", "bytes=0-9"), MISMATCH),
    "a range, taken out": (RANGED.with_field("range", None), DENIED),
    "a range, added": (RIGHT.and_field("range", "bytes=0-1"), SERVED),
    "more blanks": (
        in_header(headers={"x-amz-meta-a": "b c"}).with_field("x-amz-meta-a", "b   c"),
        SERVED,
    ),
    "another kind of blank": (
        in_header(headers={"x-amz-meta-a": "b c"}).with_field("x-amz-meta-a", "b\xa0c"),
        MISMATCH,
    ),
    "one of S3's, added": (RIGHT.and_field("x-amz-request-payer", "requester"), DENIED),
    "one of S3's in upper case, added": (
        RIGHT.and_field("X-AMZ-EXPECTED-BUCKET-OWNER", "1"),
        DENIED,
    ),
    "a signed one, repeated": (
        in_header(headers={"x-amz-meta-a": "b"}).and_field("x-amz-meta-a", "c"),
        MISMATCH,
    ),
    "two that were one": (
        in_header(headers={"x-amz-meta-a": "b,c"})
        .with_field("x-amz-meta-a", "b")
        .and_field("x-amz-meta-a", "c"),
        SERVED,  # they are the same field (RFC 9110, 5.3)
    ),
    "host not signed": (authorization("host;", ""), DENIED),
    "none signed": (authorization("host;x-amz-content-sha256;x-amz-date", ""), DENIED),
    "host in upper case": (authorization("host;", "Host;"), DENIED),
    "host twice": (authorization("host;", "host;host;"), MISMATCH),
    "in another order": (
        authorization("host;x-amz-content-sha256;", "x-amz-content-sha256;host;"),
        MISMATCH,
    ),
    "one that is not there": (authorization("host;", "host;range;"), DENIED),
    "an empty name": (authorization("host;", ";host;"), DENIED),
    "commas for semicolons": (authorization("host;", "host,"), MALFORMED),
    "spaces for semicolons": (authorization("host;", "host "), DENIED),
    "another host": (RIGHT.with_field("host", "127.0.0.1:9001"), MISMATCH),
    "another name of the host": (RIGHT.with_field("host", "localhost:9000"), MISMATCH),
    "a bucket's host": (RIGHT.with_field("host", "archive.localhost:9000"), MISMATCH),
    "a host without its port": (RIGHT.with_field("host", "127.0.0.1"), MISMATCH),
    "a second host": (RIGHT.and_field("host", "other.example"), BAD_HEAD),
    "another method": (RIGHT.by("HEAD"), "403"),
    "a method that writes": (RIGHT.by("DELETE"), "405 MethodNotAllowed"),
    "a method that writes, signed": (in_header(method="PUT"), "405 MethodNotAllowed"),
    "another method by a header": (RIGHT.and_field("x-http-method-override", "DELETE"), SERVED),
    "a payload without its hash": (
        RIGHT.with_field("x-amz-content-sha256", None),
        "400 InvalidRequest",
    ),
    "an empty hash": (in_header(payload=""), NO_HASH),
    "a hash in upper case": (in_header(payload=EMPTY.upper()), NO_HASH),
    "a short hash": (in_header(payload=EMPTY[:-1]), NO_HASH),
    "a hash of something": (in_header(payload=hashlib.sha256(b"x").hexdigest()), OTHER_HASH),
    "a hash, exchanged": (RIGHT.with_field("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), MISMATCH),
    "an unsigned payload": (in_header(payload="UNSIGNED-PAYLOAD"), SERVED),
    "an unsigned payload in lower case": (in_header(payload="unsigned-payload"), NO_HASH),
    "chunks that are signed": (in_header(payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), NO_HASH),
    "chunks with a trailer": (in_header(payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"), NO_HASH),
    "two hashes": (RIGHT.and_field("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), BAD_HEAD),
}

TARGETS = {
    "another key": (RIGHT.at("/a", "/b"), MISMATCH),
    "another bucket": (RIGHT.at("/archive", "/maps"), MISMATCH),
    "a longer key": (RIGHT.at("/docs/a", "/docs/a/"), MISMATCH),
    "a slash twice": (RIGHT.at("/docs", "//docs"), MISMATCH),
    "a dot": (RIGHT.at("/docs", "/./docs"), MISMATCH),
    "the way back": (RIGHT.at("/docs", "/x/../docs"), MISMATCH),
    "the way back, escaped": (RIGHT.at("/docs", "/x/%2e%2e/docs"), MISMATCH),
    "an escape": (RIGHT.at("docs", "%64ocs"), SERVED),  # the same path
    "an escaped slash": (RIGHT.at("docs/", "docs%2F"), SERVED),  # the same key
    "an escape escaped": (RIGHT.at("docs", "%2564ocs"), MISMATCH),
    "a backslash": (RIGHT.at("docs/", "docs\\"), MISMATCH),
    "upper case": (RIGHT.at("docs", "DOCS"), MISMATCH),
    "a NUL": (RIGHT.at("docs/a", "docs/a%00"), MISMATCH),
    "a broken escape": (RIGHT.at("docs", "doc%s"), "400 InvalidURI"),
    "parameters of the path": (RIGHT.at("docs", "docs;x=1"), MISMATCH),
    "an empty query": (RIGHT.at("docs/a", "docs/a?"), SERVED),
    "a query": (RIGHT.at("docs/a", "docs/a?x"), MISMATCH),
    "a sub-resource": (RIGHT.at("docs/a", "docs/a?acl"), MISMATCH),
    "an override": (RIGHT.at("docs/a", "docs/a?response-content-type=text/html"), MISMATCH),
    "a version": (RIGHT.at("docs/a", "docs/a?versionId=null"), MISMATCH),
    "a listing": (LISTING, SERVED),
    "a listing of more": (LISTING.at("&prefix=docs%2F", ""), MISMATCH),
    "a listing of more, by a second prefix": (LISTING.at("&prefix", "&prefix=&prefix"), MISMATCH),
    "a listing, in another order": (
        LISTING.at("list-type=2&prefix=docs%2F", "prefix=docs/&list-type=2"),
        SERVED,  # sorted, they are signed
    ),
    "a listing, by semicolons": (LISTING.at("&prefix", ";prefix"), MISMATCH),
    "a listing, in pieces of its names": (LISTING.at("prefix", "Prefix"), MISMATCH),
    "absolute, of the host that signed": (
        RIGHT.at(TARGET, "http://127.0.0.1:9000" + TARGET),
        SERVED,
    ),
    "absolute, of another host": (RIGHT.at(TARGET, "http://other.example" + TARGET), MISMATCH),
    "absolute, of a bucket's host": (RIGHT.at(TARGET, "http://archive.localhost/docs/a"), MISMATCH),
}

FORMS = {
    "nothing": (RIGHT.with_field("authorization", None), DENIED),
    "empty": (RIGHT.with_field("authorization", ""), INVALID),
    "the algorithm alone": (RIGHT.with_field("authorization", "AWS4-HMAC-SHA256"), MALFORMED),
    "algorithm in lower case": (authorization("AWS4-HMAC-SHA256", "aws4-hmac-sha256"), INVALID),
    "of SHA-1": (authorization("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), INVALID),
    "of no algorithm": (authorization("AWS4-HMAC-SHA256 ", ""), INVALID),
    "none": (authorization("AWS4-HMAC-SHA256", "none"), INVALID),
    "of an elliptic curve": (
        authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        "400 InvalidRequest",
    ),
    "version 2": (
        RIGHT.with_field("authorization", "AWS ADMIN:c2lnbmF0dXJl"),
        "400 InvalidRequest",
    ),
    "version 3": (RIGHT.with_field("authorization", "AWS3-HTTPS AWSAccessKeyId=ADMIN"), INVALID),
    "a password": (
        RIGHT.with_field("authorization", "Basic QURNSU46c2VjcmV0LW9mLWFkbWlu"),
        INVALID,
    ),
    "a bearer": (RIGHT.with_field("authorization", "Bearer x"), INVALID),
    "a tab behind the algorithm": (authorization("256 ", "256\t"), INVALID),
    "a comma less": (authorization(",Signature", "Signature"), MALFORMED),
    "a comma more": (authorization(",Signature", ",,Signature"), MALFORMED),
    "spaces behind commas": (authorization(",", ",  "), SERVED),
    "semicolons for commas": (authorization(",", ";"), MALFORMED),
    "no signature": (authorization(f",Signature={SIGNATURE}", ""), MALFORMED),
    "no credential": (authorization("Credential", "credential"), MALFORMED),
    "a part more": (authorization(",Signature", ",X=1,Signature"), MALFORMED),
    "two signatures": (authorization(",Signature", ",Signature=0,Signature"), MALFORMED),
    "two credentials": (authorization("Credential", "Credential=x,Credential"), MALFORMED),
    "quoted": (authorization(SIGNATURE, f'"{SIGNATURE}"'), MISMATCH),
    "twice": (RIGHT.and_field("authorization", dict(RIGHT.fields)["authorization"]), BAD_HEAD),
    "on two lines": (authorization(",Signature", ",\r\n Signature"), BAD_HEAD),
    "behind a proxy's": (RIGHT.and_field("proxy-authorization", "Basic x"), SERVED),
    "a session's token, signed": (
        in_header(headers={"x-amz-security-token": "x"}),
        "400 InvalidToken",
    ),
    "a session's token, added": (RIGHT.and_field("x-amz-security-token", "x"), "400 InvalidToken"),
    "an empty token": (RIGHT.and_field("x-amz-security-token", ""), "400 InvalidToken"),
    "a token in the query": (in_header(TARGET + "?X-Amz-Security-Token=x"), "400 InvalidToken"),
    "and presigned": (RIGHT.at(TARGET, in_query().target), INVALID),
    "and presigned with version 2": (RIGHT.at(TARGET, by_version_2().target), INVALID),
    "and presigned in part": (RIGHT.at(TARGET, TARGET + "?X-Amz-Signature=x"), INVALID),
    "and presigned with version 2 in part": (RIGHT.at(TARGET, TARGET + "?Signature=x"), INVALID),
    "and a parameter of another case": (in_header(TARGET + "?x-amz-signature=x"), SERVED),
}

TABLE = {
    f"{about}, {name}": attack
    for about, attacks in {
        "digits": DIGITS,
        "credential": CREDENTIALS,
        "time": TIMES,
        "covered": COVERED,
        "target": TARGETS,
        "form": FORMS,
    }.items()
    for name, attack in attacks.items()
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[AttackedEndpoint]:
    with AttackedEndpoint() as endpoint:
        yield endpoint


@pytest.mark.parametrize(("wire", "outcome"), TABLE.values(), ids=TABLE)
def test_an_authorization_header_has_one_right_outcome(
    endpoint: AttackedEndpoint, wire: Wire, outcome: str
) -> None:
    assert endpoint.outcome(wire) == outcome


def test_a_clock_that_is_set_back_forgets_nothing_and_remembers_nothing() -> None:
    times = iter([NOW, NOW - 3600, NOW - 3600, NOW])
    verifier = Verifier(KEYS, clock=lambda: next(times))
    early = in_header(by=signer(at=-3600))
    outcomes = [outcome_by(verifier, wire) for wire in (RIGHT, RIGHT, early, early)]
    assert outcomes == ["", "RequestTimeTooSkewed", "", "RequestTimeTooSkewed"]


def outcome_by(verifier: Verifier, wire: Wire) -> str:
    asked = HttpRequest(method=wire.method, target=wire.target, headers=wire.fields)
    try:
        verifier.verify(SignedRequest.of(asked, parse_target(asked.target)))
    except SignatureRefusedError as error:
        return error.code
    return ""
