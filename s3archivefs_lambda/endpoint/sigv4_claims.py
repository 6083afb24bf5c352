"""Claims of Signature Version 4: in the Authorization header, or in the query ("presigned").

Each has its own faults, and its own rule for the time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from s3archivefs_lambda.endpoint.signature import (
    SignatureRefusedError,
    SignedRequest,
    expired,
    iso_time,
)
from s3archivefs_lambda.endpoint.sigv4 import ALGORITHM, UNSIGNED_PAYLOAD, SigV4Claim
from s3archivefs_lambda.s3api.buckets import DEFAULT_REGION
from s3archivefs_lambda.s3api.dates import parse_http_date

__all__ = ["HeaderClaim", "QueryClaim", "is_sigv4_presigned"]

_SERVICE = "s3"
_TERMINATOR = "aws4_request"
_MAX_SKEW_SECONDS = 15 * 60
"""Seconds between the clocks of client and server, at most: S3's limit."""
_MAX_EXPIRES_SECONDS = 7 * 24 * 3600
"""Seconds for which a presigned URL is valid, at most: S3's limit."""
_REQUIRED_IN_QUERY = tuple(
    f"X-Amz-{name}"
    for name in ("Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires")
)
_TIMESTAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def is_sigv4_presigned(request: SignedRequest) -> bool:
    """Return whether the query claims that Version 4 signed it."""
    return not request.parameters.keys().isdisjoint(_REQUIRED_IN_QUERY)


class HeaderClaim(SigV4Claim):
    """What the Authorization header says of the signature."""

    __slots__ = ()
    CODE = "AuthorizationHeaderMalformed"
    PREFIX = "The authorization header is malformed; "

    @classmethod
    def read(cls, request: SignedRequest, authorization: str) -> HeaderClaim:
        """Read what follows the algorithm in the Authorization header.

        Raises SignatureRefusedError if it is incomplete or malformed.
        """
        parts = [part.strip().partition("=") for part in authorization.split(",", 3)]
        fields = {name: value for name, _, value in parts}
        if len(parts) != 3 or fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
            what = "expecting Credential, SignedHeaders and Signature, once each."
            raise cls.malformed(what, reason="malformed Authorization header")
        # The signature covers the time, whichever header says it.
        timestamp = request.header("x-amz-date")
        signed_at = _parse_timestamp(timestamp) if timestamp is not None else _parse_date(request)
        if signed_at is None:
            message = "AWS authentication requires a valid Date or x-amz-date header"
            reason = "no valid Date or x-amz-date"
            raise SignatureRefusedError("AccessDenied", 403, message, reason=reason)
        payload_hash = request.header("x-amz-content-sha256")
        if payload_hash is None:
            message = "Missing required header for this request: x-amz-content-sha256"
            reason = "no x-amz-content-sha256"
            raise SignatureRefusedError("InvalidRequest", 400, message, reason=reason)
        if timestamp is None:
            timestamp = datetime.fromtimestamp(signed_at, UTC).strftime("%Y%m%dT%H%M%SZ")
        access_key_id, scope = _parse_credential(cls, fields["Credential"], timestamp)
        return cls(
            request=request,
            access_key_id=access_key_id,
            scope=scope,
            signed_at=signed_at,
            timestamp=timestamp,
            signed_headers=fields["SignedHeaders"].split(";"),
            signature=fields["Signature"],
            payload_hash=payload_hash,
        )

    def _check_time(self, now: float) -> None:
        if abs(now - self.signed_at) > _MAX_SKEW_SECONDS:
            raise SignatureRefusedError(
                "RequestTimeTooSkewed",
                403,
                "The difference between the request time and the current time is too large.",
                reason=f"signed at {iso_time(self.signed_at)}, more than 15 minutes off",
                extra={
                    "RequestTime": self.timestamp,
                    "ServerTime": iso_time(now),
                    "MaxAllowedSkewMilliseconds": str(_MAX_SKEW_SECONDS * 1000),
                },
            )


