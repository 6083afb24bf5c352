"""AWS Signature Version 2 in a query.

boto3, s3fs and the AWS CLI presign with it by default. Amazon S3 takes such URLs in the regions
that it had before 2014, and so does the endpoint. Requests that are signed in this way in their
Authorization header are refused: clients sign those with Version 4 everywhere.

Version 2 covers less than Version 4: the method, the path as it is spelt, x-amz-* headers, and of
the query the parameters that name another resource or change the answer's headers. Neither the host
nor what selects a part of a listing is covered. Values are signed as they are, so that
`response-expires=a&response-content-type=b` may be one parameter or two, here as at Amazon S3.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.signature import (
    AMZ_HEADER,
    Expected,
    SignatureRefusedError,
    SignedRequest,
    does_not_match,
    equal,
    expired,
)
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SIGV2_PARAMETERS", "SigV2Claim", "is_sigv2_presigned"]

SIGV2_PARAMETERS = frozenset({"AWSAccessKeyId", "Expires", "Signature"})
"""The parameters that sign a query."""

# "Constructing the CanonicalizedResource element" in
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html, and what the SDKs
# have signed of the sub-resources that S3 was given since.
_COVERED = frozenset(
    (  # noqa: SIM905 -- a list of words, not forty lines
        "accelerate acl analytics cors delete inventory lifecycle location logging metrics"
        " notification object-lock partNumber policy publicAccessBlock replication requestPayment"
        " restore tagging torrent uploadId uploads versionId versioning versions website"
        " response-cache-control response-content-disposition response-content-encoding"
        " response-content-language response-content-type response-expires"
    ).split(" ")
)
_LINE_END = re.compile("[\r\n]+")
_TIMES_END = 2**31
"""Seconds since the epoch: S3 takes no time from here on."""


def is_sigv2_presigned(request: SignedRequest) -> bool:
    """Return whether the query claims that Version 2 signed it; Expires alone does not."""
    return "AWSAccessKeyId" in request.parameters or "Signature" in request.parameters


@dataclass(slots=True)
class SigV2Claim:
    """What a URL that Version 2 presigned says of its signature."""

    request: SignedRequest
    access_key_id: str
    expires: str
    """Seconds since the epoch, as they are spelt."""
    signature: str
    """As it stands there, whether or not it is Base64."""

    @classmethod
    def read(cls, request: SignedRequest) -> SigV2Claim:
        """Read the query.

        Raises SignatureRefusedError if it is incomplete or ambiguous.
        """
        given = {name: request.parameters.get(name, ()) for name in SIGV2_PARAMETERS}
        if any(len(values) != 1 or not values[0] for values in given.values()):
            raise SignatureRefusedError(
                "AccessDenied",
                403,
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId "
                "parameters",
                reason="Signature, Expires and AWSAccessKeyId not given once each",
            )
        expires = given["Expires"][0]
        if not re.fullmatch(r"\d{1,18}", expires, re.ASCII) or int(expires) >= _TIMES_END:
            message = f"Invalid date (should be seconds since epoch): {expires}"
            reason = "Expires is no time"
            raise SignatureRefusedError("AccessDenied", 403, message, reason=reason)
        return cls(request, given["AWSAccessKeyId"][0], expires, given["Signature"][0])

    def check(self, expected: Expected) -> None:
        """Check signature and time against what is expected.

        Raises SignatureRefusedError with S3's code for what is wrong.
        """
        expires = int(self.expires)
        if expected.now > expires:
            raise expired(expires, expected.now)
        secret = to_bytes(expected.key.secret)
        for path in self._spellings():
            to_sign = self._string_to_sign(path)
            digest = hmac.digest(secret, to_sign, "sha1")
            if equal(base64.b64encode(digest).decode(), self.signature):
                return
        raise does_not_match(self.access_key_id, self.signature, to_sign)

    def _spellings(self) -> list[bytes]:
        """Return the spellings of the path that may have been signed.

        For a bucket, SDKs sign `/bucket/` and request `/bucket`. A bucket that the host names is
        signed as if the path did.
        """
        path = self.request.target.raw_path
        if self.request.named_bucket:
            return [b"/" + to_bytes(self.request.named_bucket) + path]
        return [path] if b"/" in path[1:] else [path + b"/", path]

    def _string_to_sign(self, path: bytes) -> bytes:
        return b"\n".join(
            [
                to_bytes(self.request.method),
                _joined(self.request.headers.get("content-md5", ())),
                _joined(self.request.headers.get("content-type", ())),
                to_bytes(self.expires),
                *self._amz_headers(),
                path + self._sub_resources(),
            ]
        )

    def _amz_headers(self) -> list[bytes]:
        """Return S3's own headers, and the parameters that stand in place of them.

        botocore moves the headers that it has signed into the query.
        """
        request = self.request
        names = sorted(filter(AMZ_HEADER.fullmatch, {*request.headers, *request.parameters}))
        return [
            f"{name}:".encode()
            + _joined(
                [*request.headers.get(name, ()), *_as_header(request.parameters.get(name, ()))]
            )
            for name in names
        ]

    def _sub_resources(self) -> bytes:
        """Return the parameters that name another resource, or set the answer's headers."""
        covered = sorted(
            (pair for pair in self.request.target.query if pair[0] in _COVERED),
            key=lambda pair: pair[0],
        )
        query = "&".join(f"{name}={value}" if value else name for name, value in covered)
        return b"?" + to_bytes(query) if query else b""


def _joined(values: Iterable[str]) -> bytes:
    return b",".join(value.encode("latin-1", "replace").strip() for value in values)


def _as_header(values: Iterable[str]) -> Iterator[str]:
    """Return a parameter's values as a header could hold them: each on one line.

    With a line's end in it, a value could take up what follows it in the string to sign.
    """
    for value in values:
        yield _LINE_END.sub(" ", to_bytes(value).decode("latin-1"))
