"""Runs the ways of each row in turn, and keeps what they took."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.reader.figures import Measured, Outcome
from benchmarks.reader.images import IMAGES, QUICK, Sizes, image_path
from benchmarks.reader.rows import Row
from benchmarks.reader.runs import ROOT, Failure, Run, run
from benchmarks.reader.ways import Setting, Way

__all__ = ["Bench"]

_ONCE_SECONDS = 20  # what takes longer is not repeated
_SECONDS_MAX, _SECONDS_MAX_QUICK = 300, 15  # what takes longer is killed
_PIECE = 1 << 20  # bytes read at once, to bring an image into the page cache


class Bench:
    """Runs the ways of rows in processes of their own, and keeps what they took."""

    def __init__(self, directory: Path, scratch: Path, *, sizes: Sizes, repetitions: int) -> None:
        self._directory = directory.resolve()
        self._extracted = scratch / "extracted"
        self._sizes = sizes
        self._repetitions = repetitions
        self._seconds_max = _SECONDS_MAX_QUICK if sizes is QUICK else _SECONDS_MAX

    def pack(self, rows: Iterable[Row]) -> None:
        """Make the images of rows, unless they are there."""
        names = sorted({row.image for row in rows if row.image is not None})
        if names:
            command = [sys.executable, "-m", "benchmarks.reader.images", str(self._directory)]
            options = ["--quick"] if self._sizes is QUICK else []
            subprocess.run([*command, *options, *names], cwd=ROOT, check=True)

    def measure(self, row: Row) -> dict[str, Outcome]:
        """Run each way of a row in turn, as often as is asked for."""
        setting = self._setting(row)
        expected = row.found(self._sizes)
        runs: dict[str, list[Run]] = {name: [] for name in row.ways}
        failures: dict[str, Outcome] = {}
        for _ in range(self._repetitions * row.runs):
            for name, way in row.ways.items():
                done = runs[name]
                if name in failures or (done and done[0].wall > _ONCE_SECONDS):
                    continue
                found = self._run(way, setting, seconds_max=self._seconds_max)
                if isinstance(found, Failure):
                    failures[name] = found
                    continue
                if way.is_reader and not expected.items() <= found.printed.items():
                    raise ValueError(f"{name} found {found.printed} instead of {expected}")
                done.append(found)
        return failures | {name: Measured.of(done) for name, done in runs.items() if done}

    def check(self, row: Row) -> None:
        """Hold what this project reads of the row's image against what was packed."""
        if row.check is not None:
            found = self._run(row.check, self._setting(row), seconds_max=_SECONDS_MAX)
            if isinstance(found, Failure):
                raise ValueError(f"{row.title}: {found.text}: {found.reason}")

    def _run(self, way: Way, setting: Setting, *, seconds_max: float) -> Run | Failure:
        try:
            return run(way.command(setting), is_reader=way.is_reader, seconds_max=seconds_max)
        finally:
            shutil.rmtree(setting.extracted, ignore_errors=True)

    def _setting(self, row: Row) -> Setting:
        if row.image is None:
            return Setting(Path(os.devnull), 0, self._extracted)
        image = image_path(row.image, self._sizes, self._directory)
        _, members = IMAGES[row.image]
        with image.open("rb") as file:
            while file.read(_PIECE):
                pass
        return Setting(image, members(self._sizes), self._extracted)
