"""One connection of a client: requests in, one after the other, and their answers out.

Nothing here waits: a connection holds no thread, whatever its client does. A client that ends its
side of the connection has left, as servers commonly take it, and its request is abandoned.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from contextlib import closing
from typing import TYPE_CHECKING, Protocol, cast

from s3archivefs_lambda.endpoint.answer import Answer
from s3archivefs_lambda.endpoint.head import MAX_HEAD_BYTES, Head, HeadBuffer, MalformedHeadError
from s3archivefs_lambda.endpoint.messages import HttpRefusal
from s3archivefs_lambda.endpoint.reading_rate import ReadingRate, has_unread
from s3archivefs_lambda.endpoint.response_head import (
    encode_head,
    encode_refusal,
    says_where_it_ends,
)
from s3archivefs_lambda.s3api.errors import internal_error, slow_down
from s3archivefs_lambda.s3api.messages import Piece, S3Error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from s3archivefs_lambda.endpoint.body_memory import BodyMemory
    from s3archivefs_lambda.endpoint.limits import HttpLimits
    from s3archivefs_lambda.endpoint.messages import HttpApplication, HttpCall, HttpResponse
    from s3archivefs_lambda.endpoint.request_pool import RequestPool

__all__ = ["Connection", "ConnectionOwner", "State"]

_LOG = logging.getLogger("s3archivefs")

_WRITTEN_AT_ONCE = 256 * 1024
"""Bytes given to the transport at once: it copies what the client does not take."""


class State(enum.Enum):
    """What a connection waits for."""

    FRESH = enum.auto()  # the first byte of its first request
    HEAD = enum.auto()  # the rest of a head
    ANSWER = enum.auto()  # an answer to be made, or to be read by the client
    IDLE = enum.auto()  # the next request
    LINGER = enum.auto()  # the client to close, after the last answer
    CLOSED = enum.auto()


class ConnectionOwner(Protocol):
    """What a connection needs of its server."""

    app: HttpApplication
    pool: RequestPool
    memory: BodyMemory[Answer]
    limits: HttpLimits
    clock: Callable[[], float]
    is_stopping: bool
    answers: int
    """Answers under way on all connections."""

    def may_answer(self, connection: Connection, /) -> bool:
        """Return whether the request on a connection may be answered."""
        ...

    def connection_lost(self, connection: Connection, /) -> None:
        """Note that a connection is closed."""
        ...


class Connection(asyncio.Protocol):
    """The protocol of one connection, for the event loop."""

    def __init__(self, owner: ConnectionOwner, sock: socket.socket, client: str) -> None:
        self.client = client
        """The address of the other end, without the port."""
        self.state = State.FRESH
        self.since = owner.clock()
        """When the state began."""
        self._owner = owner
        self._socket = sock
        self._transport: asyncio.Transport | None = None
        self.heads = HeadBuffer()  # what no answer is under way to
        self._head: Head | None = None
        self._call: HttpCall | None = None
        self._answer: Answer | None = None
        self._unsent: list[Piece] = []  # of the answer's pieces; the last one is next
        self._is_last = True
        self._closes = False  # after the answer
        self._is_full = False  # of the transport
        self._is_aborted = False
        self._drained = 0  # bytes, while it lingers
        self._rate = ReadingRate(sock, owner.limits, self.since)

    # ---- Of asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        if self._is_aborted or self._owner.is_stopping:  # once asyncio is done with opening it
            end = self.abort if self._is_aborted else self.close_if_unused
            asyncio.get_running_loop().call_soon(end)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- as asyncio calls it
        """Abandon what was under way."""
        self._enter(State.CLOSED)
        self._give_up()
        self._owner.connection_lost(self)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self.state is State.LINGER:
            self._drained += len(data)
            if self._drained > self._owner.limits.linger_bytes:
                self.abort()
            return
        self.heads.add(data)
        if self.state is not State.ANSWER:
            self._next()
        elif len(self.heads) > MAX_HEAD_BYTES:
            self._open_transport.pause_reading()

    def eof_received(self) -> bool:
        """Note that the client sends no more; asyncio closes the connection then."""
        if self.state is State.HEAD:
            self._refuse(MalformedHeadError("its head ends early"))
        elif self.state is State.ANSWER:
            self.abort()
        return False

    def pause_writing(self) -> None:
        """Stop sending: the client has not taken all."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Send on: the client has taken all."""
        self._is_full = False
        # Closed in here, asyncio's transport would be closed twice.
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if self.state is State.ANSWER and self._answer is not None and not self._is_full:
            self._write_pieces()

    # ---- Of the server ---------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """End what has taken too long."""
        limits, waited = self._owner.limits, now - self.since
        match self.state:
            case State.HEAD if waited > limits.head_seconds:
                message = "Your request was not received within the timeout period."
                self._say_last(S3Error("RequestTimeout", 408, message))
            case State.FRESH | State.IDLE if waited > limits.idle_seconds:
                self.close()
            case State.LINGER if waited > limits.linger_seconds:
                self.abort()
            case State.ANSWER if self._rate.is_too_low(now, self._open_transport):
                self.abort()

    def close_if_unused(self) -> None:
        """Close, unless a request is under way or waits in the socket."""
        if self.state in {State.FRESH, State.IDLE, State.HEAD} and not has_unread(self._socket):
            self.close()

    def close(self) -> None:
        """Close, once what was written is on its way."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, or as soon as the connection is made."""
        self._is_aborted = True
        if self._transport is not None:
            self._give_up()
            self._transport.abort()

    # ---- Requests --------------------------------------------------------------------------------

    def _next(self) -> None:
        """Go on with the next request, as far as it has arrived."""
        try:
            head = self.heads.take(self.client)
        except MalformedHeadError as error:
            self._refuse(error)
            return
        if head is not None:
            self._begin(head)
        elif len(self.heads) and self.state is not State.HEAD:
            self._enter(State.HEAD)
        if head is None and self._owner.is_stopping:
            self.close_if_unused()

    def _begin(self, head: Head) -> None:
        self._enter(State.ANSWER)
        self._head = head
        self._closes = head.has_body or not head.keeps_alive
        if head.has_body:  # which is not read, and must not pass for a request
            self._open_transport.pause_reading()
        owner = self._owner
        self._call = owner.app(head.request)
        if not owner.may_answer(self):
            self._say_last(slow_down())
        elif not self._answer_at_once(self._call):
            self._count_answer(head, self._call).start()

    def _answer_at_once(self, call: HttpCall) -> bool:
        """Answer a request for which no thread is needed; return whether it is one."""
        try:
            response = call.at_once()
            if response is None:
                return False
            with closing(response.body) as body:
                piece = next(body, b"")
        except Exception:  # noqa: BLE001 -- the log has it, and the others are served
            _LOG.exception("the application failed")
            self._say_last(internal_error())
            return True
        head = self._head
        self.begin(response, piece, is_last=True)
        if self.state is State.ANSWER and self._head is head is not None:  # it waits for the client
            self._count_answer(head, call).hold(len(piece))
        return True

    def _count_answer(self, head: Head, call: HttpCall) -> Answer:
        owner = self._owner
        owner.answers += 1
        self._rate.restart(owner.clock(), self._open_transport)
        self._answer = Answer(call, head.request, owner.pool, owner.memory, self)
        return self._answer

    def begin(self, response: HttpResponse, piece: Piece, *, is_last: bool) -> None:
        """Send a head and the first piece of a body (see `AnswerSink`)."""
        head = self._head
        assert head is not None  # noqa: S101 -- this answers it
        if not says_where_it_ends(response, head.request.method):
            self._closes = True
        if self._owner.is_stopping and not len(self.heads) and not has_unread(self._socket):
            self._closes = True
        connection = "close" if self._closes else "keep-alive" if head.is_http_1_0 else ""
        encoded = encode_head(response.status, response.headers, connection=connection)
        self._write(encoded + piece[:_WRITTEN_AT_ONCE])
        self.send([memoryview(piece)[_WRITTEN_AT_ONCE:]], is_last=is_last)

    def send(self, pieces: list[Piece], *, is_last: bool) -> None:
        """Send the pieces that were asked for."""
        self._unsent.extend(filter(None, reversed(pieces)))
        self._is_last = is_last
        self._write_pieces()

    def truncate(self) -> None:
        """Close without the rest: only so does the client learn that it has not all."""
        self.close()

    def refuse(self, error: S3Error) -> None:
        """Answer with an error of the server's own."""
        self._say_last(error)

    def _write_pieces(self) -> None:
        """Write what is unsent, until the client takes no more for now."""
        while self._unsent and not self._is_full and not self._open_transport.is_closing():
            piece = self._unsent.pop()
            self._write(piece[:_WRITTEN_AT_ONCE])
            if len(piece) > _WRITTEN_AT_ONCE:
                self._unsent.append(memoryview(piece)[_WRITTEN_AT_ONCE:])
        if self._is_full or self._open_transport.is_closing():
            return
        if self._is_last:
            self._finish()
        elif self._answer is not None:
            self._answer.ask()

    def _finish(self) -> None:
        self._give_up()
        self._head = self._call = None
        if self._closes:
            self._linger()
        elif len(self.heads):  # other connections have their turn first
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self.state is State.ANSWER and not self._open_transport.is_closing():
            self._enter(State.IDLE)
            if len(self.heads) <= MAX_HEAD_BYTES:
                self._open_transport.resume_reading()
            self._next()

    def _give_up(self) -> None:
        """Abandon the answer, if there is one."""
        answer, self._answer = self._answer, None
        self._unsent.clear()
        if answer is not None:
            self._owner.answers -= 1
            answer.abandon()

    # ---- Refusals --------------------------------------------------------------------------------

    def _refuse(self, error: MalformedHeadError) -> None:
        self._say_last(S3Error(error.code, error.status, str(error)))

    def _say_last(self, error: S3Error) -> None:
        call = self._call if self.state is State.ANSWER else None
        with_body = call is None or self._head is None or self._head.request.method != "HEAD"
        further = None if call is None else call.refusal_fields
        request_id, head, body = encode_refusal(error, further, with_body=with_body)
        if call is not None:
            call.unanswered(HttpRefusal(request_id, error.status, error.code, len(body)))
        else:  # there was no request
            _LOG.info("http: request %s from %s: %s", request_id, self.client, error)
        self._give_up()
        self._write(head + body)
        self._linger()

    def _linger(self) -> None:
        """Close, but let the client read the answer first.

        Data that arrives at a closed socket resets the connection, and the answer is lost with it.
        """
        self._enter(State.LINGER)
        self._drained = len(self.heads)
        transport = self._open_transport
        try:
            transport.write_eof()
        except OSError:  # the client has gone
            transport.close()
        else:
            transport.resume_reading()

    # ---- Parts -----------------------------------------------------------------------------------

    @property
    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 -- nothing comes before connection_made
        return self._transport

    def _enter(self, state: State) -> None:
        self.state = state
        self.since = self._owner.clock()

    def _write(self, data: bytes | memoryview) -> None:
        self._rate.written(len(data))
        self._open_transport.write(data)
