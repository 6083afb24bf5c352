"""What each command writes, to the letter, on an image of odd names: the files in `golden`.

A file holds commands as a shell shows them, each with what it writes. `[N]` is an exit code but 0.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from s3archivefs.cli import main
from s3archivefs.cli.table import COMMANDS
from tests.support.images.odd import make_odd_image

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.txt"))
ELSEWHERE = {"completion", "mount", "umount"}
"""What these do is no text, or no text of an image."""


class Golden(NamedTuple):
    """A command, and all that it writes."""

    command: str
    written: str


def read(path: Path) -> list[Golden]:
    parts = re.split(r"^\$ (.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Golden(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd_image(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize(
    "golden",
    [golden for path in FILES for golden in read(path)],
    ids=lambda golden: golden.command,
)
def test_command_writes_what_it_is_known_to_write(
    golden: Golden, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(image.parent)
    program, *arguments = shlex.split(golden.command)
    assert program == "s3archivefs"
    code = main(arguments)
    written = capsys.readouterr()
    ended = f"[{code}]\n" if code else ""
    assert written.out + written.err + ended == golden.written


def test_every_command_is_known() -> None:
    known = {path.stem: {line.command.split()[1] for line in read(path)} for path in FILES}
    assert known == {name: {name} for name in COMMANDS.keys() - ELSEWHERE}
