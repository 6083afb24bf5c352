"""The error that says that an archive itself is not there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs.errors import leads_nowhere

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MissingArchiveError", "missing_archives"]

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class MissingArchiveError(OSError):
    """The archive is not there, or no longer.

    It is no FileNotFoundError, and has no number. zarr and others take those for a file that an
    archive lacks, and go on with an empty one.
    """


@contextmanager
def missing_archives() -> Iterator[None]:
    """Raise MissingArchiveError in the place of what says that an archive's path leads nowhere."""
    try:
        yield
    except OSError as error:
        if isinstance(error, _ABSENT) or leads_nowhere(error):
            raise MissingArchiveError(f"there is no such archive: {error}") from error
        raise
