"""The body as a file: pulled as it is sent, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.object_lambda.body_file import BodyFile
from s3archivefs_lambda.request_log import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(st.lists(st.binary(min_size=1, max_size=9)), st.lists(st.integers(1, 12), min_size=1))
def test_reading_a_body_gives_its_bytes_in_sizes_asked_for(
    pieces: list[bytes], sizes: list[int]
) -> None:
    exchange = Exchange(request_id="", emf=False)
    body = BodyFile(pieces, exchange)
    assert body.readable()
    whole = b""
    for turn in range(1000):
        size = sizes[turn % len(sizes)]
        read = body.read(size)
        assert len(read) <= size
        if not read:
            break
        whole += read
        assert exchange.bytes_sent == len(whole)
    assert whole == b"".join(pieces)
    assert body.read(1) == body.read() == b""


def test_a_body_is_pulled_piece_by_piece_as_it_is_sent() -> None:
    pulled = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            pulled.append(number)
            yield bytes([number]) * 10

    body = BodyFile(pieces(), Exchange(request_id="", emf=False))
    assert pulled == []
    assert body.read(4) + body.read(4) + body.read(4) == b"\0" * 10
    assert pulled == [0]
    assert body.read() == b"\1" * 10
    assert pulled == [0, 1]
    assert body.read(100) + body.read(100) == b"\2" * 10
