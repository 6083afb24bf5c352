from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from s3archivefs_lambda.endpoint.head import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    Head,
    HeadBuffer,
    MalformedHeadError,
)
from tests.support.adapter.http_site import BEGUN, LAST, WHOLE, Site, asking_for, statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMUGGLED = asking_for("smuggled")
GET = b"GET /archive/k HTTP/1.1\r\n"
HOST = GET + b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.operations.reset()
    return running_site


def length(line: bytes) -> bytes:
    """A head with a line that is some reader's Content-Length, whole."""
    return HOST + line % len(SMUGGLED) + b"\r\n\r\n"


REFUSED = {
    # A body to the one, the next request to the other.
    "length, VT after the name": length(b"Content-Length\x0b: %d"),
    "length, FF after the name": length(b"Content-Length\x0c: %d"),
    "length, CR after the name": length(b"Content-Length\r: %d"),
    "length, space after the name": length(b"Content-Length : %d"),
    "length, tab after the name": length(b"Content-Length\t: %d"),
    "length, NUL after the name": length(b"Content-Length\0: %d"),
    "length, NEL after the name": length(b"Content-Length\x85: %d"),
    "length, VT before the name": length(b"\x0bContent-Length: %d"),
    "length, FF before the name": length(b"\x0cContent-Length: %d"),
    "length, CR before the name": length(b"\rContent-Length: %d"),
    "length, space before the name": length(b" Content-Length: %d"),
    "length, VT before the value": length(b"Content-Length: \x0b%d"),
    "length, FF before the value": length(b"Content-Length: \x0c%d"),
    "length, NBSP before the value": length(b"Content-Length: \xa0%d"),
    "length, CR after the value": length(b"Content-Length: %d\r"),
    "length, VT after the value": length(b"Content-Length: %d\x0b"),
    "length, behind a bare CR": length(b"X: a\rContent-Length: %d"),
    "length, behind a bare LF": length(b"X: a\nContent-Length: %d"),
    "length, on a folded line": length(b"Content-Length:\r\n %d"),
    "length, twice": length(b"Content-Length: 0\r\nContent-Length: %d"),
    "length, twice the same": HOST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "length, a list": length(b"Content-Length: 0, %d"),
    "length, signed": length(b"Content-Length: +%d"),
    "length, negative": length(b"Content-Length: -%d"),
    "length, underscore": HOST + b"Content-Length: 1_0\r\n\r\n",
    "length, hexadecimal": HOST + b"Content-Length: 0x10\r\n\r\n",
    "length, of other digits": HOST + b"Content-Length: \xb2\r\n\r\n",
    "length, huge": HOST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "length, empty": HOST + b"Content-Length:\r\n\r\n",
    "length, with a fraction": HOST + b"Content-Length: 1.0\r\n\r\n",
    "length, in words": HOST + b"Content-Length: many\r\n\r\n",
    "length and coding": length(b"Content-Length: %d\r\nTransfer-Encoding: chunked"),
    "coding and length 0": HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "coding, twice": HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "coding, space after the name": HOST + b"Transfer-Encoding : chunked\r\n\r\n",
    "coding, folded": HOST + b"Transfer-Encoding:\r\n\tchunked\r\n\r\n",
    "coding in HTTP/1.0": b"GET /k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    # Fields of which one heeds the first and another the last.
    "host, twice": HOST + b"Host: localhost\r\n\r\n",
    "host, twice in other case": HOST + b"hOST: other.example\r\n\r\n",
    "date, twice": HOST + b"X-Amz-Date: 1\r\nX-Amz-Date: 2\r\n\r\n",
    "payload hash, twice": HOST + b"X-Amz-Content-Sha256: a\r\nx-amz-content-sha256: b\r\n\r\n",
    "authorization, twice": HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
    "range, twice": HOST + b"Range: bytes=0-0\r\nRange: bytes=1-1\r\n\r\n",
    "token, twice": HOST + b"x-amz-security-token: a\r\nx-amz-security-token: b\r\n\r\n",
    # Lines.
    "folded": HOST + b"X: a\r\n b\r\n\r\n",
    "folded by a tab": HOST + b"X: a\r\n\tb\r\n\r\n",
    "folded first line": GET + b" x\r\nHost: localhost\r\n\r\n",
    "folded first line by a tab": GET + b"\tx\r\nHost: localhost\r\n\r\n",
    "NUL in a value": HOST + b"X: a\0b\r\n\r\n",
    "CR in a value": HOST + b"X: a\rb\r\n\r\n",
    "DEL in a value": HOST + b"X: a\x7fb\r\n\r\n",
    "ESC in a value": HOST + b"X: \x1b[2J\r\n\r\n",
    "LF ends a line": HOST + b"X: a\nY: b\r\n\r\n",
    "LF ends all lines": WHOLE.replace(b"\r\n", b"\n"),
    "LF ends the head": HOST + b"X: a\r\n\n",
    "no name": HOST + b": a\r\n\r\n",
    "no colon": HOST + b"no colon\r\n\r\n",
    "name with a bracket": HOST + b"X(: a\r\n\r\n",
    "name with a space": HOST + b"X Y: a\r\n\r\n",
    "name beyond ASCII": HOST + b"X\xff: a\r\n\r\n",
    "name that lower-cases to another": HOST + b"\xe2\x84\xaa: a\r\n\r\n",
    # Hosts.
    "no host": GET + b"\r\n",
    "host with a user": GET + b"Host: localhost@other.example\r\n\r\n",
    "host with a path": GET + b"Host: localhost/x\r\n\r\n",
    "host with a space": GET + b"Host: localhost other.example\r\n\r\n",
    "hosts": GET + b'Host: localhost, "x"\r\n\r\n',
    "host with words for a port": GET + b"Host: localhost:http\r\n\r\n",
    "host of an open bracket": GET + b"Host: [::1\r\n\r\n",
    # Request lines.
    "no request": b"\r\n\r\n",
    "no target": b"GET\r\nHost:\r\n\r\n",
    "no version": b"GET /archive/k\r\nHost:\r\n\r\n",
    "an empty target": b"GET  HTTP/1.1\r\nHost:\r\n\r\n",
    "version 1.0_1": b"GET /archive/k HTTP/1.0_1\r\nHost:\r\n\r\n",
    "version +1.1": b"GET /archive/k HTTP/+1.1\r\nHost:\r\n\r\n",
    "version 1.1 and a space": b"GET /archive/k HTTP/1.1 \r\nHost:\r\n\r\n",
    "version 01.1": b"GET /archive/k HTTP/01.1\r\nHost:\r\n\r\n",
    "version 2.0": b"GET /archive/k HTTP/2.0\r\nHost:\r\n\r\n",
    "version 1.2": b"GET /archive/k HTTP/1.2\r\nHost:\r\n\r\n",
    "version 0.9": b"GET /archive/k HTTP/0.9\r\nHost:\r\n\r\n",
    "version 9.9": b"GET /archive/k HTTP/9.9\r\nHost:\r\n\r\n",
    "version of another protocol": b"GET /archive/k HTTQ/1.1\r\nHost:\r\n\r\n",
    "version in lower case": b"GET /archive/k http/1.1\r\nHost:\r\n\r\n",
    "two spaces": b"GET  /archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "tabs": b"GET\t/archive/k\tHTTP/1.1\r\nHost:\r\n\r\n",
    "VT for a space": b"GET\x0b/archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "space in the target": b"GET /archive/k k HTTP/1.1\r\nHost:\r\n\r\n",
    "NUL in the target": b"GET /archive/k\0 HTTP/1.1\r\nHost:\r\n\r\n",
    "CR in the target": b"GET /archive/k\r HTTP/1.1\r\nHost:\r\n\r\n",
    "DEL in the target": b"GET /archive/k\x7f HTTP/1.1\r\nHost:\r\n\r\n",
    "fragment": b"GET /archive/k#f HTTP/1.1\r\nHost:\r\n\r\n",
    "target *": b"GET * HTTP/1.1\r\nHost:\r\n\r\n",
    "relative target": b"GET archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "target of a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\nHost:\r\n\r\n",
    "target of another scheme": b"GET ftp://localhost/archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "target with a user": b"GET http://a@localhost/archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "target with an open bracket": b"GET http://[x HTTP/1.1\r\nHost:\r\n\r\n",
    "target without a host": b"GET http:///archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "method in lower case": b"get /archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "method with a control": b"G\x08ET /archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "method with a bracket": b"G(ET /archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "space before the method": b" GET /archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "two empty lines before": b"\r\n\r\n" + WHOLE,
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
    site: Site, head: bytes
) -> None:
    answer = site.raw(head + SMUGGLED)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"Content-Type"] == b"application/xml"
    assert headers[b"Connection"] == b"close"
    assert headers[b"Content-Length"] == str(len(body)).encode()
    root = ET.fromstring(body)  # noqa: S314 -- our own
    assert root.findtext("Code") == "BadRequest"
    assert root.findtext("RequestId") == headers[b"x-amz-request-id"].decode()
    assert site.operations.asked == []


