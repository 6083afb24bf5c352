"""The document around the page, and what it lets a browser do."""

from __future__ import annotations

import base64
import hashlib

import pytest

from s3archivefs_lambda.endpoint.browsing.document import document
from s3archivefs_lambda.endpoint.browsing.markup import Markup


def policy_of(headers: dict[str, str]) -> dict[str, str]:
    """The directives of the policy, and what they allow."""
    parts = (part.strip().partition(" ") for part in headers["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def hash_of(html: str, tag: str) -> str:
    """As a policy says it, of the one element with that tag."""
    assert html.count(f"<{tag}") == 1
    text = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("is_signed", [False, True])
def test_nothing_runs_or_loads_but_the_documents_own(is_signed: bool) -> None:  # noqa: FBT001
    response = document("title", Markup("<p>main</p>"), is_signed=is_signed)
    (body,) = response.body
    html = bytes(body).decode()
    policy = policy_of(response.headers)
    assert policy.pop("script-src") == f"'sha256-{hash_of(html, 'script')}'"
    assert policy.pop("style-src") == f"'sha256-{hash_of(html, 'style')}'"
    signing = {"connect-src": "'self'", "form-action": "'none'"}
    assert policy == {
        "default-src": "'none'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        **(signing if is_signed else {"form-action": "'self'"}),
    }
    assert ("crypto.subtle" in html) is is_signed


def test_no_copy_is_kept_and_no_address_told() -> None:
    headers = document("title", Markup(), is_signed=True).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_an_error_has_its_status_and_its_code_for_the_log() -> None:
    response = document("title", Markup(), is_signed=False, status=404, code="NoSuchKey")
    assert (response.status, response.error_code, response.error) == (404, "NoSuchKey", None)


def test_a_title_is_escaped() -> None:
    (body,) = document("</title><script>", Markup(), is_signed=False).body
    assert b"<title>&lt;/title&gt;&lt;script&gt;</title>" in bytes(body)
