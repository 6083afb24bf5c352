"""A terminal for what is to be seen on one."""

from __future__ import annotations

import os
import pty
from threading import Thread
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]


class Terminal:
    """A terminal to write to, as a file of text or as a descriptor for a program."""

    def __init__(self) -> None:
        self._reading, writing = pty.openpty()
        self.file = os.fdopen(writing, "w", encoding="utf-8")
        self._pieces: list[bytes] = []
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._reading, 1 << 16):
                self._pieces.append(piece)
        except OSError:  # EIO: nobody has the other end open
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()
        self._reader.join()
        os.close(self._reading)

    @property
    def text(self) -> str:
        """What was written, once the block is left: lines end in CR LF."""
        return b"".join(self._pieces).decode()