SERVED = {
    "any case and blanks": b"GET /archive/k HTTP/1.1\r\nhOsT: \t localhost:80 \t \r\n\r\n",
    "no host in HTTP/1.0": b"GET /archive/k HTTP/1.0\r\n\r\n",
    "an empty host": b"GET /archive/k HTTP/1.1\r\nHost:\r\n\r\n",
    "an IPv6 host": b"GET /archive/k HTTP/1.1\r\nHost: [::1]:9000\r\n\r\n",
    "an absolute target": b"GET HTTP://localhost:9/archive/k HTTP/1.1\r\nHost: x.example\r\n\r\n",
    "an empty line before": b"\r\n" + WHOLE,
    "a length of 0": HOST + b"Content-Length: 0\r\n\r\n",
    "a length of 00": HOST + b"Content-Length: 00\r\n\r\n",
    "an empty value": HOST + b"Range:\r\n\r\n",
    "values beyond ASCII": HOST + b"X-Amz-Meta-A: \xc3\xbc\xff\t!\r\n\r\n",
    "a repeated list": HOST + b"X-Amz-Meta-A: 1\r\nx-amz-meta-a: 2\r\n\r\n",
    "every character of a name": HOST + b"!#$%&'*+.^_`|~0Az-: a\r\n\r\n",
    "an upgrade": HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "many fields": HOST + b"a:\r\n" * (MAX_FIELDS - 1) + b"\r\n",
}


