"""Signature Version 2 in the query, as its specification has it, with nothing of a client.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html. No
header fields are signed, and of the parameters the sub-resources below.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

_SUB_RESOURCES = {"acl", "tagging", "versions"}


def presigned_v2(method: str, target: str, *, key_id: str, secret: str, expires: str) -> str:
    """The target of a request that is good until `expires`, in seconds since the epoch."""
    path, _, query = target.partition("?")
    to_sign = f"{method}\n\n\n{expires}\n{path}"
    if query in _SUB_RESOURCES:
        to_sign += f"?{query}"
    digest = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha1).digest()
    signature = quote(base64.b64encode(digest), safe="")
    query = f"{query}&" if query else ""
    return f"{path}?{query}AWSAccessKeyId={key_id}&Signature={signature}&Expires={expires}"
