"""A body as WriteGetObjectResponse sends it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s3archivefs_lambda.request_log import Exchange
    from s3archivefs_lambda.s3api.messages import Piece

__all__ = ["BodyFile"]


class BodyFile(io.RawIOBase):
    """A body as the file object that botocore sends, counted for the log."""

    def __init__(self, pieces: Iterable[Piece], exchange: Exchange) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._exchange = exchange
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, at most `size` and at least one until the end."""
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        if size is None or size < 0:
            size = len(self._piece)
        taken, self._piece = self._piece[:size], self._piece[size:]
        self._exchange.bytes_sent += len(taken)
        return bytes(taken)
