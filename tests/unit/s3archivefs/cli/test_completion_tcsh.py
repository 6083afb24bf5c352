"""What tcsh gets to choose from, for the line that it has so far."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3archivefs.cli import main
from s3archivefs.cli.command import make_parser
from s3archivefs.cli.completion_tcsh import choices
from tests.support.images.built import build, directory, file

TREE = directory({
    b"docs": directory({b"a b": file(b"b"), b"a.md": file(b"a")}),
    b"dozen": file(b"12"),
})  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make images and other files in the directory to work in."""
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "a.sqfs", tmp_path / "sub dir" / "b c.sqfs"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(build(TREE).data)
    for name in (".hidden", "with blank", "afile"):
        (tmp_path / name).touch()
    (tmp_path / "adir").mkdir()
    return tmp_path


def answers(line: str, behind: str = "") -> set[bytes]:
    return {*choices(make_parser(), f"s3archivefs {line}", behind)}


def test_an_option_is_one_of_the_subcommand() -> None:
    assert answers("info --s") == {b"--scan"}
    assert b"-l" in answers("ls -")
    assert answers("--v") == {b"--version"}
    assert answers("unknown --s") == set()


def test_a_value_is_what_its_option_takes() -> None:
    assert answers("ls --sort n") == {b"name", b"none"}
    assert answers("ls --sort=n") == {b"--sort=name", b"--sort=none"}
    assert answers("ls --offset a") == set()
    assert answers("serve --page o") == {b"on", b"off"}
    assert answers("extract -C a") == {b"adir/"}
    assert answers("extract --directory=a") == {b"--directory=adir/"}
    assert answers("ls --directory a") == {b"a.sqfs", b"afile", b"adir/"}


def test_an_argument_is_what_comes_in_its_place() -> None:
    assert answers("ls -l a.s") == {b"a.sqfs"}
    assert answers("ls --sort name a.s") == {b"a.sqfs"}
    assert answers("ls a.sqfs do") == {b"docs/", b"dozen"}
    assert answers("ls a.sqfs dozen docs/a.") == {b"docs/a.md"}
    assert answers("ls -- a.sqfs -") == set()
    assert answers("cp a.sqfs dozen af") == {b"afile"}
    assert answers("cp a.sqfs/dozen af") == {b"afile"}
    assert answers("info a.sqfs a") == set()
    assert answers("append a.sqfs adir --into=do") == {b"--into=docs/", b"--into=dozen"}
    assert answers("mount x=a.s") == {b"x=a.sqfs"}


def test_a_path_is_completed_that_is_joined_to_its_image() -> None:
    assert answers("ls a.sqfs/do") == {b"a.sqfs/docs/", b"a.sqfs/dozen"}
    assert answers("info a.sqfs/do") == set()


def test_hidden_files_and_names_with_blanks_are_left_out() -> None:
    assert answers("info ") == {b"a.sqfs", b"afile", b"adir/"}
    assert answers("info .") == {b".hidden"}


def test_what_is_looked_up_grows_as_the_line_does(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(os.path, "isfile", looked_up.append)
    counts = []
    for words in (100, 200):
        looked_up.clear()
        answers("ls" + " x" * words)
        counts.append(len(looked_up))
    assert 0 < counts[1] < 2.5 * counts[0]


def test_words_may_be_one_that_has_blanks() -> None:
    assert answers("ls sub dir/b c.sqfs do") == {b"docs/", b"dozen"}
    assert answers("ls sub dir/b c.sqfs/do", "/") == {b"docs/", b"dozen"}


def test_the_answer_starts_behind_what_a_rule_has_cut_off() -> None:
    assert answers("ls a.sqfs docs/a.", "/") == {b"a.md"}
    assert answers("ls --sort=na", "=") == {b"name"}


def test_the_command_answers_for_the_line_that_tcsh_has(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("COMMAND_LINE", "s3archivefs ls a.sqfs docs/a.")
    assert main(["completion", "tcsh", "--", "ask", "/"]) == 0
    monkeypatch.delenv("COMMAND_LINE")  # before tcsh 6.18
    assert main(["completion", "tcsh", "--", "ask"]) == 0
    assert capfdbinary.readouterr() == (b"a.md\n", b"")
