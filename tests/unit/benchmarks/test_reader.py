"""The benchmark of the reader: what it runs, what it counts, and what it says of goals."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.listing.images import pack_stream
from benchmarks.reader.figures import Measured, Outcome, rates
from benchmarks.reader.goals import rate_least, ratio_most
from benchmarks.reader.ours import CONTENTS, WORKS
from benchmarks.reader.report import goal_lines, table_lines
from benchmarks.reader.rows import BULK, OURS, TOOLS, Row
from benchmarks.reader.runs import NOT_THERE_YET, Failure, Run, run
from benchmarks.reader.source_tree import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

FILES = 60
ROW = Row(
    title="work",
    image=None,
    ways={},
    goals=(ratio_most(OURS, TOOLS, 2), ratio_most(BULK, TOOLS, 1), rate_least(OURS, 40_000, 10)),
)


def python(program: str, *, seconds_max: float = 60) -> Run | Failure:
    return run([sys.executable, "-c", program], is_reader=True, seconds_max=seconds_max)


def measured(wall: float, **printed: float) -> Measured:
    return Measured(wall, wall, 1e6, printed)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("images") / "source.sqfs"
    pack_stream(SOURCE.stream(FILES), image, "-comp", "gzip")
    return image


def test_a_run_has_the_numbers_that_were_printed_and_what_its_process_took() -> None:
    found = python("x = b'x' * 90_000_000; print('files', 3); print('bytes', 1.5)")
    assert isinstance(found, Run)
    assert found.printed == {"files": 3, "bytes": 1.5}
    assert found.memory > 90_000_000
    assert found.processor > 0
    assert found.wall > 0


def test_what_fails_takes_too_long_or_is_unknown_says_so() -> None:
    assert python("raise ValueError('no codec')") == Failure("fails", "ValueError: no codec")
    assert python("import threading; threading.Event().wait()", seconds_max=0.2) == Failure("> 0 s")
    assert python("print('unknown')") == Failure(NOT_THERE_YET)


def test_the_reader_finds_what_was_packed_in_each_way(source: Path) -> None:
    sizes = [file.size for file in SOURCE.files(FILES)]
    for way in CONTENTS:
        found = WORKS[f"read {way}"](str(source), FILES)
        assert found == {"files": FILES, "bytes": sum(sizes)}
    assert WORKS["check"](str(source), FILES) == {"ways": len(CONTENTS)}
    with pytest.raises(ValueError, match="not what was packed"):
        WORKS["check"](str(source), FILES + 1)


def test_verdicts() -> None:
    outcomes: dict[str, Outcome] = {
        OURS: measured(3, rate_40000=9, looked_up=100),
        TOOLS: measured(1),
        BULK: Failure(NOT_THERE_YET),
    }
    full, quick = (
        [line.split(" | ")[-2:] for line in goal_lines({"r": ROW}, {"r": outcomes}, is_quick=each)]
        for each in (False, True)
    )
    assert full[2:5] == [
        ["3.00 x", "**missed** |"],
        ["-", f"{NOT_THERE_YET} |"],
        ["9/s", "**missed** |"],
    ]
    assert quick[2] == full[2]
    assert quick[4] == ["9/s", "not judged |"]


def test_the_table_tells_why_a_cell_is_empty() -> None:
    outcomes: dict[str, Outcome] = {OURS: measured(3), TOOLS: Failure("fails", "no codec")}
    *_, row, _, reason = table_lines({"r": ROW}, {"r": outcomes})
    assert row == "| work | 3 s / 3 s / 1 MB | - | fails | - | - |"
    assert reason == f"- {TOOLS}, work: no codec"


def test_rates_are_those_over_the_look_ups_that_were_made() -> None:
    slow = measured(1, looked_up=500, rate_40000=50.0, rate_100000=50.0)
    assert rates(slow, {}) == "50/s over 500 / 1 MB"
    fast = measured(1, looked_up=100_000, rate_40000=2e4, rate_100000=4e4)
    assert rates(fast, {}) == "20,000/s over 40,000, 40,000/s over 100,000 / 1 MB"
