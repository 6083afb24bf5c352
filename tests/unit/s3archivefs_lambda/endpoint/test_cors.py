"""Which pages may read: preflight requests and the fields of answers, as Amazon S3 has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.cors import Cors
from s3archivefs_lambda.s3api.messages import S3Request, S3Response
from tests.support.adapter.asked_application import Answer, ask
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.signed_requests import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "https://app.example.com"
ALLOW = "access-control-allow-origin"


def preflight(
    operations: FakeOperations,
    origin: str = APP,
    method: str = "GET",
    *,
    cors: Cors | None = None,
    target: str = "/archive/k",
    **fields: str,
) -> Answer:
    headers = {"origin": origin, "access-control-request-method": method, **fields}
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items() if value)
    return ask(operations, target, "OPTIONS", headers=given, cors=cors, verifier=Verifier(KEYS))


def get(operations: FakeOperations, origin: str, cors: Cors | None) -> Mapping[str, str]:
    return ask(operations, "/archive/k", headers=(("origin", origin),), cors=cors).headers


def test_a_preflight_request_needs_no_signature(operations: FakeOperations) -> None:
    wanted = "Authorization, X-Amz-Date, range"
    answer = preflight(operations, cors=Cors([APP]), access_control_request_headers=wanted)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers[ALLOW] == APP
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
    assert answer.headers["access-control-allow-headers"] == "authorization, x-amz-date, range"
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in answer.headers
    assert operations.asked == []


@pytest.mark.parametrize("target", ["/archive", "/", "/archive?list-type=2"])
def test_a_page_may_list_too(operations: FakeOperations, target: str) -> None:
    assert preflight(operations, cors=Cors(["*"]), target=target).headers[ALLOW] == "*"


@pytest.mark.parametrize(
    ("cors", "origin", "method", "message"),
    [
        (None, APP, "GET", "CORS is not enabled for this bucket."),
        (Cors([APP]), "https://evil.example", "GET", "This CORS request is not allowed."),
        (Cors([APP]), APP + ".evil.example", "HEAD", "This CORS request is not allowed."),
        (Cors(["*"]), APP, "PUT", "This CORS request is not allowed."),
    ],
)
@pytest.mark.parametrize(("target", "kind"), [("/archive/k", "OBJECT"), ("/archive", "BUCKET")])
def test_other_pages_are_forbidden_as_by_s3(  # noqa: PLR0917 -- of one table
    operations: FakeOperations,
    cors: Cors | None,
    origin: str,
    method: str,
    message: str,
    target: str,
    kind: str,
) -> None:
    answer = preflight(operations, origin, method, cors=cors, target=target)
    assert (answer.status, answer.error["Code"]) == (403, "AccessForbidden")
    assert answer.error["Message"].startswith(f"CORSResponse: {message}")
    assert (answer.error["Method"], answer.error["ResourceType"]) == (method, kind)


@pytest.mark.parametrize(
    ("origin", "method"), [("", "GET"), (APP, ""), (APP, "TRACE"), (APP, "get")]
)
def test_what_is_no_preflight_request_is_a_bad_one(
    operations: FakeOperations, origin: str, method: str
) -> None:
    answer = preflight(operations, origin, method, cors=Cors(["*"]))
    assert (answer.status, answer.error["Code"]) == (400, "BadRequest")


def test_there_is_no_preflight_for_another_bucket(operations: FakeOperations) -> None:
    answer = preflight(operations, cors=Cors(["*"]), target="/other/k")
    assert (answer.status, answer.error["Code"]) == (404, "NoSuchBucket")


def test_answers_and_errors_tell_the_browser(operations: FakeOperations) -> None:
    cors = Cors(["https://*.example.com"])
    headers = get(operations, APP, cors)
    assert headers[ALLOW] == APP
    assert "ETag" in headers["access-control-expose-headers"]
    assert "Origin" in headers["vary"]
    unsigned = ask(
        operations, "/archive/k", headers=(("origin", APP),), cors=cors, verifier=Verifier(KEYS)
    )
    assert (unsigned.status, unsigned.headers[ALLOW]) == (403, APP)


def test_a_page_may_read_every_field_of_s3s_own(operations: FakeOperations) -> None:
    def stored(_: S3Request) -> S3Response:
        fields = {"x-amz-meta-colour": "red", "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}
        return S3Response(status=200, headers={"Content-Length": "0", **fields})

    operations.respond = stored
    headers = get(operations, APP, Cors([APP]))
    exposed = headers["access-control-expose-headers"].split(", ")
    assert {name for name in headers if name.startswith("x-amz-")} <= {*exposed}
    assert {"x-amz-meta-colour", "x-amz-request-id", "Content-Range"} <= {*exposed}
    assert len(exposed) == len({*exposed})


def test_an_answer_to_nobody_allowed_differs_for_caches_alone(operations: FakeOperations) -> None:
    cors = Cors([APP])
    for headers in (get(operations, "https://evil.example", cors), get(operations, "null", cors)):
        assert ALLOW not in headers
        assert "Origin" in headers["vary"]
    plain = ask(operations, "/archive/k", cors=cors)
    assert "Origin" in plain.headers["vary"]
    assert "vary" not in ask(operations, "/archive/k", headers=(("origin", APP),)).headers


def test_without_keys_a_name_led_to_this_machine_gets_no_preflight(
    operations: FakeOperations,
) -> None:
    headers = (("origin", APP), ("access-control-request-method", "GET"), ("host", "evil.example"))
    answer = ask(operations, "/archive/k", "OPTIONS", headers=headers, cors=Cors(["*"]))
    assert (answer.status, answer.error["Code"]) == (403, "AccessDenied")


PARTS = st.text("ab:/?#@.", max_size=4)


@given(before=PARTS, after=PARTS, origin=st.text("ab:/?#@.", max_size=6))
def test_a_star_stands_for_any_characters_of_a_host(before: str, after: str, origin: str) -> None:
    allowed = ALLOW in {name.lower() for name in Cors([f"{before}*{after}"]).fields(origin)}
    cuts = [
        (start, stop) for start in range(len(origin) + 1) for stop in range(start, len(origin) + 1)
    ]
    assert allowed is (
        f"{before}{after}" == ""
        or any(
            (origin[:start], origin[stop:]) == (before, after)
            and not set(origin[start:stop]) & set("/?#@")
            for start, stop in cuts
        )
    )


@pytest.mark.parametrize("between", ["evil.example/x", "evil.example#", "evil.example?", "a@b"])
def test_a_star_does_not_reach_into_another_host(operations: FakeOperations, between: str) -> None:
    cors = Cors(["https://*.example.com"])
    assert ALLOW in get(operations, "https://a.b.example.com", cors)
    assert ALLOW not in get(operations, f"https://{between}.example.com", cors)
