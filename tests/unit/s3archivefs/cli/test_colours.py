from __future__ import annotations

import argparse
import re
from contextlib import redirect_stdout

import pytest

import s3archivefs
from s3archivefs import FileKind, Stat
from s3archivefs.cli import main
from s3archivefs.cli.colours import Colours, colours_of, painted
from s3archivefs.inode import FORMAT_BITS
from tests.support.images.fixtures import FIXTURES
from tests.support.processes.terminal import Terminal

IMAGE = str(FIXTURES["special"].image)


def stat(kind: FileKind, permissions: int = 0o644) -> Stat:
    return Stat(FORMAT_BITS[kind] | permissions, 0, 0, 0, 0, 1, 1, kind, 0, 0)


@pytest.mark.parametrize(
    ("settings", "name", "found", "code"),
    [
        ("", "docs", stat(FileKind.DIRECTORY), "01;34"),
        ("", "link", stat(FileKind.SYMLINK), "01;36"),
        ("", "run", stat(FileKind.FILE, 0o755), "01;32"),
        ("", "plain", stat(FileKind.FILE), ""),
        ("di=35", "docs", stat(FileKind.DIRECTORY), "35"),
        ("di=0", "docs", stat(FileKind.DIRECTORY), ""),
        ("di=", "docs", stat(FileKind.DIRECTORY), ""),
        ("ln=target", "link", stat(FileKind.SYMLINK), "01;36"),
        ("di=31m\x1b[2J", "docs", stat(FileKind.DIRECTORY), "01;34"),
        ("*.tar=31:fi=32", "a.tar", stat(FileKind.FILE), "31"),
        ("*.tar=31:fi=32", "tar", stat(FileKind.FILE), "32"),
        ("*.tar=31", "a.tar", stat(FileKind.FILE, 0o755), "01;32"),
        ("*.tar=31:ex=", "a.tar", stat(FileKind.FILE, 0o755), "31"),
        ("*.tar=31", "a.tar", stat(FileKind.DIRECTORY), "01;34"),
        (":::=:x:*.", "plain", stat(FileKind.FILE), ""),
    ],
)
def test_a_name_has_the_colour_of_its_kind(
    settings: str, name: str, found: Stat, code: str
) -> None:
    assert Colours(settings).name(name, found) == painted(name, code)


@pytest.mark.parametrize("kind", FileKind)
def test_every_kind_keeps_its_name(kind: FileKind) -> None:
    assert re.sub(r"\x1b\[[0-9;]*m", "", Colours().name("a name", stat(kind))) == "a name"


@pytest.mark.parametrize(
    ("color", "terminal", "environ", "expected"),
    [
        ("auto", True, {}, True),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", False, {}, False),
        ("never", True, {}, False),
        ("always", False, {"NO_COLOR": "1", "TERM": "dumb"}, True),
    ],
)
def test_only_a_terminal_has_colours_unless_told_otherwise(
    *,
    color: str,
    terminal: bool,
    environ: dict[str, str],
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **environ}.items():
        monkeypatch.setenv(name, value)
    options = argparse.Namespace(color=color)
    if terminal:
        with Terminal() as opened, redirect_stdout(opened.file):
            found = colours_of(options)
    else:
        found = colours_of(options)
    assert (found is not None) is expected


def test_columns_stay_where_they_are_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("LS_COLORS", raising=False)
    shown = []
    for color in ("always", "never"):
        with Terminal() as terminal, redirect_stdout(terminal.file):
            assert main(["ls", "--color", color, IMAGE]) == 0
        shown.append(terminal.text)
    assert "\x1b[01;34m" in shown[0]
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown[0]) == shown[1]
    with s3archivefs.open(IMAGE) as fs:
        assert sorted(shown[1].split()) == sorted(fs.listdir("/"))


@pytest.mark.parametrize("options", [["-l"], ["-1"]])
def test_ls_colours_names_and_not_the_rest(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LS_COLORS", raising=False)
    assert main(["ls", *options, "--color", "always", IMAGE]) == 0
    coloured = capsys.readouterr().out
    assert main(["ls", *options, IMAGE]) == 0
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == capsys.readouterr().out
    assert "\x1b[" in coloured


@pytest.mark.parametrize("options", [[], ["--long"]])
def test_find_colours_paths(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LS_COLORS", raising=False)
    assert main(["find", *options, "--color", "always", IMAGE]) == 0
    coloured = capsys.readouterr().out
    assert main(["find", *options, IMAGE]) == 0
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == capsys.readouterr().out
    assert "\x1b[01;34m/\x1b[0m\n" in coloured


def test_diff_colours_what_is_gone_and_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    others = str(FIXTURES["gzip"].image), str(FIXTURES["empty"].image)
    for images, code in ((others, 31), (others[::-1], 32)):
        assert main(["diff", "--color", "always", *images]) == 1
        lines = capsys.readouterr().out.splitlines()
        only = [line for line in lines if "Only in" in line]
        assert only
        assert all(re.fullmatch(rf"\x1b\[{code}m.*\x1b\[0m", line) for line in only)
        assert main(["diff", *images]) == 1
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
        assert plain == capsys.readouterr().out.splitlines()
