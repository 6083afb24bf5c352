"""Files that hold secrets: nobody but their owner may read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from s3archivefs_lambda.commands.errors import UsageError

__all__ = ["check_private", "read_private"]

_MAX_BYTES = 1 << 20


def read_private(path: str) -> str:
    """Return the text in a file.

    Raises UsageError if it cannot be read, or is open to others.
    """
    try:
        with Path(path).open("rb") as file:
            _check_mode(os.fstat(file.fileno()), path)
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise UsageError(f"{path}: has more than {_MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:  # UnicodeDecodeError, whose text shows a byte; NUL in the path
        raise UsageError(f"{path!r}: is not a UTF-8 text file") from None


def check_private(path: str) -> None:
    """Raise UsageError if a file is not there, or open to others."""
    try:
        _check_mode(Path(path).stat(), path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path!r}: is no path") from None


def _check_mode(found: os.stat_result, path: str) -> None:
    """Refuse a file that others may read or write.

    A file of root's may be open to a group: so Kubernetes gives secrets to a program that does not
    run as root. PostgreSQL has the same rule.
    """
    others = stat.S_IRWXO | stat.S_IWGRP
    if found.st_uid != 0 or os.geteuid() == 0:
        others |= stat.S_IRWXG
    if stat.S_IMODE(found.st_mode) & others:
        raise UsageError(f"{path}: is not private to its owner; run: chmod 600 {path}")
