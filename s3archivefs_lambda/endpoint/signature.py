"""A request as its signature sees it, what a signature is held against, and how it is refused."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self

from s3archivefs_lambda.s3api.messages import S3Error
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s3archivefs_lambda.endpoint.messages import HttpRequest
    from s3archivefs_lambda.endpoint.target import RequestTarget

__all__ = [
    "Claim",
    "Expected",
    "SignatureRefusedError",
    "SignedRequest",
    "does_not_match",
    "equal",
    "iso_time",
]


class SignatureRefusedError(S3Error):
    """A request whose signature, or the lack of it, lets nobody in."""

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
        """The check that failed, in a few words for the log; no part of a credential is in them."""
        self.access_key_id: str | None = None
        """Who is said to have signed, where that could be read."""

    @classmethod
    def of(cls, error: S3Error, *, reason: str) -> Self:
        """Return an error of S3 as such a refusal."""
        return cls(error.code, error.status, error.message, reason=reason, extra=error.extra)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request without a body, as it stood on the wire, whether or not somebody signed it."""

    method: str
    target: RequestTarget
    headers: Mapping[str, Sequence[str]]
    """By lower-case name the values (bytes as latin-1) in the order given."""
    parameters: Mapping[str, Sequence[str]]
    """Of the query, decoded: by name the values in the order given."""

    @classmethod
    def of(cls, request: HttpRequest, target: RequestTarget) -> Self:
        """The request, with its target decoded.

        A host in the target stands in place of the Host header (RFC 9112, 3.2.2).
        """
        headers = _grouped(request.headers)
        if target.host is not None:
            headers["host"] = [target.host]
        return cls(request.method, target, headers, _grouped(target.query))

    def header(self, name: str) -> str | None:
        """The value of a header that may be given once.

        Raises SignatureRefusedError where it is given more than once.
        """
        values = self.headers.get(name, ())
        if len(values) > 1:
            message = f"The header {name} is given more than once."
            reason = f"{name} given more than once"
            raise SignatureRefusedError("InvalidArgument", 400, message, reason=reason)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a signature is held against."""

    secret: str = field(repr=False)
    """The secret access key."""
    region: str | None
    """The one that signatures must be for, where they name any; None takes each."""
    now: float
    """Seconds since the epoch."""


class Claim(Protocol):
    """What a request says of its signature, complete and well-formed; whether it is true is yet to
    be checked.
    """

    @property
    def access_key_id(self) -> str:
        """Who is said to have signed."""
        ...

    def check(self, expected: Expected) -> None:
        """Hold the signature, its time and what it covers against what is expected.

        Raises SignatureRefusedError with S3's code for what is wrong.
        """
        ...


def does_not_match(
    access_key_id: str, to_sign: bytes, given: str, extra: Mapping[str, str] | None = None
) -> SignatureRefusedError:
    """403 SignatureDoesNotMatch, which tells the client what it should have signed."""
    return SignatureRefusedError(
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        reason="signature does not match",
        extra={
            "AWSAccessKeyId": access_key_id,
            "StringToSign": to_sign.decode("utf-8", "replace"),
            "SignatureProvided": given,
            "StringToSignBytes": to_sign.hex(" "),
            **(extra or {}),
        },
    )


def equal(one: str, other: str) -> bool:
    """Compare without telling by the time it takes where the two differ."""
    return hmac.compare_digest(to_bytes(one), to_bytes(other))


def iso_time(seconds: float) -> str:
    """A time, seconds since the epoch, as S3's errors tell it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped
