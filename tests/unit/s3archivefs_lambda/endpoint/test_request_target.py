from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.request_target import MAX_PARAMETERS, parse_target
from s3archivefs_lambda.s3api.messages import S3Error


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/", b"/", ()),
        ("/a//b/./../%2F%2f", b"/a//b/./..///", ()),
        ("/a+b%20c?a+b=%2B%20+", b"/a+b c", (("a b", "+  "),)),
        ("/?a&b=&=c&&d=e=f&a", b"/", (("a", ""), ("b", ""), ("", "c"), ("d", "e=f"), ("a", ""))),
        ("/a?b?c=/?", b"/a", (("b?c", "/?"),)),
        ("/%ff?%ff=%zz%", b"/\xff", (("\udcff", "%zz%"),)),
        ("//host/x", b"//host/x", ()),
        ("/\xe9", b"/\xe9", ()),
    ],
)
def test_a_target_is_decoded_once_and_not_tidied(
    raw: str, path: bytes, query: tuple[tuple[str, str], ...]
) -> None:
    target = parse_target(raw)
    assert (target.path, target.query, target.host) == (path, query, None)


@pytest.mark.parametrize(
    ("raw", "host", "same"),
    [
        ("http://h/", "h", "/"),
        ("http://h", "h", "/"),
        ("http://h?a=b", "h", "/?a=b"),
        ("http://127.0.0.1:9000/b/a+b%20c?x=a+b", "127.0.0.1:9000", "/b/a+b%20c?x=a+b"),
        ("HTTPS://[::1]:80//a/../b?c://d/e", "[::1]:80", "//a/../b?c://d/e"),
        ("http://u:p@h/k", "u:p@h", "/k"),
    ],
)
def test_a_target_in_absolute_form_is_the_one_in_origin_form_and_a_host(
    raw: str, host: str, same: str
) -> None:
    target = parse_target(raw)
    assert target.host == host
    assert replace(target, host=None) == parse_target(same)


@pytest.mark.parametrize(
    "raw",
    [
        *("", "*", "?a", "a/b", "/%", "/%4", "/%4g", "/a%%41"),
        *("http://", "http:///a", "http:/a", "http:a", "ftp://h/a", "h:80", "http://h/%"),
    ],
)
def test_what_is_no_path_is_an_invalid_uri(raw: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_target(raw)
    assert (caught.value.code, caught.value.status) == ("InvalidURI", 400)


def test_a_fault_does_not_repeat_the_query() -> None:
    with pytest.raises(S3Error) as caught:
        parse_target("/%?X-Amz-Signature=abc")
    assert caught.value.extra == {"URI": "/%"}


def test_a_query_of_too_many_parameters_is_refused_whether_or_not_they_are_empty() -> None:
    for parameter in ("a", "a=b", ""):
        at_most = "&".join([parameter] * MAX_PARAMETERS)
        assert len(parse_target(f"/k?{at_most}").query) in {0, MAX_PARAMETERS}
        with pytest.raises(S3Error) as caught:
            parse_target(f"/k?{at_most}&a")
        assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)


@pytest.mark.property
@given(
    path=st.binary(max_size=80),
    query=st.lists(st.tuples(st.binary(min_size=1), st.binary()), max_size=5),
)
def test_whatever_was_encoded_comes_back(path: bytes, query: list[tuple[bytes, bytes]]) -> None:
    for quote_via in (quote, lambda *a, **k: quote(*a, **k).replace("%20", "+")):
        target = parse_target(f"/{quote(path)}?{urlencode(query, quote_via=quote_via)}")
        assert target.path == b"/" + path
        pairs = [tuple(t.encode("utf-8", "surrogateescape") for t in pair) for pair in target.query]
        assert pairs == query


@pytest.mark.property
@given(
    st.lists(st.sampled_from(["%", "%4", "%41", "4", "1", "f", "%ff", "g", "\xe9"])).map("".join)
)
def test_a_query_is_decoded_as_urllib_decodes_it_with_broken_escapes_too(encoded: str) -> None:
    ((_, value),) = parse_target(f"/?a={encoded}").query
    assert value.encode("utf-8", "surrogateescape") == unquote_to_bytes(encoded.encode("latin-1"))
