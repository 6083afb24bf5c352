"""Every extra resolves by pip, from wheels alone, for each Python and platform it is meant for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [
    version
    for each in PROJECT["classifiers"]
    for version in re.findall(r"^Programming Language :: Python :: (3\.\d+)$", each)
]
WITHOUT_WHEELS = {"lzo"}
"""By design: `lzo-wheels` reads the same streams."""
OF_THE_ADAPTER = {"endpoint", "lambda"}
"""All others are the reader's, which is meant for more than Linux."""
# pip compares platforms by name only, so each that the machine may have is named. 2.17 is the
# oldest glibc for which there are wheels of both architectures: what resolves there does on newer.
LINUX = {
    f"Linux on {machine}": [f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"]
    for machine in ("aarch64", "x86_64")
}
OTHERS = {
    "macOS on arm64": [
        f"macosx_{version}_0_{kind}"
        for version in (11, 12, 13, 14)
        for kind in ("arm64", "universal2")
    ],
    "macOS on x86_64": [
        *(
            f"macosx_10_{minor}_{kind}"
            for minor in range(9, 16)
            for kind in ("x86_64", "universal2")
        ),
        *(f"macosx_{v}_0_{kind}" for v in (11, 12, 13) for kind in ("x86_64", "universal2")),
    ],
    "Windows on x86_64": ["win_amd64"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("wheel")
    command = ("hatchling", "build", "--target", "wheel", "--directory", str(directory))
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)
    yield from directory.glob("*.whl")


def resolve(wheel: Path, extras: set[str], python: str, platforms: list[str]) -> str:
    """What pip would install there, and nothing but that; or why it cannot."""
    options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--implementation=cp"]
    options += [f"--python-version={python}", *(f"--platform={each}" for each in platforms)]
    target = f"--target={wheel.parent / 'unused'}"
    command = [sys.executable, "-m", "pip", "install", "--no-input", *options, target]
    wanted = f"{wheel}[{','.join(sorted(extras))}]"
    done = subprocess.run([*command, wanted], check=False, capture_output=True, text=True)
    lines = done.stdout.splitlines() if done.returncode == 0 else done.stderr.splitlines()
    said = [line for line in lines if line.startswith(("Would install", "ERROR:"))]
    return "\n".join(said) or done.stderr


def extras() -> set[str]:
    return set(PROJECT["optional-dependencies"]) - WITHOUT_WHEELS


def test_the_classifiers_name_what_requires_python_begins_with() -> None:
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert len(PYTHONS) > 3


def test_all_names_every_extra_that_has_wheels() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert everything == f"s3archivefs[{','.join(sorted(extras() - {'all'}))}]"


@pytest.mark.parametrize("platform", LINUX)
@pytest.mark.parametrize("python", PYTHONS)
def test_all_extras_resolve_on_linux(wheel: Path, python: str, platform: str) -> None:
    said = resolve(wheel, extras(), python, LINUX[platform])
    assert said.startswith("Would install")
    assert " s3archivefs-" in said


@pytest.mark.parametrize("platform", OTHERS)
@pytest.mark.parametrize("python", [PYTHONS[0], PYTHONS[-1]])
def test_the_extras_of_the_reader_resolve_elsewhere(
    wheel: Path, python: str, platform: str
) -> None:
    of_the_reader = extras() - OF_THE_ADAPTER - {"all"}
    assert resolve(wheel, of_the_reader, python, OTHERS[platform]).startswith("Would install")


def test_what_has_no_wheels_is_the_named_exception(wheel: Path) -> None:
    """When python-lzo gets wheels, `all` may hold it."""
    said = resolve(wheel, WITHOUT_WHEELS, PYTHONS[-1], LINUX["Linux on x86_64"])
    assert said.startswith("ERROR: Could not find a version that satisfies")
    assert "python-lzo" in said
