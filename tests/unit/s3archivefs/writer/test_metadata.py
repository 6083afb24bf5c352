"""Metadata blocks hold the records in order, and references lead to their starts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.errors import PackingError
from s3archivefs.parallel import Work, Workers
from s3archivefs.writer import metadata
from s3archivefs.writer.metadata import (
    MetadataTable,
    Positions,
    encoded_block,
    write_lookup_table,
)

R = TypeVar("R")
BLOCK = 8192
STORED = 0x8000
ENCODERS = st.sampled_from([None, zlib.compress])


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    found = Workers(2, "test")
    yield found
    found.end()


def decoded(blocks: bytes) -> Iterator[tuple[int, bytes]]:
    """Each block's start and content."""
    at = 0
    while at < len(blocks):
        header = int.from_bytes(blocks[at : at + 2], "little")
        size = header & ~STORED
        content = blocks[at + 2 : at + 2 + size]
        yield at, content if header & STORED else zlib.decompress(content)
        at += 2 + size


@given(
    encode=ENCODERS,
    records=st.lists(
        st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 9000)), max_size=12
    ),
)
def test_references_lead_to_the_records(
    workers: Workers,
    encode: Callable[[bytes], bytes] | None,
    records: list[tuple[bytes, int]],
) -> None:
    table = MetadataTable(encode, workers)
    contents = [letters * times for letters, times in records]
    places = []
    for number, content in enumerate(contents):
        places.append(table.append(content))
        if number % 3 == 0:
            table.settle()
            assert table.reference(places[-1]) & 0xFFFF == places[-1] % BLOCK
    table.finish()

    blocks = dict(decoded(b"".join(table.blocks)))
    assert all(len(block) == BLOCK for block in [*blocks.values()][:-1])
    content = b"".join(blocks.values())
    assert content == b"".join(contents)
    starts = [*blocks]
    for place, record in zip(places, contents, strict=True):
        block, offset = table.reference(place) >> 16, table.reference(place) & 0xFFFF
        assert content[starts.index(block) * BLOCK + offset :].startswith(record)


def test_blocks_are_handed_over_many_at_once() -> None:
    class CountedWorkers(Workers):
        handed_over = 0

        def start(self, do: Callable[[], R]) -> Work[R]:
            self.handed_over += 1
            return super().start(do)

    found = CountedWorkers(2, "test")
    table = MetadataTable(zlib.compress, found)
    for _ in range(40):
        table.append(bytes(BLOCK))
    table.finish()
    found.end()
    assert (len(table.blocks), found.handed_over) == (40, 3)


def test_a_table_that_references_cannot_reach_is_an_error(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "START_MAX", BLOCK + 2)
    table = MetadataTable(None, workers)
    table.append(bytes(2 * BLOCK))
    table.settle()
    table.append(b"more")
    with pytest.raises(PackingError, match="more than 4 GiB"):
        table.finish()


def test_a_block_that_does_not_shrink_is_stored() -> None:
    assert encoded_block(b"ab", zlib.compress) == b"\x02\x80ab"
    assert encoded_block(b"a" * 100, zlib.compress) != b"\x64\x80" + b"a" * 100


@given(content=st.binary(max_size=40), times=st.integers(0, 900), encode=ENCODERS)
def test_a_lookup_table_has_its_blocks_before_its_list(
    content: bytes, times: int, encode: Callable[[bytes], bytes] | None
) -> None:
    written: list[bytes] = []
    image = Positions(written.append, 1000)
    start = write_lookup_table(image, content * times, encode)
    whole = b"".join(written)
    pointers = whole[start - 1000 :]
    assert image.position == 1000 + len(whole)
    blocks = {1000 + at: block for at, block in decoded(whole[: start - 1000])}
    assert [
        int.from_bytes(pointers[at : at + 8], "little") for at in range(0, len(pointers), 8)
    ] == [*blocks]
    assert b"".join(blocks.values()) == content * times
