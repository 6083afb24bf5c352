"""AWS Signature Version 4, verified on the server's side, for requests that only read.

A request is signed either in its Authorization header or in its query ("presigned"). The signature
covers a canonical form of the request; S3's differs from other services': the path is decoded and
encoded once and never normalised, so ``a//b`` and ``./c`` stay what they are. Faults are refused
with the codes and elements of Amazon S3.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from s3archivefs_lambda.request_target import parse_target
from s3archivefs_lambda.s3_protocol import S3Error, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs_lambda.request_target import RequestTarget

__all__ = ["SigV4Verifier"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "s3"
_TERMINATOR = "aws4_request"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_MAX_SKEW_SECONDS = 15 * 60
_MAX_EXPIRES_SECONDS = 7 * 24 * 3600
_REQUIRED_IN_QUERY = frozenset(
    f"X-Amz-{name}"
    for name in ("Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires")
)
_SIGV2_IN_QUERY = frozenset({"AWSAccessKeyId", "Signature"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a request says about its signature."""

    access_key_id: str
    scope: str  # yyyymmdd/region/s3/aws4_request
    timestamp: str  # yyyymmddThhmmssZ
    signed_headers: list[str]
    signature: str
    payload_hash: str


class SigV4Verifier:
    """Lets a request pass when it was signed with one known pair of keys.

    `region` is the one that signatures must be made for; None takes any. `clock` tells seconds
    since the epoch.
    """

    __slots__ = ("_clock", "_secret", "access_key_id", "region")

    def __init__(
        self,
        access_key_id: str,
        secret_access_key: str,
        *,
        region: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not access_key_id or not secret_access_key:
            raise ValueError("an access key id and a secret access key are needed, neither empty")
        self.access_key_id = access_key_id
        self.region = region
        self._secret = secret_access_key
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.access_key_id!r}, region={self.region!r})"

    def verify(self, method: str, raw_target: str, headers: Mapping[str, str]) -> None:
        """Check a request that has no body.

        `raw_target` is what stood on the wire; header fields go by lower-case name. Raises S3Error
        with S3's code for whatever is wrong; AccessDenied where the request is not signed at all.
        """
        target = parse_target(raw_target)
        names = {name for name, _ in target.query}
        presigned = not names.isdisjoint(_REQUIRED_IN_QUERY | _SIGV2_IN_QUERY)
        if presigned and "authorization" in headers:
            raise S3Error(
                "InvalidArgument",
                400,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                "Signature query string parameter or the Authorization header should be specified",
                extra={"ArgumentName": "Authorization"},
            )
        if presigned:
            claim = self._claim_in_query(target)
        elif "authorization" in headers:
            claim = self._claim_in_header(headers)
        else:
            raise S3Error("AccessDenied", 403, "Access Denied")
        if "x-amz-security-token" in headers or "X-Amz-Security-Token" in names:
            message = "The provided token is malformed or otherwise invalid."
            raise S3Error("InvalidToken", 400, message)
        if not _equal(claim.access_key_id, self.access_key_id):
            message = "The AWS Access Key Id you provided does not exist in our records."
            extra = {"AWSAccessKeyId": claim.access_key_id}
            raise S3Error("InvalidAccessKeyId", 403, message, extra=extra)
        _check_signed_headers(claim, headers)
        _check_payload_hash(claim.payload_hash)
        self._check_signature(claim, _canonical_request(method, target, headers, claim))

    def _claim_in_header(self, headers: Mapping[str, str]) -> _Claim:
        mechanism, _, rest = headers["authorization"].strip().partition(" ")
        if mechanism == "AWS" or mechanism.startswith("AWS4-ECDSA"):
            raise _wrong_mechanism()
        if mechanism != _ALGORITHM:
            message = "Unsupported Authorization Type"
            raise S3Error("InvalidArgument", 400, message, extra={"ArgumentName": "Authorization"})
        parts = [part.strip().partition("=") for part in rest.split(",")]
        fields = {name: value for name, _, value in parts}
        if len(parts) != 3 or fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
            raise _malformed_header("expecting Credential, SignedHeaders and Signature, once each.")
        timestamp = headers.get("x-amz-date", "").strip()
        signed_at = _parse_timestamp(timestamp)
        if signed_at is None:
            message = "AWS authentication requires a valid Date or x-amz-date header"
            raise S3Error("AccessDenied", 403, message)
        payload_hash = headers.get("x-amz-content-sha256")
        if payload_hash is None:
            message = "Missing required header for this request: x-amz-content-sha256"
            raise S3Error("InvalidRequest", 400, message)
        access_key_id, scope = self._parse_credential(
            fields["Credential"], timestamp, _malformed_header
        )
        now = self._clock()
        if abs(now - signed_at) > _MAX_SKEW_SECONDS:
            message = "The difference between the request time and the current time is too large."
            extra = {
                "RequestTime": timestamp,
                "ServerTime": _iso(now),
                "MaxAllowedSkewMilliseconds": str(_MAX_SKEW_SECONDS * 1000),
            }
            raise S3Error("RequestTimeTooSkewed", 403, message, extra=extra)
        return _Claim(
            access_key_id=access_key_id,
            scope=scope,
            timestamp=timestamp,
            signed_headers=fields["SignedHeaders"].split(";"),
            signature=fields["Signature"],
            payload_hash=payload_hash.strip(),
        )

    def _claim_in_query(self, target: RequestTarget) -> _Claim:
        given = dict(target.query)
        if "X-Amz-Algorithm" not in given and "Signature" in given:
            raise _wrong_mechanism()  # what boto3 presigns with, unless told otherwise
        if not given.keys() >= _REQUIRED_IN_QUERY:
            raise _malformed_query(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, "
                "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
                "X-Amz-Expires parameters."
            )
        names = [name for name, _ in target.query if name.startswith("X-Amz-")]
        if len(names) > len(set(names)):
            raise _malformed_query("An X-Amz parameter is given more than once.")
        if given["X-Amz-Algorithm"] != _ALGORITHM:
            raise _malformed_query(f'X-Amz-Algorithm only supports "{_ALGORITHM}"')
        timestamp = given["X-Amz-Date"]
        signed_at = _parse_timestamp(timestamp)
        if signed_at is None:
            form = "yyyyMMdd'T'HHmmss'Z'"
            raise _malformed_query(f'X-Amz-Date must be in the ISO8601 Long Format "{form}"')
        expires = _parse_expires(given["X-Amz-Expires"])
        access_key_id, scope = self._parse_credential(
            given["X-Amz-Credential"], timestamp, _malformed_query
        )
        now = self._clock()
        if now < signed_at - _MAX_SKEW_SECONDS:
            extra = {"X-Amz-Date": _iso(signed_at), "ServerTime": _iso(now)}
            raise S3Error("AccessDenied", 403, "Request is not valid yet", extra=extra)
        if now > signed_at + expires:
            extra = {
                "X-Amz-Expires": str(expires),
                "Expires": _iso(signed_at + expires),
                "ServerTime": _iso(now),
            }
            raise S3Error("AccessDenied", 403, "Request has expired", extra=extra)
        return _Claim(
            access_key_id=access_key_id,
            scope=scope,
            timestamp=timestamp,
            signed_headers=given["X-Amz-SignedHeaders"].split(";"),
            signature=given["X-Amz-Signature"],
            payload_hash=given.get("X-Amz-Content-Sha256", _UNSIGNED),
        )

    def _parse_credential(
        self, credential: str, timestamp: str, fault: Callable[..., S3Error]
    ) -> tuple[str, str]:
        """Access key id and scope; the scope must be of this service and region and of that day."""
        access_key_id, *scope = credential.rsplit("/", 4)
        if len(scope) != 4:
            example = f"<YOUR-AKID>/YYYYMMDD/REGION/{_SERVICE}/{_TERMINATOR}"
            raise fault(f'the Credential is mal-formed; expecting "{example}".')
        date, region, service, terminator = scope
        if terminator != _TERMINATOR:
            raise fault(f'incorrect terminal "{terminator}"; expecting "{_TERMINATOR}".')
        if service != _SERVICE:
            raise fault(f'incorrect service "{service}"; expecting "{_SERVICE}".')
        if region != (self.region or region or "us-east-1"):
            wanted = self.region or "us-east-1"
            raise fault(f"the region '{region}' is wrong; expecting '{wanted}'", Region=wanted)
        if date != timestamp[:8]:
            raise fault(f'the date "{date}" is not that of X-Amz-Date, "{timestamp}".')
        return access_key_id, "/".join(scope)

    def _check_signature(self, claim: _Claim, canonical_request: bytes) -> None:
        digest = hashlib.sha256(canonical_request).hexdigest()
        to_sign = f"{_ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{digest}"
        key = b"AWS4" + _bytes(self._secret)
        for part in (*claim.scope.split("/"), to_sign):
            key = hmac.digest(key, _bytes(part), "sha256")
        if not _equal(key.hex(), claim.signature):
            raise S3Error(
                "SignatureDoesNotMatch",
                403,
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                extra={
                    "AWSAccessKeyId": claim.access_key_id,
                    "StringToSign": to_sign,
                    "SignatureProvided": claim.signature,
                    "StringToSignBytes": _bytes(to_sign).hex(" "),
                    "CanonicalRequest": canonical_request.decode("utf-8", "replace"),
                    "CanonicalRequestBytes": canonical_request.hex(" "),
                },
            )