@pytest.mark.parametrize("head", SERVED.values(), ids=SERVED.keys())
def test_what_can_be_read_in_one_way_is_served(site: Site, head: bytes) -> None:
    answers = site.raw(head + LAST)
    expected = [200] if b"HTTP/1.0" in head else [200, 200]
    assert statuses(answers) == expected
    assert site.keys == ["k"] * len(expected)


@pytest.mark.parametrize(
    "line", [b"Content-Length: %d", b"Content-Length:%d\t", b"content-length: 000%d"]
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT"])
def test_a_body_never_runs_as_a_request(site: Site, method: bytes, line: bytes) -> None:
    answer = site.raw(length(line).replace(b"GET", method) + SMUGGLED + SMUGGLED)
    assert statuses(answer) == [405 if method == b"PUT" else 400]
    assert b"Connection: close" in answer
    assert site.operations.asked == []


@pytest.mark.parametrize("coding", [b"chunked", b"gzip", b"identity", b"", b"chunked, chunked"])
def test_a_body_in_any_coding_never_runs_as_a_request(site: Site, coding: bytes) -> None:
    answer = site.raw(HOST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n" + SMUGGLED)
    assert statuses(answer) == [400]
    assert b"Connection: close" in answer
    assert site.operations.asked == []


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        (b"close", False),
        (b"Close", False),
        (b"CLOSE", False),
        (b"te, \tClose", False),
        (b"keep-alive\r\nConnection: close", False),
        (b"keep-alive", True),
        (b"closed", True),
        (b"", True),
    ],
)
def test_a_connection_closes_when_its_client_asks_for_it(
    site: Site, options: bytes, *, keeps: bool
) -> None:
    answers = site.raw(HOST + b"Connection: " + options + b"\r\n\r\n" + LAST)
    assert statuses(answers) == [200] * (1 + keeps)


def test_a_connection_of_http_1_0_is_kept_where_its_client_asks_for_it(site: Site) -> None:
    asked = b"GET /archive/k HTTP/1.0\r\n"
    answers = site.raw(asked + b"Connection: Keep-Alive\r\n\r\n" + asked + b"\r\n")
    assert statuses(answers) == [200, 200]
    assert answers.count(b"Connection: keep-alive") == 1


