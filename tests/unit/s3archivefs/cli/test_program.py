"""The command as a program, and the end of its process."""

from __future__ import annotations

import subprocess
import sys

from s3archivefs.cli.exit_codes import OK, USAGE
from tests.support.images.fixtures import FIXTURES

WITH_A_THREAD = """
import sys, threading
from s3archivefs.cli.program import main

def wait():
    sys.stdin.read()
    print("the thread has ended")

threading.Thread(target=wait).start()
sys.exit(main())
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    """A process that runs the command while a thread of it waits for standard input to end."""
    command = [sys.executable, "-c", WITH_A_THREAD, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_program_that_fails_ends_though_a_thread_waits() -> None:
    with started("cat", "") as process:
        assert process.wait() == USAGE


def test_a_program_that_is_done_waits_for_its_threads() -> None:
    with started("ls", str(FIXTURES["gzip"].image)) as process:
        output, _ = process.communicate()
    assert process.returncode == OK
    assert "the thread has ended\n" in output
