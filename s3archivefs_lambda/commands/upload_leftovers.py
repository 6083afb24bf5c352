"""The parts that a failed upload leaves in S3: resumed later, or deleted."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from s3archivefs_lambda.text import shell_command
from s3archivefs_lambda.upload.errors import UploadError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.upload.upload import ImageUpload
    from s3archivefs_lambda.upload.upload_target import UploadTarget

__all__ = [
    "abort_command",
    "leftovers_told",
    "parts_deleted",
    "parts_named",
    "tell_leftovers",
    "tell_others",
]


@contextmanager
def parts_named(upload: ImageUpload, image: Path, options: argparse.Namespace) -> Iterator[None]:
    """After a failure, print the commands that resume the upload or delete its parts."""
    try:
        yield
    except BaseException:
        if upload.upload_id:
            command = ["s3archivefs", "upload", str(image), _url(upload.target)]
            command += ["--force"] if options.force else []
            command += ["--no-verify"] if options.no_verify else []
            command += ["--storage-class", options.storage_class] if options.storage_class else []
            command += ["--part-size", str(options.part_size)] if options.part_size else []
            sys.stderr.write(
                "s3archivefs: what was sent is kept in S3; "
                f"to go on: {shell_command(command)}; "
                f"to delete it: {abort_command(upload.target)}\n"
            )
        raise


@contextmanager
def parts_deleted(upload: ImageUpload) -> Iterator[None]:
    """After a failure, delete the upload's parts: a temporary image cannot be resumed."""
    try:
        yield
    except BaseException:
        with leftovers_told(upload.target):
            upload.abort()
        raise


@contextmanager
def leftovers_told(target: UploadTarget) -> Iterator[None]:
    """Tell of parts that cannot be deleted, or whose deletion is interrupted.

    For where an error ends the program already: the interruption is not raised.
    """
    try:
        yield
    except UploadError as error:
        tell_leftovers(target, error)
    except KeyboardInterrupt:
        tell_leftovers(target, UploadError(f"{target}: deleting it was interrupted"))


def tell_leftovers(target: UploadTarget, error: UploadError) -> None:
    """Print that parts may stay in S3, why, and the command that deletes them."""
    sys.stderr.write(
        f"s3archivefs: what was sent may still be in S3 ({error}); "
        f"to delete it: {abort_command(target)}\n"
    )


def tell_others(target: UploadTarget) -> None:
    """Print the command that deletes unfinished uploads to the target, if there are any.

    Nothing in S3 tells whether another program is at them.
    """
    count = 0
    with suppress(UploadError):  # these credentials may not list them
        count = len(target.unfinished())
    if count:
        sys.stderr.write(
            f"s3archivefs: S3 holds unfinished uploads to it ({count} of them); if they are "
            f"nobody's, delete them: {abort_command(target)}\n"
        )


def abort_command(target: UploadTarget) -> str:
    """Return the command that deletes the parts of unfinished uploads to the target."""
    return shell_command(["s3archivefs", "upload", "--abort", _url(target)])


def _url(target: UploadTarget) -> str:
    """Return the URL as a command takes it; messages show it escaped."""
    return f"s3://{target.bucket}/{target.key}"
