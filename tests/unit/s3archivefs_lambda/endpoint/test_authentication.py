"""Which mechanism signed a request, and who."""

from __future__ import annotations

import hmac
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.authentication import Verifier, claimed_signer, without_signature
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError
from tests.support.adapter.signed_requests import (
    ACCESS_KEY,
    KEYS,
    SECRET,
    Sent,
    as_signed_request,
    presigned,
    presigned_v2,
    refusal,
    request_of,
    signed,
    verifier,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def credentials_of(key: AccessKey) -> botocore.credentials.Credentials:
    return botocore.credentials.Credentials(key.id, key.secret)


# ---- Which mechanism -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/archive/k", "/archive/?list-type=2", "/archive/k?x-amz-algorithm=1&Expires=1"]
)
def test_a_request_without_a_signature_has_no_signer(target: str) -> None:
    asked = as_signed_request(request_of("GET", target, {}))
    assert verifier().verify(asked) is None
    assert claimed_signer(asked) is None


@pytest.mark.parametrize("mechanism", ["AWS", "AWS4-ECDSA-P256-SHA256"])
def test_other_mechanisms_in_the_header_are_refused_with_what_to_use(mechanism: str) -> None:
    message = (
        "The authorization mechanism you have provided is not supported. "
        "Please use AWS4-HMAC-SHA256."
    )
    sent = request_of("GET", "/archive/k", {"Authorization": f"{mechanism} {ACCESS_KEY}:c2ln"})
    error = refusal(sent)
    assert (error.code, error.status, error.message) == ("InvalidRequest", 400, message)


@pytest.mark.parametrize("value", ["", "Basic abc", "Bearer x", "AWS4-HMAC-SHA1 Credential=a"])
def test_other_authorizations_are_refused_without_repeating_them(value: str) -> None:
    error = refusal(request_of("GET", "/archive/k", {"Authorization": value}))
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message == "Unsupported Authorization Type"
    assert error.extra == {"ArgumentName": "Authorization"}


def test_two_signatures_in_one_request_are_one_too_many() -> None:
    in_header, in_query, older = signed(), presigned(), presigned_v2()
    both_queries = replace(in_query, target=f"{in_query.target}&{older.target.partition('?')[2]}")
    for sent in (
        replace(in_header, target=in_query.target),
        replace(in_header, target=older.target),
        replace(in_header, target=older.target).with_headers(authorization="Basic x"),
        both_queries,
        replace(in_query, target=f"{in_query.target}&Signature=x"),
        replace(older, target=f"{older.target}&X-Amz-Signature=x"),
    ):
        error = refusal(sent)
        assert (error.code, error.status) == ("InvalidArgument", 400)
        assert error.message.startswith("Only one auth mechanism allowed; ")
        assert claimed_signer(as_signed_request(sent)) is None


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_session_tokens_are_refused(sent: Callable[..., Sent]) -> None:
    session = botocore.credentials.Credentials(ACCESS_KEY, SECRET, "token")
    error = refusal(sent(credentials=session))
    assert (error.code, error.status) == ("InvalidToken", 400)
    assert error.access_key_id == ACCESS_KEY


