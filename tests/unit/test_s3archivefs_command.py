"""The programs that are installed, while they import what they run."""

from __future__ import annotations

import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s3archivefs_command
from s3archivefs.cli.exit_codes import INTERRUPTED
from tests.support.images.fixtures import FIXTURES
from tests.support.laws.import_graph import ROOT, imports, parse

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = {
    "s3archivefs.cli.program": s3archivefs_command.main,
    "s3archivefs.cli.mount_helper": s3archivefs_command.mount_helper,
}


class Interrupted:
    """A finder of modules during whose search for one somebody presses Ctrl-C."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(self, name: str, *_: object) -> None:
        """Find no module."""
        if name == self.module:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("module", "program"), PROGRAMS.items())
def test_an_interrupt_amid_the_imports_ends_a_program_quietly(
    module: str,
    program: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import_module(module)
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(module), *sys.meta_path])
    assert program() == INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_program_runs_what_it_imports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["s3archivefs", "ls", str(FIXTURES["gzip"].image)])
    assert s3archivefs_command.main() == 0  # another would end this process
    assert capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["mount.s3archivefs", "-f", "image", "/mnt"])
    assert s3archivefs_command.mount_helper() == 0


def test_programs_import_nothing_before_they_run() -> None:
    early = [
        found.module
        for found in imports(parse(Path(s3archivefs_command.__file__)))
        if found.at_import_time
    ]
    assert early == ["__future__"]


def test_each_installed_program_is_one_of_these() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    scripts = project["project"]["scripts"].values()
    assert {*scripts} == {f"s3archivefs_command:{each.__name__}" for each in PROGRAMS.values()}
