"""What each command writes, to the letter, on an image of odd names: the files in `golden`.

A file holds commands as a shell shows them, each with what it writes. `[N]` is an exit code but 0.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from fixtures.tree import device, directory, fifo, file, hard_link, symlink
from s3archivefs.cli import main
from tests.support.images.fixtures import make_image

GOLDEN = Path(__file__).parent / "golden"
ODD = (
    device("device", "char_device", 5, 70000),
    directory("d\udcff", mode=0o1750, uid=1000, gid=100, mtime=1_500_000_000),
    file("d\udcff/-hyphen", b"hyphen\n", mode=0o4755),
    file("d\udcff/tab\tand\nnewline", b"x" * 10_000, xattrs={"user.kind": "odd\n\u65e5".encode()}),
    directory("empty", mtime=0),
    fifo("fifo"),
    file("back\\slash", bytes(8192) + b"behind a hole\n"),
    hard_link("d\udcff/linked", to="back\\slash"),
    symlink("link \u05d0\u05d1", "d\udcff/\u65e5\u672c"),
    file("\u05e9\u05dc\u05d5\u05dd", b"right to left\n"),
    file("\u202egpj.exe", b"turned round\n"),
    file("\u65e5\u672c", b"wide\n", mtime=1_200_000_000),
)


class Golden(NamedTuple):
    """A command, and all that it writes."""

    command: str
    written: str


def read(path: Path) -> list[Golden]:
    parts = re.split(r"^\$ (.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Golden(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


def make_odd_image(directory: Path) -> Path:
    """The image, uncompressed: its sizes depend on no version of a library."""
    return make_image(directory, ODD, "-noI", "-noId", "-noD", "-noF", "-noX", name="odd")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd_image(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize(
    "golden",
    [golden for path in sorted(GOLDEN.glob("*.txt")) for golden in read(path)],
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
