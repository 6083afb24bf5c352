"""`--verify` of the commands that make images: what was made is read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.faults import Faults
from s3archivefs.cli.opened import open_named

if TYPE_CHECKING:
    import argparse

__all__ = ["add_verify", "faults_of"]


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--verify", action="store_true", help="read all of the image back when it is made"
    )


def faults_of(image: str, *, checksums: bool = False) -> int:
    """Read an image back, and report what is wrong in it; return the exit code."""
    faults = Faults(image)
    with open_named(image, offset=0) as opened:
        noted = (lambda _: None) if checksums else None
        for problem in opened.verify(on_checksum=noted):
            faults.report(problem.error, problem.path)
    return faults.code
