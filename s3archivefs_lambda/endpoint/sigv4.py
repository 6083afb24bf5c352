"""AWS Signature Version 4, checked on the server's side, for requests that only read.

The signature covers a canonical form of the request; S3's differs from other services': the path is
decoded and encoded once and never normalised, so ``a//b`` and ``./c`` stay what they are. Refusals
have the codes and elements of Amazon S3.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from s3archivefs_lambda.endpoint.signature import (
    Expected,
    SignatureRefusedError,
    SignedRequest,
    does_not_match,
    equal,
)
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs_lambda.endpoint.access_keys import AccessKey

__all__ = ["ALGORITHM", "UNSIGNED_PAYLOAD", "SigV4Claim"]

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(slots=True, kw_only=True)
class SigV4Claim(ABC):
    """What a request says of its signature, in the header or in the query."""

    CODE: ClassVar[str]
    PREFIX: ClassVar[str] = ""

    request: SignedRequest
    access_key_id: str
    scope: tuple[str, str, str, str]
    """Day, region, service, terminator."""
    signed_at: float
    """Seconds since the epoch."""
    timestamp: str
    """The same time, as the string to sign has it: yyyymmddThhmmssZ."""
    signed_headers: Sequence[str]
    signature: str
    payload_hash: str

    def check(self, expected: Expected) -> None:
        """Check the signature, its time and what it covers against what is expected.

        Raises SignatureRefusedError with S3's code for what is wrong.
        """
        wanted = expected.region
        if wanted is not None and self.scope[1] != wanted:
            raise self.wrong_region(self.scope[1], wanted)
        self._check_time(expected.now)
        self._check_signed_headers()
        _check_payload_hash(self.payload_hash)
        self._check_signature(expected.key)

    @classmethod
    def wrong_region(cls, region: str, wanted: str) -> SignatureRefusedError:
        """Return 400 for a signature for another region than `wanted`."""
        what = f"the region '{region}' is wrong; expecting '{wanted}'"
        return cls.malformed(what, reason=f"not signed for {wanted}", Region=wanted)

    @classmethod
    def malformed(cls, what: str, *, reason: str, **extra: str) -> SignatureRefusedError:
        """Return 400 for a claim that is malformed, with S3's code for its kind."""
        return SignatureRefusedError(cls.CODE, 400, cls.PREFIX + what, reason=reason, extra=extra)

    @abstractmethod
    def _check_time(self, now: float) -> None: ...

    def _check_signed_headers(self) -> None:
        """Refuse unsigned headers that S3 acts on: they could be changed on the way."""
        headers = self.request.headers
        must = {name for name in headers if name.startswith("x-amz-")} | {"host"}
        if unsigned := sorted(must.difference(self.signed_headers)):
            names = ", ".join(unsigned)
            raise SignatureRefusedError(
                "AccessDenied",
                403,
                "There were headers present in the request which were not signed",
                reason=f"headers not signed: {names}",
                extra={"HeadersNotSigned": names},
            )
        if absent := [name for name in self.signed_headers if name not in headers]:
            names = ", ".join(absent)
            raise SignatureRefusedError(
                "AccessDenied",
                403,
                "There were headers signed which are not present in the request",
                reason=f"signed headers not present: {names}",
                extra={"HeadersNotPresent": names},
            )
        self.request.header("host")  # raises if it is repeated

    def _check_signature(self, key: AccessKey) -> None:
        canonical_request = self._canonical_request()
        digest = hashlib.sha256(canonical_request).hexdigest()
        scope = "/".join(self.scope)
        to_sign = to_bytes(f"{ALGORITHM}\n{self.timestamp}\n{scope}\n{digest}")
        signature = hmac.digest(key.signing_key(self.scope), to_sign, "sha256").hex()
        if not equal(signature, self.signature):
            raise does_not_match(self.access_key_id, self.signature, to_sign, canonical_request)

    def _canonical_request(self) -> bytes:
        request = self.request
        # Clients may leave more or fewer characters unencoded than the canonical form does.
        query = sorted(
            (quote(to_bytes(name), safe=""), quote(to_bytes(value), safe=""))
            for name, value in request.target.query
            if name != "X-Amz-Signature"
        )
        lines = [
            to_bytes(request.method),
            quote(request.target.path, safe="/").encode(),
            "&".join(f"{name}={value}" for name, value in query).encode(),
            *(
                to_bytes(name) + b":" + b",".join(map(_collapsed, request.headers[name]))
                for name in dict.fromkeys(self.signed_headers)
            ),
            b"",
            to_bytes(";".join(self.signed_headers)),
            to_bytes(self.payload_hash),
        ]
        return b"\n".join(lines)


def _check_payload_hash(given: str) -> None:
    """Refuse any hash but that of the empty body; the body may be unsigned, too."""
    if given in (UNSIGNED_PAYLOAD, _EMPTY_SHA256):
        return
    if not re.fullmatch("[0-9a-f]{64}", given):
        raise SignatureRefusedError(
            "InvalidArgument",
            400,
            f"x-amz-content-sha256 must be {UNSIGNED_PAYLOAD}, or a valid sha256 value.",
            reason="x-amz-content-sha256 is no hash",
            extra={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": given},
        )
    raise SignatureRefusedError(
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        reason="x-amz-content-sha256 is not that of an empty body",
        extra={"ClientComputedContentSHA256": given, "S3ComputedContentSHA256": _EMPTY_SHA256},
    )


def _collapsed(value: str) -> bytes:
    """Return a header's value with each run of white space inside it as one space.

    It is split as bytes: only ASCII white space collapses, and str knows more kinds of it.
    """
    return b" ".join(value.encode("latin-1", "replace").split())