def test_raw_bytes_in_the_target_are_as_if_percent_encoded(site: Site) -> None:
    site.raw(b"GET /archive/\xc3\xbc%c3%bc\xff HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
    assert site.keys == ["üü\udcff"]


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (BEGUN + b"x" * 70_000, 431, "RequestHeaderSectionTooLarge"),
        (BEGUN + b"x" * 70_000 + b"\r\n\r\n", 431, "RequestHeaderSectionTooLarge"),
        (BEGUN + b"x" * 1_000_000 + b"\r\n\r\n", 431, "RequestHeaderSectionTooLarge"),
        (b"GET /" + b"k" * 70_000, 414, "InvalidURI"),
        (b"GET /archive/" + b"k" * 1_000_000 + b" HTTP/1.1\r\nHost:\r\n\r\n", 414, "InvalidURI"),
    ],
    ids=["unfinished", "whole", "longer", "target", "longer target"],
)
def test_a_head_that_is_too_long_is_refused_at_once(
    site: Site, head: bytes, status: int, code: str
) -> None:
    answer = site.raw(head)
    assert statuses(answer) == [status]
    assert f"<Code>{code}</Code>".encode() in answer
    assert site.operations.asked == []


# ---- Without a server ----------------------------------------------------------------------------


def fed(*pieces: bytes) -> list[Head]:
    """The heads in those bytes, as they arrive."""
    buffer, heads = HeadBuffer(), []
    for piece in pieces:
        buffer.add(piece)
        while (head := buffer.take("client")) is not None:
            heads.append(head)
    return heads


def test_a_request_is_what_stood_on_the_wire() -> None:
    (head,) = fed(b"GET /a%2Fb?c+d HTTP/1.1\r\nHost: h\r\nB: 2 \r\nA:\r\nb:\t3\xff\r\n\r\n")
    assert head.request.method == "GET"
    assert head.request.target == "/a%2Fb?c+d"
    assert head.request.headers == (("host", "h"), ("b", "2"), ("a", ""), ("b", "3ÿ"))
    assert head.request.client == "client"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_heads_may_arrive_in_any_pieces(size: int) -> None:
    sent = b"".join(asking_for(str(number)) for number in range(30))
    heads = fed(*(sent[at : at + size] for at in range(0, len(sent), size)))
    assert [head.request.target for head in heads] == [f"/archive/{n}" for n in range(30)]


def test_more_fields_than_any_client_sends_are_refused() -> None:
    (head,) = fed(HOST + b"a:\r\n" * (MAX_FIELDS - 1) + b"\r\n")
    assert len(head.request.headers) == MAX_FIELDS
    with pytest.raises(MalformedHeadError) as caught:
        fed(HOST + b"a:\r\n" * MAX_FIELDS + b"\r\n")
    assert (caught.value.status, caught.value.code) == (431, "RequestHeaderSectionTooLarge")


def steps(run: Callable[[], object]) -> int:
    """Lines of Python that run."""
    count = 0

    def trace(*_: object) -> Any:  # noqa: ANN401 -- itself
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def test_a_head_that_arrives_byte_by_byte_costs_in_proportion_to_its_length() -> None:
    def cost(fill: int) -> int:
        return steps(lambda: fed(*(bytes([byte]) for byte in BEGUN + b"x" * fill)))

    assert cost(4000) < 2.5 * cost(2000)


@pytest.mark.parametrize("piece", [b"x", b" ", b"\t", b",", b"close,", b"a:b", b"[", b"%", b":"])
def test_no_text_in_a_head_keeps_the_parser_busy(piece: bytes) -> None:
    fill = piece * (60_000 // len(piece))
    for head in (
        GET + b"Host: " + fill + b"\x01\r\n\r\n",
        HOST + b"Connection: " + fill + b"\x01\r\n\r\n",
        HOST + b"X: " + fill + b"\x01\r\n\r\n",
        HOST + fill + b"\x01\r\n\r\n",
        b"GET /" + fill + b"\x01 HTTP/1.1\r\n\r\n",
        b"GET http://" + fill + b"\x01/ HTTP/1.1\r\n\r\n",
        b"G" + fill + b"\x01 HTTP/1.1\r\n\r\n",
        GET + b"Host: " + fill + b"\x80\r\n\r\n",
        b"GET http://" + fill + b"\x80/ HTTP/1.1\r\n\r\n",
    ):
        assert len(head) < MAX_HEAD_BYTES
        with pytest.raises(MalformedHeadError):
            fed(head)
