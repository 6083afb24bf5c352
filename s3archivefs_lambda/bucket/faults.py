"""What a fault becomes: one S3 error for the client, one line of the log.

A fault before the answer has begun becomes an error response; one amid a body breaks the body off.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from s3archivefs import NotCachedError
from s3archivefs_lambda.s3api.errors import (
    access_denied,
    internal_error,
    no_such_key,
    service_unavailable,
    slow_down,
)
from s3archivefs_lambda.s3api.messages import S3Error
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveThrottledError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs import SquashfsError
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.s3api.messages import Piece, S3Request, S3Response

__all__ = ["ArchiveFaultError", "answer_or_error"]

_LOG = logging.getLogger("s3archivefs")


class ArchiveFaultError(S3Error):
    """An archive that cannot be read, in words for the client and for the operator."""

    def __init__(self, error: OSError | SquashfsError, location: Location, key: str) -> None:
        """`key` is the one that was asked for, or the virtual prefix that was listed."""
        told = _told_to_client(error, key)
        super().__init__(told.code, told.status, told.message, extra=told.extra)
        self.what = str(error) if isinstance(error, ArchiveAccessError) else f"{location}: {error}"
        """What is wrong with which archive, for the operator."""
        self.key = key

    def log(self) -> None:
        """Tell the operator."""
        _LOG.error("%s (key %r)", self.what, self.key)


def _told_to_client(error: OSError | SquashfsError, key: str) -> S3Error:
    match error:
        case ArchiveNotFoundError():
            return no_such_key(key)
        case ArchiveForbiddenError():
            return access_denied()
        case ArchiveThrottledError():
            return slow_down()
        case OSError():
            return service_unavailable(
                "The archive cannot be read at the moment. Please try again."
            )
        case _:
            return internal_error()


def answer_or_error(
    operation: str, run: Callable[[S3Request], S3Response], request: S3Request
) -> S3Response:
    """Return what `run` answers to the request, or the error that its fault becomes.

    The body, too, raises S3Errors only: the transport breaks it off, and the log has the fault.
    Raises NotCachedError within `only_cached`.
    """
    try:
        response = run(request)
    except S3Error as error:
        if isinstance(error, ArchiveFaultError):
            error.log()
        return error.response()
    except NotCachedError:
        raise
    except Exception:  # noqa: BLE001 -- the log has it, and the next request is served
        what = (request.request_id, operation, request.key)
        _LOG.exception("request %s failed (%s, key %r)", *what)
        return internal_error().response()
    if response.body and not _is_whole(response):
        response.body = _CheckedBody(response, request)
    return response


def _is_whole(response: S3Response) -> bool:
    """Return whether the body is one piece of the announced length, at hand."""
    body = response.body
    return isinstance(body, tuple) and response.headers["Content-Length"] == str(len(body[0]))


class _CheckedBody:
    """A body of exactly its Content-Length. A fault, or another length, is logged and ends it.

    Behind a fault there is nothing more: neither pieces nor another line of the log.
    """

    __slots__ = ("_body", "_left", "_pieces", "_request", "_sent")

    def __init__(self, response: S3Response, request: S3Request) -> None:
        self._body = response.body
        self._pieces: Iterator[Piece] = iter(response.body)
        self._request = request
        self._sent = 0
        self._left = int(response.headers["Content-Length"])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        try:
            piece = next(self._pieces, None)
        except ArchiveFaultError as error:
            self._log_fault(error.what)
            raise
        except S3Error as error:
            self._log_fault(str(error))
            raise
        except Exception as error:
            self._log_fault(str(error), exc_info=True)
            raise internal_error() from error
        if piece is None:
            if self._left:
                self._log_fault(f"{self._left} bytes are missing")
                raise internal_error()
            raise StopIteration
        self._left -= len(piece)
        if self._left < 0:
            self._log_fault(f"there are {-self._left} bytes too many")
            raise internal_error()
        self._sent += len(piece)
        return piece

    def close(self) -> None:
        """Release what the rest would need: there is none from now on."""
        self._end()
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

    def _end(self) -> None:
        self._pieces, self._left = iter(()), 0

    def _log_fault(self, why: str, *, exc_info: bool = False) -> None:
        self._end()
        _LOG.error(
            "request %s broke off after %d bytes (key %r): %s",
            self._request.request_id,
            self._sent,
            self._request.key,
            why,
            exc_info=exc_info,
        )
