"""What is distributed: built by the same rules, whole, and the same from the same sources."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

import s3archivefs

ROOT = Path(__file__).resolve().parents[3]
VERSION = s3archivefs.__version__
EPOCH = "1700000000"
IN_THE_SDIST = {
    *(".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "LICENSE", "PKG-INFO"),
    *("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"),
    *("benchmarks", "deploy", "docs", "examples", "fixtures", "noxfile.py", "pyproject.toml"),
    *("s3archivefs", "s3archivefs_command.py", "s3archivefs_lambda", "tests"),
}
SOME_TESTS = (
    "tests/unit/test_architecture.py::test_nothing_of_the_adapter_imports_in_a_circle",
    "tests/unit/s3archivefs/test_fixtures.py",
    "tests/unit/s3archivefs/test_superblock.py",
)


def build(kind: str, *, checkout: Path, into: Path, umask: int) -> Path:
    """Build an sdist or a wheel of a checkout, and return its path."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into],
        cwd=checkout,
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
        umask=umask,
        check=True,
        capture_output=True,
    )
    [made] = into.iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", checkout=ROOT, into=tmp_path_factory.mktemp("sdist"), umask=0o022)


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the sdist holds, in files of today."""
    directory = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # Debian 12 has 3.11.2, and filters came with 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(directory)  # noqa: S202 -- the sdist is ours
    checkout = directory / f"s3archivefs-{VERSION}"
    for path in checkout.rglob("*"):
        os.utime(path)
    return checkout


def test_the_sdist_has_what_the_tests_need_and_nothing_else(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == IN_THE_SDIST
    assert [*unpacked.rglob("__pycache__")] == []


def test_an_sdist_of_the_sdist_is_the_same(sdist: Path, unpacked: Path, tmp_path: Path) -> None:
    again = build("sdist", checkout=unpacked, into=tmp_path, umask=0o077)
    assert again.name == sdist.name
    assert again.read_bytes() == sdist.read_bytes()


def test_a_wheel_of_the_sdist_is_that_of_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """The files' own times and the umask are others."""
    one = build("wheel", checkout=ROOT, into=tmp_path / "one", umask=0o022)
    other = build("wheel", checkout=unpacked, into=tmp_path / "other", umask=0o077)
    assert one.name == other.name == f"s3archivefs-{VERSION}-py3-none-any.whl"
    assert one.read_bytes() == other.read_bytes()


def test_tests_run_in_the_unpacked_sdist(unpacked: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *SOME_TESTS],
        cwd=unpacked,
        env=os.environ | {"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_wheel_is_the_packages_and_says_whose_they_are(tmp_path: Path) -> None:
    wheel = build("wheel", checkout=ROOT, into=tmp_path, umask=0o022)
    information = f"s3archivefs-{VERSION}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = BytesParser().parsebytes(archive.read(f"{information}/METADATA"))
    packages = {"s3archivefs", "s3archivefs_lambda", "s3archivefs_command.py"}
    assert {name.partition("/")[0] for name in names} == {*packages, information}
    assert {"s3archivefs/py.typed", "s3archivefs_lambda/py.typed"} <= {*names}
    assert metadata["Version"] == VERSION
    assert metadata["Author"] == "The s3archivefs developers"
    assert f"{information}/licenses/LICENSE" in names
