"""The methods of an fsspec filesystem that would write, which refuse."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, NoReturn

from fsspec import AbstractFileSystem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ReadOnly", "refuse"]


def refuse(path: object) -> NoReturn:
    """Raise the operating system's error for a change in a read-only filesystem."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


class ReadOnly(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """The part of the filesystem that refuses to write; fsspec's other methods call these."""

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> NoReturn:  # noqa: ANN401, ARG002, FBT001, FBT002 -- fsspec's
        """Refuse with OSError (EROFS)."""
        refuse(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> NoReturn:  # noqa: ARG002, FBT001, FBT002 -- likewise
        """Refuse with OSError (EROFS)."""
        refuse(path)

    def rmdir(self, path: str) -> NoReturn:
        """Refuse with OSError (EROFS)."""
        refuse(path)

    def rm(self, path: str | Sequence[str], **_: Any) -> NoReturn:  # noqa: ANN401 -- likewise
        """Refuse with OSError (EROFS)."""
        refuse(path)

    def rm_file(self, path: str) -> NoReturn:
        """Refuse with OSError (EROFS)."""
        refuse(path)

    def cp_file(self, path1: str, path2: str, **_: Any) -> NoReturn:  # noqa: ANN401, ARG002 -- likewise
        """Refuse with OSError (EROFS)."""
        refuse(path2)

    def pipe_file(self, path: str, value: bytes, **_: Any) -> NoReturn:  # noqa: ANN401, ARG002 -- likewise
        """Refuse with OSError (EROFS)."""
        refuse(path)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> NoReturn:  # noqa: ANN401, ARG002 -- likewise
        """Refuse with OSError (EROFS)."""
        refuse(rpath)

    def touch(self, path: str, **_: Any) -> NoReturn:  # noqa: ANN401 -- likewise
        """Refuse with OSError (EROFS)."""
        refuse(path)
