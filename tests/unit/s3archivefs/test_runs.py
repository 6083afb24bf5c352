"""Runs: the fields of entries that follow each other in a listing."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.runs import Entry, Run, run_at, starts_at
from tests.support.images.built import entries as make_entries

HEADER = 12
SAME_LENGTH = [b"0001", b"0002", b"0003"]
OTHERS = [b"a", b"bcd", b"e" * 256]


def listed(names: list[bytes]) -> bytes:
    return make_entries(3, 9, *((at * 32, at - 1, 2, name) for at, name in enumerate(names)))


@pytest.mark.parametrize("names", [SAME_LENGTH, OTHERS, OTHERS[:1]])
def test_a_run_has_the_fields_of_its_entries(names: list[bytes]) -> None:
    data = listed(names)
    run = run_at(3, 9, data, starts_at(data, HEADER, len(names)))
    expected = [Entry(name, 2, 3 << 16 | at * 32, 9 + at - 1) for at, name in enumerate(names)]
    assert [*run.entries()] == expected
    assert [run.entry(at) for at in range(len(names))] == expected
    assert [*run.first(1).entries()] == expected[:1]
    assert run.references == [entry.reference for entry in expected]
    assert run.inode_numbers == [entry.inode_number for entry in expected]


def test_only_names_of_one_length_start_at_a_range() -> None:
    assert starts_at(listed(SAME_LENGTH), HEADER, 3) == range(12, 48, 12)
    assert starts_at(listed(OTHERS), HEADER, 3) == [12, 21, 32]


@pytest.mark.property
@given(
    names=st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=5),
    cut=st.integers(0, 50),
    count=st.integers(1, 7),
)
def test_a_run_that_is_cut_off_raises(names: list[bytes], cut: int, count: int) -> None:
    data = listed(names)
    data = data[: len(data) - cut]
    ends = [HEADER + sum(8 + len(name) for name in names[:at]) for at in range(1, len(names) + 1)]
    try:
        run = run_at(3, 9, data, starts_at(data, HEADER, count))
    except (struct.error, IndexError, ValueError):
        assert count > len(names) or ends[count - 1] > len(data)
    else:
        assert isinstance(run, Run)
        assert [*run.names] == names[:count]


def test_a_name_that_is_too_long_raises() -> None:
    data = bytearray(listed(OTHERS))
    data[12 + 7] = 1  # the high byte of the first name's size
    with pytest.raises(ValueError, match="too long"):
        run_at(3, 9, bytes(data), starts_at(bytes(data), HEADER, 3))
