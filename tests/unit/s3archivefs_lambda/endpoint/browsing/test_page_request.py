"""Which requests are for the page, and the addresses of what it shows."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.browsing.page_request import PageRequest, is_page, prefers_html
from s3archivefs_lambda.text import to_bytes, to_text
from tests.support.adapter.browsed import ACCEPT

KEYS = st.binary(max_size=30) | st.lists(
    st.sampled_from([b"/", b".", b"..", b"a", b"//", b"evil.com", b"%2F", b"?", b"#", b"\\", b":"])
).map(b"".join)


@pytest.mark.parametrize(
    ("accept", "is_so"),
    [
        (ACCEPT, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8 , */*", True),
        ("application/xml;q=0.5, text/html;q=0.6", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/xml", False),
        ("application/xml, text/html", False),
        ("text/xml, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=0.000, */*", False),
    ],
)
def test_html_is_preferred_where_it_comes_before_xml(accept: str, is_so: bool) -> None:  # noqa: FBT001
    assert prefers_html(accept) is is_so


def test_an_accept_longer_than_any_browser_sends_is_not_read() -> None:
    assert prefers_html("text/html" + ",a/b" * 250)
    assert not prefers_html("text/html" + ",a/b" * 260)


@pytest.mark.parametrize(
    ("key", "query"),
    [
        ("", ()),
        ("docs/", ()),
        ("docs/", [("after", "token")]),
        ("docs/", [("find", "a"), ("after", "token")]),
        ("docs/a.txt", [("preview", "")]),
    ],
)
def test_buckets_prefixes_and_previews_are_pages(key: str, query: list[tuple[str, str]]) -> None:
    assert is_page("GET", ACCEPT, key, query)
    assert not is_page("HEAD", ACCEPT, key, query)
    assert not is_page("GET", "*/*", key, query)


@pytest.mark.parametrize(
    ("key", "query"),
    [
        ("docs/a.txt", ()),
        ("docs/a.txt", [("preview", ""), ("X-Amz-Signature", "0")]),
        ("docs/a.txt", [("versionId", "null")]),
        ("docs/", [("preview", "")]),
        ("", [("list-type", "2")]),
        ("", [("prefix", "docs/")]),
        ("docs/", [("find", "a"), ("X-Amz-Signature", "0")]),
        ("", [("location", "")]),
        ("", [("AWSAccessKeyId", "a"), ("Signature", "0"), ("Expires", "1")]),
    ],
)
def test_objects_and_what_s3_defines_are_none(key: str, query: list[tuple[str, str]]) -> None:
    assert not is_page("GET", ACCEPT, key, query)


@given(KEYS, st.booleans())
def test_an_address_leads_to_its_key_in_this_origin_and_nowhere_else(
    raw: bytes,
    is_named_by_host: bool,  # noqa: FBT001
) -> None:
    key = to_text(raw)
    request = PageRequest(bucket="archive", key="", is_named_by_host=is_named_by_host)
    href = request.href(key, "?preview")
    if {b".", b".."}.intersection(raw.split(b"/")):
        assert href is None
        return
    assert href is not None
    assert href.isascii()
    url = urlsplit(urljoin("http://localhost:9000/archive/docs/?after=a", href))
    assert (url.scheme, url.netloc, url.query) == ("http", "localhost:9000", "preview")
    start = b"/" if is_named_by_host else b"/archive/"
    assert unquote_to_bytes(url.path) == start + to_bytes(key)
    assert "\\" not in href  # which browsers take for a slash


def test_the_endpoint_is_the_host_without_the_bucket() -> None:
    headers = {"host": "archive.localhost:9000"}
    assert PageRequest(bucket="archive", headers=headers).endpoint == "archive.localhost:9000"
    named = PageRequest(bucket="archive", headers=headers, is_named_by_host=True)
    assert named.endpoint == "localhost:9000"