def _check_signed_headers(claim: _Claim, headers: Mapping[str, str]) -> None:
    """Whatever S3 acts on must be signed, or it could be added or changed on the way."""
    must = {name for name in headers if name.startswith("x-amz-")} | {"host"}
    if unsigned := sorted(must.difference(claim.signed_headers)):
        message = "There were headers present in the request which were not signed"
        extra = {"HeadersNotSigned": ", ".join(unsigned)}
        raise S3Error("AccessDenied", 403, message, extra=extra)
    if absent := [name for name in claim.signed_headers if name not in headers]:
        message = "There were headers signed which are not present in the request"
        extra = {"HeadersNotPresent": ", ".join(absent)}
        raise S3Error("AccessDenied", 403, message, extra=extra)


def _check_payload_hash(given: str) -> None:
    """The body is empty, so it is unsigned or of the one known hash."""
    if given in (_UNSIGNED, _EMPTY_SHA256):
        return
    if not re.fullmatch("[0-9a-f]{64}", given):
        message = f"x-amz-content-sha256 must be {_UNSIGNED}, or a valid sha256 value."
        raise invalid_argument(message, "x-amz-content-sha256", given)
    raise S3Error(
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        extra={"ClientComputedContentSHA256": given, "S3ComputedContentSHA256": _EMPTY_SHA256},
    )


