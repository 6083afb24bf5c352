"""Members in a temporary file, which other processes map."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from struct import Struct
from tempfile import mkstemp
from typing import Literal, NamedTuple, cast

from s3archivefs.dataset.members import Members
from s3archivefs.forks import renew_after_fork

__all__ = ["SharedFile", "mapped", "shared"]

_TOKEN_BYTES = 16
_lengths = Struct(f"={len(Members._fields)}Q")
_formats = Struct(f"={len(Members._fields)}s{-len(Members._fields) % 8}x")
"""The type of each column, as in `memoryview.cast`."""
_HEADER_BYTES = _TOKEN_BYTES + _lengths.size + _formats.size
_ALIGNMENT = 8  # bytes: columns begin at multiples of it, as their integers must


class SharedFile(NamedTuple):
    """A file with the members of a dataset, for processes of this machine."""

    path: str
    token: bytes
    """Random bytes at the start of the file, which no other file has."""


class _Handle:
    """A descriptor of this process: a forked child closes its own, by which nobody opens."""

    def __init__(self, number: int) -> None:
        self._number: int | None = number
        renew_after_fork(self, _Handle.close)

    def close(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            os.close(number)


def shared(members: Members, owner: object) -> SharedFile:
    """Write members to a temporary file, which is gone when `owner` is no more.

    Where the system shows a process's open files to others, as Linux does, it has no name of its
    own, so that nothing is left of it, even by a process that is killed. Raises OSError where it
    cannot be written.
    """
    # Unlike weakref's, it is not called in a forked child, but at the end of one that
    # `multiprocessing` forked for what that has made.
    from multiprocessing.util import Finalize  # noqa: PLC0415 -- 26 ms, for who pickles alone

    handle, path = mkstemp(prefix="s3archivefs-", suffix=".members")
    nameless = Path(f"/proc/{os.getpid()}/fd/{handle}")
    is_nameless = nameless.exists()
    if is_nameless:
        Path(path).unlink()
        path = str(nameless)
        remove = Finalize(owner, _Handle(handle).close)
    else:  # by priority, when the process's own children have ended
        remove = Finalize(owner, _remove, (path,), exitpriority=-1)
    try:
        token = os.urandom(_TOKEN_BYTES)
        formats = "".join(memoryview(column).format for column in members).encode("ascii")
        columns = [memoryview(column).cast("B") for column in members]
        with os.fdopen(handle, "wb", closefd=not is_nameless) as file:
            file.write(token + _lengths.pack(*map(len, columns)) + _formats.pack(formats))
            for column in columns:
                file.write(column)
                file.write(_padding(len(column)))
    except BaseException:
        remove()
        raise
    return SharedFile(path, token)


def mapped(file: SharedFile) -> Members | None:
    """Return the members in a file, whose pages all processes share.

    Return None if the file is not there, as on another machine, is another one, or is cut off, as
    where its disk was full.
    """
    try:
        if not Path(file.path).is_file():  # on another machine perhaps a pipe, which would block
            return None
        with Path(file.path).open("rb") as opened:
            view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # ValueError: it is empty
        return None
    at = _HEADER_BYTES
    if view[:_TOKEN_BYTES] != file.token or len(view) < at:
        return None
    lengths = _lengths.unpack_from(view, _TOKEN_BYTES)
    (formats,) = _formats.unpack_from(view, _TOKEN_BYTES + _lengths.size)
    if len(view) < at + sum(length + len(_padding(length)) for length in lengths):
        return None
    columns = []
    for form, length in zip(formats.decode("ascii"), lengths, strict=True):
        columns.append(view[at : at + length].cast(cast("Literal['Q', 'I', 'B']", form)))
        at += length + len(_padding(length))
    return Members(*columns)


def _padding(length: int) -> bytes:
    """Return the bytes between a column and the next."""
    return bytes(-length % _ALIGNMENT)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
