"""The body of an answer on its way out of the endpoint."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Self

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs_lambda.request_log import Exchange
    from s3archivefs_lambda.s3api.messages import S3Response

__all__ = ["LoggedBody"]

_LOG = logging.getLogger("s3archivefs")


class LoggedBody:
    """A response's body on its way out: counted, held to its Content-Length, and logged.

    A body that fails or falls short raises ConnectionAbortedError, upon which the server breaks the
    connection: its status has been sent, and only so does the client learn that it has not all.
    """

    def __init__(self, response: S3Response, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange
        self._pieces: Iterator[bytes] = iter(response.body)
        length = response.headers.get("Content-Length")
        self._left = None if exchange.method == "HEAD" or length is None else int(length)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            with request_scope(self._exchange.usage):
                piece = next(self._pieces, None)
        except Exception as error:
            # The operations have logged what an S3Error stands for.
            expected = isinstance(error, S3Error)
            raise self._broken(str(error), exc_info=not expected) from error
        if piece is None:
            if self._left:
                raise self._broken(f"{self._left} bytes are missing")
            raise StopIteration
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise self._broken(f"there are {-self._left} bytes too many")
        self._exchange.bytes_sent += len(piece)
        return piece

    def close(self) -> None:
        """End the response, read to its end or not."""
        try:
            self._response.close()
        finally:
            self._exchange.log()

    def _broken(self, why: str, *, exc_info: bool = False) -> ConnectionAbortedError:
        exchange = self._exchange
        exchange.failed = True
        _LOG.error(
            "request %s broke off after %d bytes (key %r): %s",
            exchange.request_id,
            exchange.bytes_sent,
            exchange.key,
            why,
            exc_info=exc_info,
        )
        return ConnectionAbortedError(errno.ECONNABORTED, "the body broke off")
