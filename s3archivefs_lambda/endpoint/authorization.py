"""What an access key may read, by the rules of an IAM policy for prefixes.

An object lies under one of the key's prefixes, or is denied. So is a listing: its own prefix must
lie there, as with a condition on `s3:prefix`. What concerns a bucket as a whole is for keys that
may read something in it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.signature import SignatureRefusedError
from s3archivefs_lambda.s3api.errors import access_denied

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["check_access"]


def check_access(key: AccessKey, operation: str, request: S3Request) -> None:
    """Raise 403 AccessDenied if the key may not ask for this.

    The request has from then on what it `may_read`, for links that lead elsewhere.
    ListBuckets is for every key: it shows the buckets that the key knows of.
    """
    if operation == "ListBuckets":
        return
    if key.starts is not None:
        request.may_read = partial(key.may_read, request.bucket)
    if request.key:
        may = key.may_read(request.bucket, request.key)
    elif operation.startswith("List"):
        may = key.may_read(request.bucket, request.query.get("prefix", ""))
    else:
        may = key.may_read_in(request.bucket)
    if not may:
        error = SignatureRefusedError.of(access_denied(), reason="not what the key may read")
        error.access_key_id = key.id
        raise error
