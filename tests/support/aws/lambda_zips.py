"""The zips for Lambda, built for this machine as a user builds them, but from wheels that are
here.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import astuple
from typing import TYPE_CHECKING

import pytest

from deploy.lambda_zip import Build, Built, build
from tests.support.processes.made_once import made_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LambdaZips", "lambda_python", "offline", "unpack"]

_PYTHON = "TESTS_LAMBDA_PYTHON"
"""Names the Python that has what Lambda's has, and nothing else."""
_WHEELS = "TESTS_WHEELS"
"""Names the folder of wheels."""


class LambdaZips:
    """Builds each zip once a run of tests, below `run_directory`."""

    def __init__(self, run_directory: Path) -> None:
        self._directory = run_directory / "zips"
        self._directory.mkdir(exist_ok=True)

    def __call__(self, wanted: Build) -> Built:
        """Return what is built."""

        def make(directory: Path) -> None:
            with pytest.MonkeyPatch.context() as patch:
                offline(patch)
                built = build(wanted, directory)
            (directory / "built").write_bytes(pickle.dumps(built))

        name = "-".join(map(str, astuple(wanted)))
        directory = made_once(self._directory / name, make)
        built: Built = pickle.loads((directory / "built").read_bytes())  # noqa: S301 -- of this run
        return built


def offline(patch: pytest.MonkeyPatch) -> None:
    """Let pip find the wheels that are here, and nothing else."""
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", _given(_WHEELS))


def lambda_python() -> str:
    """The Python that stands for Lambda's."""
    return _given(_PYTHON)


def unpack(path: Path, directory: Path) -> Path:
    """The files of a zip, with its permissions, in `directory`, as Lambda lays them out."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            os.chmod(archive.extract(entry, directory), entry.external_attr >> 16)  # noqa: PTH101 -- a str
    return directory


def files(directory: Path) -> Iterator[str]:
    """The path of each file below a directory."""
    for path in directory.rglob("*"):
        if path.is_file():
            yield path.relative_to(directory).as_posix()


def _given(variable: str) -> str:
    value = os.environ.get(variable)
    if value is None:
        pytest.fail(f"{variable} is not set: run `python3 noxfile.py -s parts`, which does")
    return value
