"""Requests for the page: those of a browser, for HTML and for no S3 operation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from s3archivefs_lambda.s3api.messages import S3Request
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BROWSE", "SIGN_IN", "PageRequest", "is_page", "prefers_html"]

BROWSE = "Browse"
"""The operation of a browser that sees the page."""
SIGN_IN = "SignIn"
"""The operation of a browser that gets the form to sign in."""
_LONGEST_ACCEPT = 1024
"""Characters of an Accept header, at most, of a browser; theirs have some 200."""
_OF_LISTINGS = {"after", "find"}
_QUALITY = re.compile(r"[ \t]*q=([01](?:\.[0-9]{0,3})?)[ \t]*", re.IGNORECASE)


def is_page(method: str, accept: str, key: str, query: Iterable[tuple[str, str]]) -> bool:
    """Return whether a request is for the page.

    That is of a bucket, of a prefix or, with `?preview`, of an object. The page's parameters are
    none of S3's, and no client of S3 asks for HTML.
    """
    if method != "GET" or not prefers_html(accept):
        return False
    names = [name for name, _ in query]
    if key and not key.endswith("/"):
        return names == ["preview"]
    return _OF_LISTINGS.issuperset(names)


def prefers_html(accept: str) -> bool:
    """Return whether an Accept header (RFC 9110, 12.5.1) has HTML before XML."""
    if len(accept) > _LONGEST_ACCEPT:  # it is read on the event loop
        return False
    qualities: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = part.split(";")
        found = (_QUALITY.fullmatch(each) for each in parameters)
        quality = next((float(each[1]) for each in found if each), 1.0)
        qualities[name.strip().lower()] = quality
    xml = max(qualities.get("application/xml", 0), qualities.get("text/xml", 0))
    return qualities.get("text/html", 0) > xml


@dataclass(slots=True, kw_only=True)
class PageRequest(S3Request):
    """A request for the page; its key is a prefix, or an object's."""

    is_named_by_host: bool = False
    """Whether the host names the bucket, and not the path."""
    is_signed: bool = False
    """Whether the page's script signs what it asks for, as the endpoint has access keys."""

    @classmethod
    def of(cls, request: S3Request, *, named: str, is_signed: bool) -> Self:
        """Return a request as one for the page.

        `named` is the bucket that the host names, if it does.
        """
        return cls(
            bucket=request.bucket,
            key=request.key,
            query=request.query,
            headers=request.headers,
            is_anonymous=request.is_anonymous,
            request_id=request.request_id,
            is_named_by_host=bool(named),
            is_signed=is_signed,
        )

    @property
    def endpoint(self) -> str:
        """The endpoint's host, and port if any, as the browser addressed it."""
        host = self.headers.get("host", "")
        return host[len(self.bucket) + 1 :] if self.is_named_by_host else host

    def href(self, key: str, query: str = "") -> str | None:
        """Return the URL of an object or prefix of the bucket, within this origin.

        None if no browser can ask for it: they take dot segments out of a path, encoded or not.
        """
        if not {".", ".."}.isdisjoint(key.split("/")):
            return None
        path = quote(to_bytes(key), safe="/")
        if not self.is_named_by_host:
            path = f"{self.bucket}/{path}"
        elif path.startswith("/"):
            path = "%2F" + path[1:]  # two slashes would begin with a host
        return f"/{path}{query}"
