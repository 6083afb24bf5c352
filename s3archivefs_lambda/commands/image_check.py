"""Checks of an image on disk before it is uploaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import s3archivefs
from s3archivefs.cli.progress import progress_shown
from s3archivefs_lambda.upload.errors import UploadError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["check", "verify"]


def check(path: Path, file: BinaryIO, *, may_verify: bool) -> None:
    """Raise UploadError unless the superblock and tables are those of a whole image.

    If the image's codec is not installed, only the superblock is checked; that is an error too
    if `may_verify`, because `verify` could not read the image.
    """
    try:
        with s3archivefs.open(file) as image:
            for _ in image.scandir("/"):
                break
    except s3archivefs.CodecUnavailableError as error:
        if may_verify:
            raise _refusal(path, f"cannot be verified: {error}, or give --no-verify") from error
        sys.stderr.write(f"s3archivefs: {path}: only its superblock was looked at: {error}\n")
    except s3archivefs.SquashfsError as error:
        raise _refusal(path, error) from error


def verify(path: Path, file: BinaryIO, *, progress: bool | None) -> None:
    """Read the whole image; raise UploadError at the first problem.

    `progress` is the option that says whether to show some.
    """
    sys.stderr.write(f"Verifying {path}\n")
    try:
        with s3archivefs.open(file) as image:
            inodes = image.superblock.inode_count
            with progress_shown(progress, files=inodes, noun="inodes") as done:
                problem = next(image.verify(progress=done), None)
    except s3archivefs.SquashfsError as error:
        raise _refusal(path, error) from error
    if problem is not None:
        raise _refusal(path, problem)


def _refusal(path: Path, reason: object) -> UploadError:
    return UploadError(f"{path}: {reason}; nothing was uploaded")
