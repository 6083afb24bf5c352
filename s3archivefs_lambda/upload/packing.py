"""Packing a directory with mksquashfs, with options for images that are read in S3."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PackingError", "mksquashfs_command", "pack"]

OPTIONS = ("-comp", "zstd", "-b", "128K")
"""Options of mksquashfs; docs/packing-measurements.md has the figures behind them."""


class PackingError(Exception):
    """The directory was not packed; the message says why, and what to do."""


def mksquashfs_command(directory: Path, image: Path) -> list[str]:
    """Return the command that packs `directory` into `image`, a new file."""
    # Absolute, so that neither looks like an option; resolved, as mksquashfs would pack a link.
    paths = [str(directory.resolve()), str(image.absolute())]
    # By default mksquashfs appends to an existing image, and packs an unreadable file as empty.
    strict = ["-noappend", "-exit-on-error"]
    return ["mksquashfs", *paths, *OPTIONS, *strict, "-quiet"]


def pack(directory: Path, image: Path, *, progress: bool = False) -> None:
    """Pack `directory` into a new file, `image`.

    With `progress`, mksquashfs shows a bar on standard error, a terminal. A failure or an
    interruption leaves no `image`. Raises PackingError.
    """
    command = mksquashfs_command(directory, image)
    if not progress:
        command.append("-no-progress")
    done = False
    try:
        ran = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if progress else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        done = ran.returncode == 0
    except FileNotFoundError as error:
        raise PackingError(
            "packing a directory needs mksquashfs 4.4 or later: install squashfs-tools"
        ) from error
    finally:
        if not done:
            image.unlink(missing_ok=True)
    if not done:
        raise PackingError(f"{directory}: mksquashfs failed, {_reason(ran)}")


def _reason(ran: subprocess.CompletedProcess[str]) -> str:
    """Return the message of mksquashfs on one line."""
    if ran.returncode < 0:
        return f"ended by signal {-ran.returncode}"
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
    if any("ompressor" in line and "not supported" in line for line in lines):
        return "as it was built without zstd: install squashfs-tools 4.4 or later"
    said = " ".join(lines[-3:]) or "without a message"
    return f"with status {ran.returncode}: {said}"
