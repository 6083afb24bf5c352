"""The HTML document around what the page shows, and what it allows a browser."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from s3archivefs_lambda.endpoint.browsing.markup import Markup, Template
from s3archivefs_lambda.s3api.messages import S3Response

__all__ = ["OBJECT_FIELDS", "PageResponse", "document"]

OBJECT_FIELDS = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
"""Header fields of all that is not the page, where there is one.

An archive may hold HTML and SVG. Opened in a browser, they must not act as the page's origin: in a
sandbox they have none, and no scripts.
"""

_DOCUMENT = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><span>s3archivefs</span>{sign_out}</header>
<main id="main" tabindex="-1">
{main}
</main>
<script>{script}</script>
</body>
</html>
"""
)
_SIGN_OUT = Markup('<button type="button" id="sign-out" hidden>Sign out</button>')


@dataclass(slots=True, kw_only=True)
class PageResponse(S3Response):
    """An HTML document, which may tell of an error."""

    code: str | None = None
    """S3's code of the error."""

    @property
    def error_code(self) -> str | None:
        """S3's code of the error, if it is one."""
        return self.code


def document(
    title: str, main: Markup, *, is_signed: bool, status: int = 200, code: str | None = None
) -> PageResponse:
    """Return an answer with `main` as its content.

    With `is_signed`, its script signs what it asks for, and nothing else may ask for anything.
    """
    style, script = _asset("page.css"), _asset("page.js")
    if is_signed:
        script += _asset("session.js")
    body = _DOCUMENT(
        title=title,
        style=Markup(style),
        script=Markup(script),
        main=main,
        sign_out=_SIGN_OUT if is_signed else "",
    ).encode("utf-8", "replace")
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Length": str(len(body)),
        "Content-Security-Policy": _policy(style, script, is_signed=is_signed),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return PageResponse(status=status, headers=headers, body=(body,), code=code)


@cache
def _policy(style: str, script: str, *, is_signed: bool) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "img-src 'self' data:",
            "connect-src 'self'; form-action 'none'" if is_signed else "form-action 'self'",
            "base-uri 'none'; frame-ancestors 'none'",
        ]
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
