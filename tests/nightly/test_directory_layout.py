"""The directory of tests/unit/s3archivefs/test_directory_layout.py, with ten times the names."""

from __future__ import annotations

from pathlib import Path

from tests.unit.s3archivefs.test_directory_layout import check_look_up


def test_look_up_among_200_000_names_reads_a_few_blocks(tmp_path: Path) -> None:
    check_look_up(200_000, tmp_path)