@dataclass(slots=True, kw_only=True)
class QueryClaim(SigV4Claim):
    """What a URL that Version 4 presigned says of its signature."""

    CODE: ClassVar[str] = "AuthorizationQueryParametersError"

    seconds: int
    """How long the URL is valid."""

    @classmethod
    def read(cls, request: SignedRequest) -> QueryClaim:
        """Read the query.

        Raises SignatureRefusedError if it is incomplete or malformed.
        """
        signing = {
            name: values for name, values in request.parameters.items() if name.startswith("X-Amz-")
        }
        if not signing.keys() >= set(_REQUIRED_IN_QUERY):
            raise cls.malformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, "
                "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
                "X-Amz-Expires parameters.",
                reason="X-Amz parameters missing",
            )
        if any(len(values) > 1 for values in signing.values()):
            what = "An X-Amz parameter is given more than once."
            raise cls.malformed(what, reason="X-Amz parameter given more than once")
        given = {name: values[0] for name, values in signing.items()}
        if given["X-Amz-Algorithm"] != ALGORITHM:
            what = f'X-Amz-Algorithm only supports "{ALGORITHM}"'
            raise cls.malformed(what, reason="unknown X-Amz-Algorithm")
        signed_at = _parse_timestamp(given["X-Amz-Date"])
        if signed_at is None:
            form = "yyyyMMdd'T'HHmmss'Z'"
            what = f'X-Amz-Date must be in the ISO8601 Long Format "{form}"'
            raise cls.malformed(what, reason="malformed X-Amz-Date")
        timestamp = given["X-Amz-Date"]
        seconds = _parse_expires(given["X-Amz-Expires"])
        access_key_id, scope = _parse_credential(cls, given["X-Amz-Credential"], timestamp)
        return cls(
            request=request,
            access_key_id=access_key_id,
            scope=scope,
            signed_at=signed_at,
            timestamp=timestamp,
            seconds=seconds,
            signed_headers=given["X-Amz-SignedHeaders"].split(";"),
            signature=given["X-Amz-Signature"],
            payload_hash=given.get("X-Amz-Content-Sha256", UNSIGNED_PAYLOAD),
        )

    def _check_time(self, now: float) -> None:
        if now < self.signed_at - _MAX_SKEW_SECONDS:
            raise SignatureRefusedError(
                "AccessDenied",
                403,
                "Request is not valid yet",
                reason=f"not valid before {iso_time(self.signed_at)}",
                extra={"X-Amz-Date": iso_time(self.signed_at), "ServerTime": iso_time(now)},
            )
        expires = self.signed_at + self.seconds
        if now > expires:
            raise expired(expires, now, {"X-Amz-Expires": str(self.seconds)})


def _parse_credential(
    kind: type[SigV4Claim], credential: str, timestamp: str
) -> tuple[str, tuple[str, str, str, str]]:
    """Return access key id and scope; refuse another service, or another day."""
    access_key_id, *scope = credential.rsplit("/", 4)
    if len(scope) != 4 or not access_key_id:
        example = f"<YOUR-AKID>/YYYYMMDD/REGION/{_SERVICE}/{_TERMINATOR}"
        what = f'the Credential is mal-formed; expecting "{example}".'
        raise kind.malformed(what, reason="malformed Credential")
    day, region, service, terminator = scope
    if terminator != _TERMINATOR:
        what = f'incorrect terminal "{terminator}"; expecting "{_TERMINATOR}".'
        raise kind.malformed(what, reason="signed for another terminator")
    if service != _SERVICE:
        what = f'incorrect service "{service}"; expecting "{_SERVICE}".'
        raise kind.malformed(what, reason="signed for another service")
    if not region:
        raise kind.wrong_region(region, DEFAULT_REGION)
    if day != timestamp[:8]:
        what = f'the date "{day}" is not that of X-Amz-Date, "{timestamp}".'
        raise kind.malformed(what, reason="the Credential's day is not that of the signature")
    return access_key_id, (day, region, service, terminator)


def _parse_timestamp(text: str) -> float | None:
    """Return a time as seconds since the epoch, if it is spelt yyyymmddThhmmssZ."""
    if (parts := _TIMESTAMP.fullmatch(text)) is None:
        return None
    year, month, day, hour, minute, second = map(int, parts.groups())  # strptime takes 7 µs
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _parse_date(request: SignedRequest) -> float | None:
    """Return the Date header's time as seconds since the epoch, if it is one.

    It may have a form of HTTP, in which botocore gives the zone as -0000, or that of x-amz-date.
    """
    text = request.header("date")
    if text is None:
        return None
    if (seconds := _parse_timestamp(text)) is not None:
        return seconds
    time = parse_http_date(text)
    return None if time is None else time.timestamp()


def _parse_expires(text: str) -> int:
    """Return the seconds for which a presigned request is valid."""
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        what = "X-Amz-Expires should be a number"
    elif text.startswith("-"):
        what = "X-Amz-Expires must be non-negative"
    elif int(text) > _MAX_EXPIRES_SECONDS:
        what = (
            "X-Amz-Expires must be less than a week (in seconds); that is, the given "
            f"X-Amz-Expires must be less than {_MAX_EXPIRES_SECONDS} seconds"
        )
    else:
        return int(text)
    raise QueryClaim.malformed(what, reason="X-Amz-Expires out of range")
