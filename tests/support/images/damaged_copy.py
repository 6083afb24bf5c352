"""A device that keeps a damaged copy of a sound image until it is told."""

from __future__ import annotations

__all__ = ["DamagedCopy"]


class DamagedCopy:
    """The image `sound` with other bits in the byte at `position`.

    `discard` of a range with that byte brings the sound one, once.
    """

    def __init__(self, sound: bytes, position: int, bits: int) -> None:
        self.size = len(sound)
        self._sound = sound
        self._position = position
        self._copy = bytearray(sound)
        self._copy[position] ^= bits
        self.doubts = 0
        """How often a range was discarded."""

    def pread(self, offset: int, length: int) -> bytes:
        return bytes(self._copy[offset : offset + length])

    def discard(self, offset: int, data: bytes) -> bool:
        self.doubts += 1
        is_in_doubt = offset <= self._position < offset + len(data) and self._copy != self._sound
        if is_in_doubt:
            self._copy[:] = self._sound
        return is_in_doubt