def _canonical_request(
    method: str, target: RequestTarget, headers: Mapping[str, str], claim: _Claim
) -> bytes:
    # Clients may leave more or fewer characters unencoded than the canonical form does.
    query = sorted(
        (quote(_bytes(name), safe=""), quote(_bytes(value), safe=""))
        for name, value in target.query
        if name != "X-Amz-Signature"
    )
    # Split as bytes: only ASCII white space collapses, and str knows more kinds of it.
    values = {name: headers[name].encode("latin-1", "replace") for name in claim.signed_headers}
    lines = [
        _bytes(method),
        quote(target.path, safe="/").encode(),
        "&".join(f"{name}={value}" for name, value in query).encode(),
        *(_bytes(name) + b":" + b" ".join(value.split()) for name, value in values.items()),
        b"",
        _bytes(";".join(claim.signed_headers)),
        _bytes(claim.payload_hash),
    ]
    return b"\n".join(lines)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _equal(one: str, other: str) -> bool:
    """Compare without telling by the time it takes where the two differ."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _parse_timestamp(text: str) -> float | None:
    """Seconds since the epoch."""
    if not re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _parse_expires(text: str) -> int:
    """Seconds that a presigned request is good for."""
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise _malformed_query("X-Amz-Expires should be a number")
    if text.startswith("-"):
        raise _malformed_query("X-Amz-Expires must be non-negative")
    if int(text) > _MAX_EXPIRES_SECONDS:
        raise _malformed_query(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given "
            f"X-Amz-Expires must be less than {_MAX_EXPIRES_SECONDS} seconds"
        )
    return int(text)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _malformed_header(what: str, **extra: str) -> S3Error:
    message = f"The authorization header is malformed; {what}"
    return S3Error("AuthorizationHeaderMalformed", 400, message, extra=extra)


def _malformed_query(what: str, **extra: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", 400, what, extra=extra)


def _wrong_mechanism() -> S3Error:
    return S3Error(
        "InvalidRequest",
        400,
        f"The authorization mechanism you have provided is not supported. Please use {_ALGORITHM}.",
    )
