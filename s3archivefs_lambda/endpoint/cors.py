"""Cross-origin requests: which pages a browser may hand the answers to (Fetch, 3.2).

It is as if the bucket had one CORS rule: the origins of the setting, GET and HEAD, every header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.messages import S3Error, S3Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["PREFLIGHT_METHOD", "Cors"]

PREFLIGHT_METHOD = "OPTIONS"

_METHODS = ("GET", "HEAD")
_MAX_AGE = 3600
"""Seconds for which a browser need not ask again."""
_EXPOSED = (
    *("Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length"),
    *("Content-Range", "Date", "ETag", "Server"),
)
"""What a page may read besides the fields that it always may, and S3's own."""
_NOT_OF_HOSTS = frozenset("/?#@")
"""Characters that end a URL's host, or begin it."""
_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


class Cors:
    """The origins whose pages may read; with none, cross-origin reading is off.

    An origin is matched as it is, but for one `*`, which stands for any characters that a host may
    have; a lone `*` is every origin. Answers never allow credentials: none that browsers keep are
    taken here.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = [origin.partition("*") for origin in origins]
        self.is_on = bool(self._origins)

    def fields(self, origin: str | None, sent: Iterable[str] = ()) -> dict[str, str]:
        """Return the header fields for a request of this origin, None if it names none.

        `sent` are the names of the answer's other fields: the page may read S3's own among them.
        Only call it while `is_on`. `Vary` is in every answer: a cache must not give a page the
        answer that another got, nor what somebody without an origin got.
        """
        allowed = None if origin is None else self._allowed(origin)
        if allowed is None:
            return {"Vary": _VARY}
        return {
            "Access-Control-Allow-Origin": allowed,
            "Access-Control-Allow-Methods": ", ".join(_METHODS),
            "Access-Control-Expose-Headers": ", ".join(
                (*_EXPOSED, *(name for name in sent if name.startswith("x-amz-")))
            ),
            "Vary": _VARY,
        }

    def preflight(self, headers: Mapping[str, str], *, is_object: bool) -> S3Response:
        """Answer a browser that asks what a page may do.

        Raises S3Error if the page may not.
        """
        origin = headers.get("origin")
        if origin is None:
            message = "Insufficient information. Origin request header needed."
            raise S3Error("BadRequest", 400, message)
        method = headers.get("access-control-request-method", "null")
        if method not in {"GET", "HEAD", "PUT", "POST", "DELETE"}:
            message = f"Invalid Access-Control-Request-Method: {method}"
            raise S3Error("BadRequest", 400, message)
        if not self.is_on:
            raise _forbidden("CORS is not enabled for this bucket.", method, is_object=is_object)
        if method not in _METHODS or self._allowed(origin) is None:
            raise _forbidden(
                "This CORS request is not allowed. This is usually because the evalution of "
                "Origin, request method / Access-Control-Request-Method or "
                "Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
                method,
                is_object=is_object,
            )
        fields = {"Content-Length": "0", "Access-Control-Max-Age": str(_MAX_AGE)}
        if asked := headers.get("access-control-request-headers"):
            fields["Access-Control-Allow-Headers"] = asked.lower()
        return S3Response(status=200, headers=fields)

    def _allowed(self, origin: str) -> str | None:
        """Return what Access-Control-Allow-Origin says to a page of this origin."""
        if ("", "*", "") in self._origins:
            return "*"
        return origin if any(_fits(origin, each) for each in self._origins) else None


def _fits(origin: str, pattern: tuple[str, str, str]) -> bool:
    before, star, after = pattern
    if not star:
        return origin == before
    if len(origin) < len(before) + len(after):
        return False
    between = origin[len(before) : len(origin) - len(after)]
    return f"{before}{between}{after}" == origin and _NOT_OF_HOSTS.isdisjoint(between)


def _forbidden(why: str, method: str, *, is_object: bool) -> S3Error:
    extra = {"Method": method, "ResourceType": "OBJECT" if is_object else "BUCKET"}
    return S3Error("AccessForbidden", 403, f"CORSResponse: {why}", extra=extra)
