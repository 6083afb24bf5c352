"""KnownContents is a dict of digests, in less memory."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.writer.contents import KnownContents


def digest_of(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**64 - 1)), max_size=60))
def test_it_finds_what_was_added_first(items: list[tuple[int, int]]) -> None:
    known, expected = KnownContents(), dict[int, int]()
    for content, number in items:
        assert known.get(digest_of(content)) == expected.get(content)
        if content not in expected:
            expected[content] = number
            known.add(digest_of(content), number)
    assert len(known) == len(expected)


def test_it_grows_and_keeps_all() -> None:
    known = KnownContents()
    for number in range(3000):
        known.add(digest_of(number), number)
    assert [known.get(digest_of(number)) for number in range(3000)] == [*range(3000)]
    assert known.get(digest_of(3000)) is None


def test_digests_that_begin_alike_are_told_apart() -> None:
    known = KnownContents()
    digests = [b"\0" * 31 + bytes([last]) for last in range(200)]
    for number, digest in enumerate(digests):
        known.add(digest, number)
    assert [known.get(digest) for digest in digests] == [*range(200)]
