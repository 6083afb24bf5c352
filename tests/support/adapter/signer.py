"""Signature Version 4 as its specification has it, with nothing of a client or of the endpoint.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html, with S3's exception:
the path is encoded once, and not normalised. It signs what no client would send, too.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Signs with one key; `now` is in seconds since the epoch."""

    access_key_id: str
    secret: str = field(repr=False)
    region: str = "us-east-1"
    now: float | None = None
    service: str = "s3"
    terminator: str = "aws4_request"
    day: str | None = None
    """The day of the scope; None for that of the time."""

    def header(
        self, method: str, target: str, headers: Mapping[str, str], payload: str = _EMPTY
    ) -> dict[str, str]:
        """The header fields, lower-case, of a request that is signed in one of them.

        The target is as it is sent, in origin form; all of `headers`, with `host` among them, are
        signed.
        """
        timestamp = self._timestamp()
        signed = {name.lower(): value for name, value in headers.items()}
        signed |= {"x-amz-date": timestamp, "x-amz-content-sha256": payload}
        names = ";".join(sorted(signed))
        signature = self._signature(method, target, signed, payload=payload, timestamp=timestamp)
        scope = self._scope(timestamp)
        return signed | {
            "authorization": f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope},"
            f"SignedHeaders={names},Signature={signature}"
        }

    def presigned(
        self, method: str, target: str, headers: Mapping[str, str], seconds: int = 60
    ) -> str:
        """The target of a request that is signed in its query."""
        timestamp = self._timestamp()
        signed = {name.lower(): value for name, value in headers.items()}
        signing = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access_key_id}/{self._scope(timestamp)}",
            "X-Amz-Date": timestamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": ";".join(sorted(signed)),
        }
        added = "&".join(f"{name}={quote(value, safe='')}" for name, value in signing.items())
        target += f"{'&' if '?' in target else '?'}{added}"
        payload = "UNSIGNED-PAYLOAD"
        signature = self._signature(method, target, signed, payload=payload, timestamp=timestamp)
        return f"{target}&X-Amz-Signature={signature}"

    def _timestamp(self) -> str:
        now = datetime.now(UTC) if self.now is None else datetime.fromtimestamp(self.now, UTC)
        return now.strftime("%Y%m%dT%H%M%SZ")

    def _scope(self, timestamp: str) -> str:
        day = timestamp[:8] if self.day is None else self.day
        return f"{day}/{self.region}/{self.service}/{self.terminator}"

    def _signature(
        self, method: str, target: str, headers: Mapping[str, str], *, payload: str, timestamp: str
    ) -> str:
        path, _, query = target.partition("?")
        names = sorted(headers)
        canonical = "\n".join(
            [
                method,
                quote_from_bytes(unquote_to_bytes(path.encode("latin-1")), safe="/"),
                "&".join(f"{name}={value}" for name, value in sorted(_pairs(query))),
                *(f"{name}:{' '.join(headers[name].split())}" for name in names),
                "",
                ";".join(names),
                payload,
            ]
        )
        scope = self._scope(timestamp)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
        key = f"AWS4{self.secret}".encode()
        for part in (*scope.split("/"), to_sign):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key.hex()


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names and values of a query, encoded as they are signed; "+" is a space."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(_encoded(name), _encoded(value)) for name, _, value in pairs]


def _encoded(text: str) -> str:
    return quote_from_bytes(unquote_to_bytes(text.replace("+", " ").encode("latin-1")), safe="")
