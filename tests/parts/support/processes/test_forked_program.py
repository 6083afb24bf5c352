"""A program in forks does what it does in processes that are started."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.forked_program import ForkedProgram

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import os, signal, sys

def main():
    if sys.argv[1] == "wait":
        print("waiting", flush=True)
        signal.pause()
    print(sys.argv[1:], os.environ.get("GIVEN"), os.environ.get("HOME"))
    sys.stderr.write("said\\n")
    return int(sys.argv[1])
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkedProgram]:
    (tmp_path / "forked_for_test.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ForkedProgram("forked_for_test") as program:
        yield program


def test_each_command_has_its_arguments_environment_and_status(program: ForkedProgram) -> None:
    for status in (0, 7):
        done = program(str(status), "more", environ={"GIVEN": "value"})
        assert done.returncode == status
        assert done.stdout == f"['{status}', 'more'] value None\n"
        assert done.stderr == "said\n"


def test_a_signal_ends_a_command_and_not_the_next_one(program: ForkedProgram) -> None:
    with program.start("wait", environ={}) as running:
        os.kill(running.pid, signal.SIGKILL)
        assert running.wait().returncode == -signal.SIGKILL
    assert program("0", environ={}).returncode == 0
