"""Arguments with which every subcommand of the reader's command reads an image."""

from __future__ import annotations

from s3archivefs.cli.table import COMMANDS

__all__ = ["PRINTING", "WITHOUT_PATH", "arguments_of"]

_WITHOUT_OUTPUT = {
    *(
        "extract",
        "cp",
        "mount",
        "umount",
        "completion",
        "diff",
        "pack",
        "append",
        "remove",
        "compact",
    ),
}
"""They write to other places, or read something else than one image."""

PRINTING = sorted(set(COMMANDS) - _WITHOUT_OUTPUT)
"""The subcommands that write what they find in an image to standard output."""

WITHOUT_PATH = {"info", "verify"}
"""Those of them that take an image alone."""


def arguments_of(command: str, image: str, path: str) -> list[str]:
    """Arguments that let a subcommand of PRINTING write something of the file at a path."""
    return [command, image, *([] if command in WITHOUT_PATH else [path])]