# ---- Who it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_another_access_key_is_unknown(sent: Callable[..., Sent]) -> None:
    other = botocore.credentials.Credentials("AKIDOTHER", SECRET)
    error = refusal(sent(credentials=other))
    assert (error.code, error.status) == ("InvalidAccessKeyId", 403)
    assert error.extra == {"AWSAccessKeyId": "AKIDOTHER"}
    assert error.access_key_id == "AKIDOTHER"


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_a_disabled_key_is_as_good_as_unknown(sent: Callable[..., Sent]) -> None:
    disabled = AccessKeys([AccessKey(ACCESS_KEY, SECRET, is_disabled=True)])
    error = refusal(sent(), Verifier(disabled))
    assert (error.code, error.status) == ("InvalidAccessKeyId", 403)
    assert error.extra == {"AWSAccessKeyId": ACCESS_KEY}
    assert error.reason == "disabled access key"


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_of_several_keys_each_signs_with_its_own_secret(sent: Callable[..., Sent]) -> None:
    other = AccessKey("AKIDOTHER", "another secret")
    by = Verifier(AccessKeys([*KEYS, other]))
    verify(sent(), by)
    asked = as_signed_request(sent(credentials=credentials_of(other)))
    assert by.verify(asked) is other
    mixed = AccessKey(other.id, SECRET)
    assert refusal(sent(credentials=credentials_of(mixed)), by).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_from_one_request_to_the_next_other_keys_may_be_in_force(sent: Callable[..., Sent]) -> None:
    by = verifier()
    asked = sent()
    verify(asked, by)
    by.keys = AccessKeys([AccessKey(ACCESS_KEY, "a new secret")])
    assert refusal(asked, by).code == "SignatureDoesNotMatch"
    verify(sent(credentials=credentials_of(next(iter(by.keys)))), by)
    by.keys = AccessKeys([])
    assert refusal(asked, by).code == "InvalidAccessKeyId"


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
@pytest.mark.parametrize("known", [True, False])
def test_the_same_is_computed_whether_or_not_a_key_is_known(
    sent: Callable[..., Sent], monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    computed = []

    def digest(key: bytes, message: bytes, algorithm: str) -> bytes:
        computed.append((len(message), algorithm))
        return hmac.new(key, message, algorithm).digest()

    monkeypatch.setattr("hmac.digest", digest)
    by = Verifier(AccessKeys([AccessKey(ACCESS_KEY if known else "AKIDOTHER0", SECRET)]))
    asked = as_signed_request(sent())
    with nullcontext() if known else pytest.raises(SignatureRefusedError):
        by.verify(asked)
    assert len(computed) == (1 if sent is presigned_v2 else 5)


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_a_wrong_signature_still_names_its_signer(sent: Callable[..., Sent]) -> None:
    other = botocore.credentials.Credentials(ACCESS_KEY, SECRET + "x")
    error = refusal(sent(credentials=other))
    assert (error.code, error.access_key_id) == ("SignatureDoesNotMatch", ACCESS_KEY)
    assert error.reason == "signature does not match"


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_without_a_key_to_check_with_a_whole_signature_is_believed(
    sent: Callable[..., Sent],
) -> None:
    other = botocore.credentials.Credentials("AKIDOTHER", "secret")
    assert claimed_signer(as_signed_request(sent(credentials=other))) == "AKIDOTHER"


@pytest.mark.parametrize(
    "query",
    [
        *("X-Amz-Signature=1", "Signature=1", "AWSAccessKeyId=a&Signature=1", "AWSAccessKeyId=a"),
        "AWSAccessKeyId=a&Signature=1&Expires=soon",
        "AWSAccessKeyId=&Signature=1&Expires=1895000000",
        "AWSAccessKeyId=a&AWSAccessKeyId=a&Signature=1&Expires=1895000000",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Signature=1",
    ],
)
@pytest.mark.parametrize("authorization", [None, "Basic x", "AWS a:b", "AWS4-HMAC-SHA256 x"])
def test_part_of_a_signature_names_no_signer(query: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    assert claimed_signer(as_signed_request(request_of("GET", f"/a/k?{query}", headers))) is None
    assert claimed_signer(as_signed_request(request_of("GET", "/a/k", headers))) is None


def test_what_signs_a_query_is_no_part_of_the_question() -> None:
    for sent in (presigned("/archive/k?partNumber=1"), presigned_v2("/archive/k?partNumber=1")):
        asked = as_signed_request(sent)
        assert list(without_signature(asked.target.query)) == [("partNumber", "1")]


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_a_client_is_shown_what_it_should_have_signed_unless_that_is_much(
    sent: Callable[..., Sent],
) -> None:
    def shown(target: str) -> set[str]:
        error = refusal(sent(target, credentials=botocore.credentials.Credentials(ACCESS_KEY, "x")))
        assert error.code == "SignatureDoesNotMatch"
        assert len(error.to_xml("id")) < 5 * 8192
        return error.extra.keys() - {"AWSAccessKeyId", "SignatureProvided"}

    to_sign = {"StringToSign", "StringToSignBytes"}
    both = {"CanonicalRequest", "CanonicalRequestBytes", *to_sign}
    longest_key = f"/archive/{quote('€' * 341)}"
    assert shown(longest_key) == (to_sign if sent is presigned_v2 else both)
    much = shown(f"/archive/k?response-content-type={'a' * 8192}")
    assert much == (set() if sent is presigned_v2 else to_sign)


# ---- Garbage -------------------------------------------------------------------------------------


@pytest.mark.property
@given(
    query=st.text(st.characters(max_codepoint=255), max_size=60),
    headers=st.dictionaries(
        st.sampled_from(["Authorization", "Date", "X-Amz-Date", "X-Amz-Content-Sha256", "Host"]),
        st.text(st.characters(max_codepoint=255), max_size=120),
    ),
)
def test_garbage_is_refused_as_an_s3_error(query: str, headers: dict[str, str]) -> None:
    credential = f"Credential={ACCESS_KEY}/20260101/eu-west-1/s3/aws4_request"
    whole = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature="
    for prefix in ("X-Amz-Credential=", "Signature=a&AWSAccessKeyId=a&Expires="):
        refusal(request_of("GET", f"/archive/k?{prefix}{query}", headers))
    for authorization in (headers.get("Authorization", ""), whole + query):
        garbage = headers | {"Authorization": authorization}
        refusal(request_of("GET", "/archive/k", garbage))


# ---- The secret ----------------------------------------------------------------------------------


def test_the_secret_is_never_shown() -> None:
    shown = verifier(region="eu-west-1")
    assert "AKIDEXAMPLE" in repr(shown)
    assert SECRET not in f"{shown!s}{shown!r}"
