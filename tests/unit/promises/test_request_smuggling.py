"""Lengths and codings in all combinations: what follows a head is never taken for a request.

The heads that can be read in two ways stand one by one in `endpoint/test_head.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.http_site import Site, asking_for, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator

SMUGGLED = asking_for("smuggled")
LENGTHS = [
    *("", "Content-Length: 0", "Content-Length: 5", "Content-Length: {length}"),
    *("Content-Length: +{length}", "content-length:{length}\r\nContent-Length: 0"),
    *("Content-Length: 0\r\nContent-Length: {length}", "Content-Length: 0, {length}"),
    *("Content_Length: {length}", "Content-Length : {length}", "Content-Length: 0x{length:x}"),
]
"""`length` is that of the smuggled request in a chunk."""
CODINGS = [
    *(
        "",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: identity",
    ),
    *("Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, identity"),
    *("Transfer-Encoding: xchunked", 'Transfer-Encoding: "chunked"', "Transfer-Encoding:"),
    *(
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x0bchunked",
    ),
    *("X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked"),
    *("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer_Encoding: chunked"),
    *("Transfer-Encoding: x\r\n chunked", "Connection: Transfer-Encoding\r\nTE: chunked"),
]
CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
NOTHING = {"", "Content-Length: 0", "Content_Length: {length}"}
NO_CODING = {"", "Transfer_Encoding: chunked", "Connection: Transfer-Encoding\r\nTE: chunked"}
"""Without either, what follows is the next request: these fields have no meaning in HTTP."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def head(method: str, length: str, coding: str) -> bytes:
    fields = [length.format(length=len(CHUNK)), coding]
    lines = [f"{method} /archive/k HTTP/1.1", "Host: localhost", *filter(None, fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "OPTIONS"])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_request_with_a_body_is_refused_and_the_last_on_its_connection(
    site: Site, method: str, coding: str
) -> None:
    site.operations.reset()
    for length in LENGTHS:
        if length in NOTHING and coding in NO_CODING:
            continue
        answer = site.raw(head(method, length, coding) + CHUNK + SMUGGLED)
        assert statuses(answer) in ([400], [405]), length
        assert b"\r\nConnection: close\r\n" in answer
        assert site.operations.asked == []


@pytest.mark.parametrize("length", sorted(NOTHING))
@pytest.mark.parametrize("coding", sorted(NO_CODING))
def test_a_request_without_a_body_is_answered_and_so_is_the_next(
    site: Site, length: str, coding: str
) -> None:
    site.operations.reset()
    last = asking_for("next").replace(b"Host:", b"Host:\r\nConnection: close")
    assert statuses(site.raw(head("GET", length, coding) + last)) == [200, 200]
    assert site.keys == ["k", "next"]


@pytest.mark.parametrize("length", sorted(NOTHING))
@pytest.mark.parametrize("coding", sorted(NO_CODING))
def test_a_chunk_behind_a_request_without_a_body_is_no_request(
    site: Site, length: str, coding: str
) -> None:
    site.operations.reset()
    assert statuses(site.raw(head("GET", length, coding) + CHUNK + SMUGGLED)) == [200, 400]
    assert site.keys == ["k"]
