"""What an extraction tells of its progress adds up to what it made or kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.extraction.progress import Progress

PIECES = st.lists(st.integers(1, 6 << 20), max_size=4)
KEPT = st.lists(st.integers(0, 1 << 20), max_size=2)
FILES = st.lists(st.tuples(PIECES, KEPT, st.integers(0, 1 << 20), st.booleans()), max_size=200)
"""Of each file the pieces counted, others kept meanwhile, its other bytes, whether it is made."""


@pytest.mark.property
@given(FILES)
def test_no_call_is_negative_and_all_add_up_to_what_was_made(
    files: list[tuple[list[int], list[int], int, bool]],
) -> None:
    told: list[tuple[int, int]] = []
    progress = Progress(lambda *more: told.append(more))
    count = made = most = 0
    for pieces, kept, rest, is_made in files:
        for size in pieces:
            progress.piece(size)
        for size in kept:
            progress.kept(size)
        count += len(kept)
        made += sum(kept)
        most = max(most, made + sum(pieces))  # with those of a file that may yet fail
        if is_made:
            progress.file(sum(pieces) + rest)
            count += 1
            made += sum(pieces) + rest
        else:
            progress.failed()
    progress.end()
    assert all(number >= 0 and size >= 0 for number, size in told)
    assert sum(number for number, _ in told) == count
    assert sum(size for _, size in told) == max(made, most)


def test_without_a_listener_nothing_is_told() -> None:
    progress = Progress(None)
    progress.piece(1)
    progress.file(2)
    progress.end()
