"""Hostile inputs end as they must, within bounded memory, time, reads and bytes.

The cases' names begin with those of the 88 rows of the project's table of hostile inputs: S
superblocks, M metadata blocks and tables, I inodes, R directories, L symlinks, X xattrs, A access.
"""

from __future__ import annotations

import re

import pytest

from s3archivefs import FormatError
from tests.parts.reader.hostile import access, blocks, directories, inodes, superblocks
from tests.parts.reader.hostile.case import run
from tests.support.processes.bounded import in_child, preload

CASES = superblocks.CASES | blocks.CASES | inodes.CASES | directories.CASES | access.CASES
ROWS = {"S": 22, "M": 16, "I": 19, "R": 16, "L": 4, "X": 6, "A": 5}


preload(__name__)  # else each child imports all cases, which takes 0.1 s


def run_case(name: str) -> object:
    """In the child: cases are made of functions, which do not travel."""
    return run(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_ends_as_it_must(name: str) -> None:
    case = CASES[name]
    if case.error is None:
        assert in_child(run_case, name) == case.answer
        return
    with pytest.raises(case.error, match=case.match) as caught:
        in_child(run_case, name)
    assert caught.type is case.error
    if isinstance(caught.value, FormatError):
        assert caught.value.offset is not None
        assert "\n" not in str(caught.value)


def test_every_row_has_its_cases() -> None:
    rows = {re.match(r"[A-Z]\d+", name)[0] for name in CASES}  # type: ignore[index]  # or it fails
    assert rows == {
        f"{kind}{number + 1}" for kind, count in ROWS.items() for number in range(count)
    }
