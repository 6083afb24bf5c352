"""What a request asks for, by whom, and whether it is answered at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.authentication import (
    claimed_signer,
    moved_headers,
    without_signature,
)
from s3archivefs_lambda.endpoint.authorization import check_access
from s3archivefs_lambda.endpoint.browsing.page_request import SIGN_IN
from s3archivefs_lambda.endpoint.cors import PREFLIGHT_METHOD
from s3archivefs_lambda.endpoint.routing import check_method, operation_of
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError, SignedRequest
from s3archivefs_lambda.s3api.errors import access_denied, invalid_request, no_such_bucket
from s3archivefs_lambda.s3api.messages import S3Request, query_parameters

if TYPE_CHECKING:
    from collections.abc import Container

    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.browsing.page import BrowsedOperations
    from s3archivefs_lambda.endpoint.call import Call

__all__ = ["Admission"]

_NO_BYTES = re.compile("0+")
"""A Content-Length of nothing, as a number: so the reader of heads takes it, too."""


class Admission:
    """Checks requests for `buckets`: host, body, signature, access, in S3's order.

    Without a verifier nobody is known, and everybody on this machine may read everything. `page`
    knows which requests are a browser's, if browsers get a page.
    """

    def __init__(
        self, buckets: Container[str], verifier: Verifier | None, page: BrowsedOperations | None
    ) -> None:
        self._buckets = buckets
        self._verifier = verifier
        self._page = page

    def read(self, call: Call) -> tuple[str, S3Request, AccessKey | None]:
        """Return which operation is asked for, with what, by whom; note it for the log.

        Raises S3Error for what is malformed, not signed as it must be, not served, or not for this
        access key.
        """
        exchange, asked, target = call.exchange, call.asked, call.target
        signed = SignedRequest.of(asked, target, call.host.bucket)
        bucket, key = call.place
        exchange.bucket, exchange.key = bucket or None, key or None
        check_method(asked.method)
        # Repeated fields are one, joined by commas (RFC 9110, 5.3).
        headers = {name: ",".join(values) for name, values in signed.headers.items()}
        length = headers.get("content-length", "0")
        if not _NO_BYTES.fullmatch(length) or "transfer-encoding" in headers:
            raise invalid_request("A request that reads must not have a body.")
        if self._verifier is None and not call.host.is_ours:
            message = "Without credentials, only requests for localhost are answered."
            reason = "not signed, and for another host than this machine"
            raise SignatureRefusedError("AccessDenied", 403, message, reason=reason)
        view = self._page and self._page.view_of(asked.method, headers, key, target.query)
        is_open = asked.method == PREFLIGHT_METHOD or view == SIGN_IN
        signer = None if is_open else self._signer(signed, bucket)
        if signer is not None:
            exchange.access_key_id = signer.id
        elif self._verifier is None:
            exchange.access_key_id = claimed_signer(signed)
        if exchange.access_key_id is not None:
            headers |= moved_headers(signed)
        query = query_parameters(without_signature(target.query))
        exchange.operation = view or operation_of(
            asked.method, bucket, key, query, served=self._buckets
        )
        request = S3Request(
            bucket=bucket,
            key=key,
            query=query,
            headers=headers,
            is_anonymous=exchange.access_key_id is None,
            request_id=exchange.request_id,
        )
        if self._page is not None and view is not None:
            request = self._page.request_of(request, call.host.bucket)
        elif signer is not None:
            check_access(signer, exchange.operation, request)
        return exchange.operation, request, signer

    def _signer(self, request: SignedRequest, bucket: str) -> AccessKey | None:
        """Return the key that signed the request; raise S3Error if it must not be answered.

        It is None where no signature is checked.
        """
        if self._verifier is None:
            return None
        signer = self._verifier.verify(request)
        if signer is None:
            if bucket and bucket not in self._buckets:
                raise no_such_bucket(bucket)  # as S3 tells anybody
            raise SignatureRefusedError.of(access_denied(), reason="not signed")
        return signer
