"""Colours of names on a terminal, as LS_COLORS has them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    import argparse

    from s3archivefs.inode import Stat

__all__ = ["Colours", "add_colours", "colours_of", "painted"]

_KEYS = {
    FileKind.DIRECTORY: "di",
    FileKind.FILE: "fi",
    FileKind.SYMLINK: "ln",
    FileKind.BLOCK_DEVICE: "bd",
    FileKind.CHAR_DEVICE: "cd",
    FileKind.FIFO: "pi",
    FileKind.SOCKET: "so",
}
_DEFAULTS = "di=01;34:ln=01;36:bd=01;33:cd=01;33:pi=33:so=01;35:ex=01;32"  # those of ls(1)
_CODE = frozenset("0123456789;")


def add_colours(parser: argparse.ArgumentParser) -> None:
    """Add `--color`."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colour names by their kind, as LS_COLORS says, or differences: auto does on a "
        "terminal, unless NO_COLOR is set (auto)",
    )


def colours_of(options: argparse.Namespace) -> Colours | None:
    """Return the colours of the output, or None where it is to have none."""
    wanted: str = options.color
    if wanted == "never" or (wanted == "auto" and not _shows_colours()):
        return None
    return Colours(os.environ.get("LS_COLORS", ""))


def _shows_colours() -> bool:
    without = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not without and sys.stdout.isatty()


class Colours:
    """The colours that settings in the form of LS_COLORS mean, and else those of ls(1).

    Of the settings, those of kinds count, of executable files (`ex`) and of endings (`*.EXT`).
    """

    def __init__(self, settings: str = "") -> None:
        self._codes: dict[str, str] = {}
        for setting in f"{_DEFAULTS}:{settings}".split(":"):
            key, _, code = setting.partition("=")
            if _CODE.issuperset(code):
                self._codes[key] = code

    def name(self, text: str, stat: Stat) -> str:
        """Return a name with the escapes of its colour around it."""
        codes = self._codes
        code = codes.get(_KEYS[stat.kind], "")
        if stat.kind is FileKind.FILE:
            if stat.mode & 0o111 and codes["ex"]:
                code = codes["ex"]
            else:
                _, dot, ending = text.rpartition(".")
                code = codes.get(f"*.{ending}", code) if dot else code
        return painted(text, code)


def painted(text: str, code: str) -> str:
    """Return a text within the escapes of a colour, such as 31 for red."""
    return f"\x1b[{code}m{text}\x1b[0m" if code.strip("0;") else text
