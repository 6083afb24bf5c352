"""What every kind of signature needs: the request, what is expected, and refusals."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self

from s3archivefs_lambda.s3api.messages import S3Error
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.messages import HttpRequest
    from s3archivefs_lambda.endpoint.request_target import RequestTarget

__all__ = [
    "AMZ_HEADER",
    "Claim",
    "Expected",
    "SignatureRefusedError",
    "SignedRequest",
    "does_not_match",
    "equal",
    "expired",
    "iso_time",
]

AMZ_HEADER = re.compile(r"x-amz-[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, 5.6.2: no line ends in it
"""A name of one of S3's own header fields, in lower case."""
_SHOWN_BYTES = 8 * 1024
"""Bytes, at most, of what should have been signed that an answer shows.

It has them twice. With a key of 1,024 bytes, each percent-encoded, an SDK signs some 4 KB.
"""


class SignatureRefusedError(S3Error):
    """A request that is refused for its signature, or the lack of a right one."""

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        reason: str,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, status, message, extra=extra)
        self.reason = reason
        """The check that failed, in a few words for the log, without any credential."""
        self.access_key_id: str | None = None
        """The key that the request claims to be signed with, if that could be read."""

    @classmethod
    def of(cls, error: S3Error, *, reason: str) -> Self:
        """Return an error of S3 as such a refusal."""
        return cls(error.code, error.status, error.message, reason=reason, extra=error.extra)


@dataclass(slots=True)  # frozen, it would take three times as long to make
class SignedRequest:
    """A request without a body, as it stood on the wire, signed or not."""

    method: str
    target: RequestTarget
    headers: Mapping[str, Sequence[str]]
    """By lower-case name the values (bytes as latin-1) in the order given."""
    parameters: Mapping[str, Sequence[str]]
    """Of the query, decoded: by name the values in the order given."""
    named_bucket: str
    """The bucket that the host names; empty if the path does."""

    @classmethod
    def of(cls, request: HttpRequest, target: RequestTarget, named_bucket: str = "") -> Self:
        """Return the request, with its decoded target and the bucket that its host names.

        A host in the target stands in place of the Host header (RFC 9112, 3.2.2).
        """
        headers = _grouped(request.headers)
        if target.host is not None:
            headers["host"] = [target.host]
        return cls(request.method, target, headers, _grouped(target.query), named_bucket)

    def header(self, name: str) -> str | None:
        """Return the value of a header that may stand once, if it is there.

        Raises SignatureRefusedError if it stands more than once.
        """
        values = self.headers.get(name, ())
        if len(values) > 1:
            message = f"The header {name} is given more than once."
            reason = f"{name} given more than once"
            raise SignatureRefusedError("InvalidArgument", 400, message, reason=reason)
        return values[0] if values else None


@dataclass(slots=True)
class Expected:
    """What a right signature is made with."""

    key: AccessKey
    region: str | None
    """The region that signatures must name, if they name any; None takes each."""
    now: float
    """Seconds since the epoch."""


class Claim(Protocol):
    """What a request says of its signature: complete and well-formed, but not checked yet."""

    @property
    def access_key_id(self) -> str:
        """The key that the request claims to be signed with."""
        ...

    def check(self, expected: Expected) -> None:
        """Check the signature, its time and what it covers against what is expected.

        Raises SignatureRefusedError with S3's code for what is wrong.
        """
        ...


def does_not_match(
    access_key_id: str, given: str, to_sign: bytes, canonical_request: bytes = b""
) -> SignatureRefusedError:
    """Return 403 SignatureDoesNotMatch, with what the client should have signed."""
    return SignatureRefusedError(
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        reason="signature does not match",
        extra={
            "AWSAccessKeyId": access_key_id,
            "SignatureProvided": given,
            **_shown("StringToSign", to_sign),
            **_shown("CanonicalRequest", canonical_request),
        },
    )


def _shown(name: str, signed: bytes) -> dict[str, str]:
    """Return the elements that show what is signed; none if it is empty or long."""
    if not 0 < len(signed) <= _SHOWN_BYTES:
        return {}
    return {name: signed.decode("utf-8", "replace"), f"{name}Bytes": signed.hex(" ")}


def expired(at: float, now: float, extra: Mapping[str, str] | None = None) -> SignatureRefusedError:
    """Return 403 AccessDenied for a signature that expired; times in seconds since the epoch."""
    times = {"Expires": iso_time(at), "ServerTime": iso_time(now)}
    return SignatureRefusedError(
        "AccessDenied",
        403,
        "Request has expired",
        reason=f"expired at {iso_time(at)}",
        extra={**(extra or {}), **times},
    )


def equal(one: str, other: str) -> bool:
    """Compare in a time that does not tell where the two differ."""
    return hmac.compare_digest(to_bytes(one), to_bytes(other))


def iso_time(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as S3's errors write it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped
