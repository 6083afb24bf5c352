"""Processes of the command whose output nobody reads, or that Ctrl-C ends amid it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.images.trees import pack

F_SETPIPE_SZ = 1031  # fcntl has no name for it before Python 3.13
LONG = 1 << 20
COMMANDS = {
    "ls": ["-l"],
    "find": [],
    "cat": ["/large"],
    "hash": [],
}
"""Commands that write more of the image than a short pipe takes."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("signals")
    tree = directory / "tree"
    tree.mkdir()
    for number in range(1000):
        (tree / f"{number:0200}").touch()
    (tree / "large").write_bytes(bytes(LONG))
    return pack(tree, directory / "image.sqfs")


@contextmanager
def amid_its_output(command: str, image: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process of a command that has written as much as a pipe takes, and the pipe's end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
    arguments = [command, str(image), *COMMANDS[command]]
    program = [sys.executable, "-m", "s3archivefs.cli", *arguments]
    with subprocess.Popen(program, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        select.select([reading], [], [])
        yield process, reading


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_ends_a_command_that_waits_for_its_reader(command: str, image: Path) -> None:
    with amid_its_output(command, image) as (process, reading):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        os.close(reading)
    assert (process.returncode, errors) == (130, b"")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_goes_away_ends_a_command(command: str, image: Path) -> None:
    with amid_its_output(command, image) as (process, reading):
        assert os.read(reading, 100)
        os.close(reading)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (141, b"")
