"""Who sent a request: which mechanism signed it, and whether the signature is right.

Three mechanisms are taken: Signature Version 4 in the Authorization header or in the query, and
Version 2 in the query. One of them at most signs a request.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.signature import AMZ_HEADER, Expected, SignatureRefusedError
from s3archivefs_lambda.endpoint.sigv2 import SIGV2_PARAMETERS, SigV2Claim, is_sigv2_presigned
from s3archivefs_lambda.endpoint.sigv4 import ALGORITHM
from s3archivefs_lambda.endpoint.sigv4_claims import HeaderClaim, QueryClaim, is_sigv4_presigned
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
    from s3archivefs_lambda.endpoint.signature import Claim, SignedRequest

__all__ = ["Verifier", "claimed_signer", "moved_headers", "without_signature"]

_OF_SIGNATURES = frozenset(
    f"x-amz-{name}"
    for name in (
        *("algorithm", "content-sha256", "credential", "date", "expires", "security-token"),
        *("signature", "signedheaders"),
    )
)
"""Fields and parameters that sign a request, of which no operation knows."""
_NOT_IN_FIELDS = re.compile(r"[\0-\x08\n-\x1f\x7f]+")


class Verifier:
    """Verifies that requests are signed with a known key.

    Signatures that name a region must name `region`; None takes any. `clock` tells seconds since
    the epoch.
    """

    __slots__ = ("_clock", "keys", "region")

    def __init__(
        self,
        keys: AccessKeys,
        *,
        region: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        """The keys in force; others may take their place at any time."""
        self.region = region
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.keys!r}, region={self.region!r})"

    def verify(self, request: SignedRequest) -> AccessKey | None:
        """Return the access key that signed the request, if one did.

        Raises SignatureRefusedError, with S3's code for what is wrong with a signature.
        """
        claim = _claim_of(request)
        if claim is None:
            return None
        try:
            _refuse_session_token(request)
            return self._check(claim, self.keys)
        except SignatureRefusedError as error:
            error.access_key_id = claim.access_key_id
            raise

    def _check(self, claim: Claim, keys: AccessKeys) -> AccessKey:
        key = keys.find(claim.access_key_id)
        expected = Expected(key or keys.nobody, self.region, self._clock())
        if key is not None:
            claim.check(expected)
            return key
        # With the same work as for a known key, to take the same time.
        with suppress(SignatureRefusedError):
            claim.check(expected)
        is_disabled = keys.is_disabled(claim.access_key_id)
        raise SignatureRefusedError(
            "InvalidAccessKeyId",  # of inactive keys too, as IAM calls them
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
            reason="disabled access key" if is_disabled else "unknown access key",
            extra={"AWSAccessKeyId": claim.access_key_id},
        )


def claimed_signer(request: SignedRequest) -> str | None:
    """Return the id of the access key that a request claims to be signed with.

    The signature is not checked: this is for an endpoint without keys. None if there is no whole
    signature.
    """
    try:
        claim = _claim_of(request)
    except SignatureRefusedError:
        return None
    return None if claim is None else claim.access_key_id


def moved_headers(request: SignedRequest) -> dict[str, str]:
    """Return S3's own header fields that a presigned URL has in its query.

    They are by lower-case name. SDKs move them there, so that whoever opens the URL need not send
    them. The signature covers them, but for Version 2 none with a capital letter. A request that is
    not presigned has none, and a field of the request itself is not in them.
    """
    if is_sigv2_presigned(request):
        given = dict(request.parameters)
    elif is_sigv4_presigned(request):
        given = {name.lower(): values for name, values in request.parameters.items()}
    else:
        return {}
    return {
        name: ",".join(map(_as_field_value, values))
        for name, values in given.items()
        if AMZ_HEADER.fullmatch(name) and name not in _OF_SIGNATURES and name not in request.headers
    }


def _as_field_value(value: str) -> str:
    """Return a parameter's value as a header field could have it."""
    return _NOT_IN_FIELDS.sub(" ", to_bytes(value).decode("latin-1")).strip(" \t")


def without_signature(query: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Return the query without the parameters that sign it, of which no operation knows."""
    return (
        (name, value)
        for name, value in query
        if not name.startswith("X-Amz-") and name not in SIGV2_PARAMETERS
    )


def _claim_of(request: SignedRequest) -> Claim | None:
    """Return what the request says of its signature; None if it says nothing.

    Raises SignatureRefusedError if that is malformed, or of a mechanism that is not taken.
    """
    authorization = request.header("authorization")
    by_version_4, by_version_2 = is_sigv4_presigned(request), is_sigv2_presigned(request)
    if (authorization is not None) + by_version_4 + by_version_2 > 1:
        raise SignatureRefusedError(
            "InvalidArgument",
            400,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
            "Signature query string parameter or the Authorization header should be specified",
            reason="more than one signature",
            extra={"ArgumentName": "Authorization"},
        )
    if authorization is not None:
        return _claim_in_header(request, authorization)
    if by_version_4:
        return QueryClaim.read(request)
    return SigV2Claim.read(request) if by_version_2 else None


def _claim_in_header(request: SignedRequest, authorization: str) -> Claim:
    mechanism, _, rest = authorization.partition(" ")
    if mechanism == ALGORITHM:
        return HeaderClaim.read(request, rest)
    if mechanism == "AWS" or mechanism.startswith("AWS4-ECDSA"):
        raise SignatureRefusedError(
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. "
            f"Please use {ALGORITHM}.",
            reason="signed by another mechanism in the Authorization header",
        )
    raise SignatureRefusedError(
        "InvalidArgument",
        400,
        "Unsupported Authorization Type",
        reason="unknown type of Authorization",
        extra={"ArgumentName": "Authorization"},
    )


def _refuse_session_token(request: SignedRequest) -> None:
    """Refuse a session's token: the session signs with a secret that is unknown here."""
    name = "x-amz-security-token"
    if name in request.headers or name in map(str.lower, request.parameters):
        message = "The provided token is malformed or otherwise invalid."
        raise SignatureRefusedError("InvalidToken", 400, message, reason="session token")
