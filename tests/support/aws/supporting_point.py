"""A stand-in for the access point that supports one of Object Lambda: a bucket of a real store, at
an address whose paths are keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.aws.object_lambda_events import (
    REGION,
    SIGNED_HEADERS,
    CallerRequest,
    Operation,
)
from tests.support.servers.loopback_server import Handler, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SupportingPoint"]


class SupportingPoint(LoopbackServer):
    """The access point, serving while entered: for callers with one user's rights.

    A function addresses it by the bucket's name, at the store itself.
    """

    def __init__(self, store_url: str, bucket: str, access_key: str, secret_key: str) -> None:
        super().__init__(_Forwarding)
        self.store_url = store_url
        self.name = bucket
        self._credentials = Credentials(access_key, secret_key)

    def presigned(self, request: CallerRequest, query: Iterable[str]) -> str:
        """The URL at which the store answers the request to that user."""
        method = "HEAD" if request.operation is Operation.HEAD_OBJECT else "GET"
        url = f"{self.store_url}/{self.name}/{request.key}?{'&'.join(query)}"
        signed = {n.lower(): v for n, v in request.headers if n.lower() in SIGNED_HEADERS}
        asked = AWSRequest(method, url, headers=signed)
        S3SigV4QueryAuth(self._credentials, "s3", REGION, expires=61).add_auth(asked)
        return f"{self.url}/{request.key}?{urlsplit(str(asked.url)).query}"


class _Forwarding(Handler):
    """Forwards what was signed for the store to it."""

    server: SupportingPoint

    @property
    def target(self) -> str:
        return f"/{self.server.name}{super().target}"

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.headers.replace_header("Host", urlsplit(self.server.store_url).netloc)
        self.forward(self.server.store_url)

    def do_HEAD(self) -> None:  # noqa: N802 - http.server's name
        self.do_GET()
