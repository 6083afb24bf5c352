"""The content of a member in an archive, whose faults become one error."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from s3archivefs.errors import PackingError

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["PARSING_FAULTS", "GuardedContent"]

PARSING_FAULTS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,  # UnicodeDecodeError too
    OverflowError,
    LookupError,
    struct.error,
)
"""What tarfile and zipfile raise for damage, beside errors of their own."""


class GuardedContent:
    """Reads from a file; `faults` that reading raises become PackingErrors of `what`."""

    def __init__(self, file: BinaryIO, what: str, faults: tuple[type[Exception], ...]) -> None:
        self._file = file
        self._what = what
        self._faults = faults

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end. Raises PackingError."""
        try:
            return self._file.read(size)
        except self._faults as error:
            what = f"{self._what}: cannot be read: {error}; the archive is damaged"
            raise PackingError(what) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()
