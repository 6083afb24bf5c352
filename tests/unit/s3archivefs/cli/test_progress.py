from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from contextlib import redirect_stderr
from pathlib import Path
from threading import Thread

import pytest

from s3archivefs.cli import main
from s3archivefs.cli.progress import Progress, add_progress, progress_shown
from s3archivefs.cli.table import COMMANDS
from tests.support.images.fixtures import FIXTURES
from tests.support.processes.terminal import Terminal


@pytest.fixture(autouse=True)
def kind_of_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def work(*, wanted: bool | None) -> None:
    with progress_shown(wanted, files=3, size=3000) as progress:
        for _ in range(3):
            progress(1, 1000)


def test_a_terminal_shows_a_bar_which_is_gone_at_the_end() -> None:
    with Terminal() as terminal, redirect_stderr(terminal.file):
        work(wanted=None)
        print("end", file=sys.stderr)
    text = terminal.text
    assert "3 of 3 files, 3.0K of 3.0K" in text
    assert "━━━━" in text
    assert text.endswith("\x1b[2Kend\r\n")


def test_lines_written_meanwhile_come_above_the_bar_and_keep_their_length() -> None:
    with Terminal() as terminal, redirect_stderr(terminal.file), progress_shown(None, files=3):
        print("x" * 300, file=sys.stderr)
    assert "x" * 300 + "\r\n" in terminal.text


def test_no_progress_shows_none_on_a_terminal() -> None:
    with Terminal() as terminal, redirect_stderr(terminal.file):
        work(wanted=False)
    assert terminal.text == ""


def test_nothing_is_shown_where_standard_error_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    work(wanted=None)
    assert capsys.readouterr() == ("", "")


def test_progress_that_is_asked_for_is_a_line_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    work(wanted=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("3 of 3 files, 3.0K of 3.0K, ")


@pytest.mark.parametrize(("wanted", "lines"), [(None, 0), (True, 1)])
def test_without_rich_a_terminal_shows_lines_where_they_are_asked_for(
    *, wanted: bool | None, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with Terminal() as terminal, redirect_stderr(terminal.file):
        work(wanted=wanted)
    assert terminal.text.count("3 of 3 files") == lines


def test_progress_is_shown_at_most_once_in_an_interval() -> None:
    now = [0.0]
    shown = []
    progress = Progress(clock=lambda: now[0])
    progress.to(lambda each: shown.append(each.size), 10)
    for second in range(1, 41):
        now[0] = second
        progress(0, 1)
    assert shown == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("progress", "text", "fraction"),
    [
        (Progress(clock=lambda: 0), "7 files, 5.9K", (6000, None)),
        (Progress(files=9, clock=lambda: 0), "7 of 9 files, 5.9K", (7, 9)),
        (Progress(size=8000, clock=lambda: 0), "7 files, 5.9K of 7.9K", (6000, 8000)),
        (Progress(files=9, size=8000, clock=lambda: 0), "7 of 9 files, 5.9K of 7.9K", (6000, 8000)),
        (Progress(files=9, noun="inodes", clock=lambda: 0), "7 of 9 inodes, 5.9K", (7, 9)),
    ],
)
def test_progress_says_what_is_done_of_what_there_is(
    progress: Progress, text: str, fraction: tuple[int, int | None]
) -> None:
    progress(7, 6000)
    assert str(progress) == text
    assert progress.fraction == fraction


def test_progress_tells_bytes_a_second_and_no_files_where_there_are_none() -> None:
    now = [0.0]
    progress = Progress(size=8 << 20, clock=lambda: now[0])
    now[0] = 2.0
    progress(0, 4 << 20)
    assert str(progress) == "4.0M of 8.0M, 2.0M/s"


def test_threads_may_count_at_the_same_time() -> None:
    progress = Progress()

    def count() -> None:
        for _ in range(1000):
            progress(1, 2)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (progress.files, progress.size) == (4000, 8000)


@pytest.mark.parametrize(
    ("given", "wanted"), [([], None), (["--progress"], True), (["--no-progress"], False)]
)
def test_options_say_whether_progress_is_wanted(given: list[str], *, wanted: bool | None) -> None:
    parser = argparse.ArgumentParser()
    add_progress(parser)
    assert parser.parse_args(given).progress is wanted


IMAGE = str(FIXTURES["gzip"].image)
RUNS = {
    "verify": ([IMAGE], "11 of 11 inodes, 14K"),
    "hash": ([IMAGE], "6 of 6 files, 14K of 14K"),
    "diff": ([IMAGE, IMAGE], " paths, "),
    "extract": ([IMAGE, "-C", "out"], " files, "),
    "pack": (["-f", IMAGE, "out.sqfs"], " files, "),
    "append": (["-n", IMAGE, IMAGE], " files, "),
    "cp": ([IMAGE, "/docs", "out"], " files, "),
}
"""By name of a command that shows progress: its arguments, and what is shown in the end."""


def test_every_command_that_shows_progress_is_run_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    having = set()
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        if "--no-progress" in capsys.readouterr().out:
            having.add(command)
    assert having == set(RUNS)


@pytest.mark.parametrize("command", RUNS)
def test_a_command_shows_progress_on_a_terminal_and_none_elsewhere(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, shown = RUNS[command]
    with Terminal() as terminal, redirect_stderr(terminal.file):
        assert main([command, *arguments]) == 0
    assert shown in terminal.text
    assert "\u2501" in terminal.text
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    capsys.readouterr()
    assert main([command, *arguments]) == 0
    assert " files, " not in capsys.readouterr().err
