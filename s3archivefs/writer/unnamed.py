"""Files that have no name before they are whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from s3archivefs.extraction.attributes import PROC_HANDLES
from s3archivefs.extraction.probing import (
    create_unnamed,
    has_unnamed_files,
    link_unnamed,
    temporary_name,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["name_file", "unnamed_file"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def unnamed_file(directory: Path, mode: int) -> int | None:
    """Create a file that may get a name in a directory; None where none can."""
    try:
        opened = os.open(directory, _DIRECTORY)
    except OSError:  # which creating one with a name tells
        return None
    try:
        can_be = has_unnamed_files(opened, temporary_name())
        return create_unnamed(opened, mode) if can_be else None
    except OSError:
        return None
    finally:
        os.close(opened)


def name_file(handle: int, path: Path) -> None:
    """Give such a file its name. Raises FileExistsError where there is one, and OSError."""
    directory = os.open(path.parent, _DIRECTORY)
    try:
        handles = os.open(PROC_HANDLES, _DIRECTORY)
        try:
            link_unnamed(handle, handles, os.fsencode(path.name), directory)
        finally:
            os.close(handles)
    finally:
        os.close(directory)
