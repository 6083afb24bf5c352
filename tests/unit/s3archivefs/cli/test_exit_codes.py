from __future__ import annotations

import errno

import pytest

from s3archivefs import (
    CodecUnavailableError,
    CorruptImageError,
    LimitExceededError,
    NotSquashfsError,
)
from s3archivefs.cli.exit_codes import exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError("no object"), 3),
        (OSError(errno.ELOOP, "loop"), 3),
        (NotADirectoryError(errno.ENOTDIR, "no directory"), 3),
        (IsADirectoryError(errno.EISDIR, "a directory"), 1),
        (CorruptImageError("bad"), 4),
        (NotSquashfsError("no image"), 4),
        (LimitExceededError("entries", 2, 1), 1),
        (CodecUnavailableError("install it"), 1),
        (ValueError("bad URL"), 2),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code
