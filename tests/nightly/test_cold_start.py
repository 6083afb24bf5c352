"""The benchmark of a cold start, run briefly: what it prints is part of the tests' output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks import cold_start
from tests.support.aws.lambda_zips import lambda_python, offline

if TYPE_CHECKING:
    import pytest

PARTS = {
    "Python and Lambda's runtime client",
    "construct",
    "s3archivefs",
    "botocore",
    "s3archivefs_lambda",
    "the function itself, with its two S3 clients",
    "zstandard, on first use",
    "GetObject",
    "cold start, until the client has the file",
}


def test_a_cold_start_is_measured_by_its_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch)
    monkeypatch.setenv(cold_start.PYTHON_VARIABLE, lambda_python())
    cold_start.main(["--repetitions", "3"])
    table = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{table}")
    rows = re.findall(r"^\| ([^|]+) \| +(\d+) \| +(\d+) \| +(\d+) \|$", table, re.MULTILINE)
    assert {name for name, *_ in rows} == PARTS
