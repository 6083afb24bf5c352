"""Whether a file may take the place of what stands at a path."""

from __future__ import annotations

import os

__all__ = ["is_replaceable"]

_STREAMS = "/dev"
_HANDLES = "/proc/"


def is_replaceable(path: str) -> bool:
    """Return whether a file may stand there in place of what does, if anything does.

    That is no directory, device, fifo or socket, and none of the names of open files, such as
    /dev/stdout, whatever these are: who gives one wants to write into it.
    """
    if not os.path.lexists(path):
        return True
    directory = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 -- pathlib takes 10 ms to import
    is_name_of_handle = directory == _STREAMS or f"{directory}/".startswith(_HANDLES)
    leads_to_file = os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113 -- likewise
    return leads_to_file and not is_name_of_handle
