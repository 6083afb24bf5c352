"""What an extraction has made since it told so last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Progress"]

_FILES, _BYTES = 64, 4 << 20
"""What is made between two calls of `tell`."""


class Progress:
    """The regular files and bytes that were made or kept, told from time to time.

    The pieces of a large file count as they come. If it then fails, the next bytes make up for
    them: no call takes anything back.
    """

    def __init__(self, tell: Callable[[int, int], object] | None) -> None:
        self._tell = tell
        self._files = self._bytes = 0  # since the last call
        self._counted = 0
        """Bytes of the file in the making that count already."""
        self._surplus = 0
        """Bytes told of files that failed."""

    def piece(self, size: int) -> None:
        """Count a piece of the file in the making."""
        self._counted += size
        self._add(0, size)

    def file(self, size: int) -> None:
        """Count the file in the making, which is complete."""
        rest = size - self._counted
        self._counted = 0
        self._add(1, rest)

    def kept(self, size: int) -> None:
        """Count a file that is not to be made; another may be in the making."""
        self._add(1, size)

    def failed(self) -> None:
        """Note that the file in the making is not made."""
        self._surplus += self._counted
        self._counted = 0

    def end(self) -> None:
        """Tell the rest."""
        if self._tell is not None:
            self._tell_all(self._tell)

    def _add(self, files: int, size: int) -> None:
        if self._tell is None:
            return
        made_up = min(size, self._surplus)
        self._surplus -= made_up
        self._files += files
        self._bytes += size - made_up
        if self._files >= _FILES or self._bytes >= _BYTES:
            self._tell_all(self._tell)

    def _tell_all(self, tell: Callable[[int, int], object]) -> None:
        files, size = self._files, self._bytes
        self._files = self._bytes = 0
        tell(files, size)
