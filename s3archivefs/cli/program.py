"""The command as a program: its process ends, whatever its threads wait for."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Timer

from s3archivefs.cli.command import main as run
from s3archivefs.cli.exit_codes import OK

__all__ = ["main"]

_END_SECONDS = 1.0
"""Seconds within which a process ends that was interrupted or failed."""


def main() -> int:
    """Run the command and return its exit code, with which the process is to end.

    Python ends after all threads have, and a thread that waits for S3 cannot be stopped: that took
    two minutes. After an interruption or a fault the process ends in a second at most; that is for
    what threads write, such as chunks for a cache.
    """
    code = run()
    if code != OK:
        end = Timer(_END_SECONDS, os._exit, (code,))
        end.daemon = True
        with suppress(RuntimeError):  # there are too many threads
            end.start()
    return code
