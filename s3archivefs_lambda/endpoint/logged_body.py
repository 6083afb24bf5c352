"""The body of an answer on its way out of the endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs_lambda.request_log import Exchange
    from s3archivefs_lambda.s3api.messages import Piece, S3Response

__all__ = ["LoggedBody"]


class LoggedBody:
    """A response's body, counted; closing it writes the request's line.

    If it raises, the server breaks the connection: its status has been sent, and only so does
    the client learn that it has not all.
    """

    def __init__(self, response: S3Response, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange
        self._pieces: Iterator[Piece] = iter(response.body)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        try:
            with request_scope(self._exchange.usage):
                piece = next(self._pieces)
        except S3Error:  # which the log has
            self._exchange.failed = True
            raise
        self._exchange.bytes_sent += len(piece)
        return piece

    def close(self) -> None:
        """End the response, read to its end or not."""
        try:
            self._response.close()
        finally:
            self._exchange.log()
