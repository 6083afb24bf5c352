"""One answer, made in the pool's threads piece by piece, as its client takes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from s3archivefs_lambda.endpoint.request_pool import Job
from s3archivefs_lambda.s3api.errors import internal_error, slow_down
from s3archivefs_lambda.s3api.messages import AT_ONCE_BYTES

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.body_memory import BodyMemory
    from s3archivefs_lambda.endpoint.messages import (
        HttpBody,
        HttpCall,
        HttpRequest,
        HttpResponse,
    )
    from s3archivefs_lambda.endpoint.request_pool import RequestPool
    from s3archivefs_lambda.s3api.messages import Piece, S3Error

__all__ = ["Answer", "AnswerSink"]

_LOG = logging.getLogger("s3archivefs")


class AnswerSink(Protocol):
    """The receiver of an answer. An abandoned answer calls nothing more."""

    def begin(self, response: HttpResponse, piece: Piece, *, is_last: bool) -> None:
        """Send the head and the first piece of the body."""
        ...

    def send(self, pieces: list[Piece], *, is_last: bool) -> None:
        """Send the pieces that were asked for."""
        ...

    def truncate(self) -> None:
        """End without the rest of the body, though it was announced."""
        ...

    def refuse(self, error: S3Error) -> None:
        """Send this error in place of an answer."""
        ...

    def abort(self) -> None:
        """End: the client is too slow over what it has."""
        ...


class Answer:
    """Makes the pieces of one answer, each when it is asked for.

    All methods are for the event loop. The body is closed once: at its end, after a fault, or when
    its client has left.
    """

    def __init__(
        self,
        call: HttpCall,
        request: HttpRequest,
        pool: RequestPool,
        memory: BodyMemory[Answer],
        client: AnswerSink,
    ) -> None:
        self.address = call.client
        """The client's address."""
        self._call = call
        self._is_head = request.method == "HEAD"
        self._pool = pool
        self._memory = memory
        self._client: AnswerSink | None = client
        self._lane = call.lane
        self._response: HttpResponse | None = None
        self._body: HttpBody | None = None  # until it is closed
        self._left: int | None = None  # bytes of the body, if that is known
        self._job: Job | None = None

    def start(self) -> None:
        """Ask the application, when it is the request's turn."""
        self._job = Job(self._lane, self._execute, self._executed, self._refused)
        self._pool.submit(self._job)

    def hold(self, size: int) -> None:
        """Note how many bytes of an answer made at once wait for the client."""
        self._memory.hold(self, size)

    def ask(self) -> None:
        """Ask for the next pieces: the client has taken those before."""
        size = AT_ONCE_BYTES if self._left is None else min(self._left, AT_ONCE_BYTES)
        self._memory.request(self, size, self._ask)

    def abandon(self) -> None:
        """End the answer: the client has left. What a thread does for it now is its last."""
        self._client = None
        self._memory.release(self)
        if self._job is None:
            self._let_close()
        elif self._pool.cancel(self._job):
            self._job = None
            self._end()

    def cut_off(self) -> None:
        """End the client's connection: others need the memory that the answer holds."""
        if self._client is not None:
            self._client.abort()

    # ---- On the event loop -----------------------------------------------------------------------

    def _refused(self) -> None:
        self._job = None
        if self._client is not None:
            self._client.refuse(slow_down())

    def _executed(self, outcome: object) -> None:
        self._job = None
        client = self._client
        if client is None:
            self._end()
        elif self._response is None:
            client.refuse(internal_error())
        elif isinstance(outcome, tuple):
            pieces, is_last = outcome
            self._memory.hold(self, sum(map(len, pieces)))
            client.begin(self._response, b"".join(pieces), is_last=is_last)  # one, or none
        else:
            client.truncate()

    def _ask(self) -> None:
        self._job = Job(self._lane, self._take, self._taken)
        self._pool.submit(self._job)

    def _taken(self, outcome: object) -> None:
        self._job = None
        client = self._client
        if client is None:
            self._let_close()
        elif isinstance(outcome, tuple):
            pieces, is_last = outcome
            self._memory.hold(self, sum(map(len, pieces)))
            client.send(pieces, is_last=is_last)
        else:
            client.truncate()

    def _end(self) -> None:
        """Close what was begun for a client that has left."""
        if self._response is None:
            self._call.unanswered(None)
        self._let_close()

    def _let_close(self) -> None:
        if self._body is not None:
            self._pool.submit(Job(self._lane, self._close, lambda _: None))

    # ---- In a thread -----------------------------------------------------------------------------

    def _execute(self) -> tuple[list[Piece], bool]:
        try:
            response = self._call.answer()
        except Exception:
            _LOG.exception("the application failed")
            raise
        self._response, self._body = response, response.body
        for name, value in response.headers:
            if name.lower() == "content-length" and not self._is_head:
                self._left = int(value)
        return self._take(1)

    def _take(self, size: int = AT_ONCE_BYTES) -> tuple[list[Piece], bool]:
        """Return pieces of at least `size` bytes, and whether the body ended well with them.

        To hand over each by itself would take longer than to make it.
        """
        body = self._body
        assert body is not None  # noqa: S101 -- nothing is asked for after the end
        pieces: list[Piece] = []
        is_last = False
        try:
            while size > 0 and not is_last and not (pieces and self._client is None):
                piece = next(body, None)
                if piece is None:
                    is_last = True
                    break
                pieces.append(piece)
                size -= len(piece)
                if self._left is not None:
                    self._left -= len(piece)
                    # Find surplus bytes before the last piece is sent, and the answer seems whole.
                    is_last = self._left <= 0 and next(body, None) is None
        except BaseException:
            self._close()
            raise
        if is_last:
            self._close()
        return pieces, is_last

    def _close(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()
