"""The exit codes of the command (docs/command-line.md, "Exit codes")."""

from __future__ import annotations

import signal

from s3archivefs.errors import FormatError, leads_nowhere

__all__ = [
    "BROKEN_PIPE",
    "DAMAGED",
    "DIFFERENT",
    "FAULT",
    "INTERRUPTED",
    "MEANINGS",
    "NOT_FOUND",
    "OK",
    "TROUBLE",
    "USAGE",
    "exit_code",
]

OK = 0
FAULT = 1
"""Something prevented the work: a device, a limit, a missing package."""
DIFFERENT = 1
"""What `diff` compared differs; its own faults exit with TROUBLE or more."""
TROUBLE = 2
USAGE = 2
"""The arguments or settings are wrong; argparse exits so too."""
NOT_FOUND = 3
"""The image, or a path inside it, is not there."""
DAMAGED = 4
"""The bytes are no sound squashfs image."""
INTERRUPTED = 128 + signal.SIGINT
"""Ctrl-C ended the command, as a shell has it."""
BROKEN_PIPE = 128 + 13  # SIGPIPE, for which Windows has no name
"""The reader of the output went away, as `head` does."""

MEANINGS = {
    OK: "done",
    FAULT: "a fault, or differences that were found",
    USAGE: "wrong arguments or settings",
    NOT_FOUND: "not there",
    DAMAGED: "damaged, or no image",
    INTERRUPTED: "ended by Ctrl-C",
    BROKEN_PIPE: "nobody reads the output",
}
"""By code what it means, in the words of a help text."""


def exit_code(error: Exception) -> int:
    """Return the exit code that an error calls for."""
    if isinstance(error, FormatError):
        return DAMAGED
    if isinstance(error, OSError) and (
        isinstance(error, FileNotFoundError) or leads_nowhere(error)
    ):
        return NOT_FOUND
    if isinstance(error, ValueError):  # of a URL, an offset or a setting
        return USAGE
    return FAULT
