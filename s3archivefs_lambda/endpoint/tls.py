"""TLS between a connection and its socket.

asyncio's own transport for TLS takes 280 KB for an idle connection, cannot end one side of it, and
hides a handshake from deadlines and eviction. So the standard library's TLS objects are driven
here: an idle connection takes 20 KB, and all else is as without TLS.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from s3archivefs_lambda.endpoint.response_head import encode_refusal
from s3archivefs_lambda.s3api.errors import invalid_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs_lambda.endpoint.connection import Connection

__all__ = ["Certificate", "TlsLayer"]

_LOG = logging.getLogger("s3archivefs")

_RECORDS = 64 * 1024
"""Bytes decrypted at once: four records."""


class Certificate:
    """The certificate in force. After `reload`, new connections get another."""

    def __init__(self, load: Callable[[], ssl.SSLContext]) -> None:
        """`load` may raise anything, now and in `reload`, which then changes nothing."""
        self._load = load
        self.context = load()

    def reload(self) -> None:
        """Load it again."""
        self.context = self._load()


class TlsLayer(asyncio.Protocol, asyncio.Transport):
    """To the socket's transport it is the protocol, to the connection the transport."""

    def __init__(
        self, context: ssl.SSLContext, connection: Connection, handshake_seconds: float
    ) -> None:
        """Give the handshake `handshake_seconds`, from the start of the connection."""
        super().__init__()
        self._connection = connection
        self._socket: asyncio.Transport | None = None
        self._incoming = ssl.MemoryBIO()  # what came from the socket
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._handshake_seconds = handshake_seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._is_secure = False  # the handshake is done
        self._is_paused = False
        self._has_ended = False  # nothing more is sent

    # ---- From the socket -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._socket = cast("asyncio.Transport", transport)
        self._connection.connection_made(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._handshake_seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._has_ended:  # nobody reads it any more, but it counts
            self._connection.data_received(data)
            return
        self._incoming.write(data)
        if self._is_secure or self._shake_hands():
            self._read()

    def eof_received(self) -> bool:
        """Note that the client sends no more."""
        return self._is_secure and self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection."""
        self._end_handshake()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the connection that the client has not taken all."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Tell the connection that the client has taken all."""
        self._connection.resume_writing()

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert, which tells the client why
            self._fail(error)
        else:
            self._is_secure = True
            self._end_handshake()
            self._flush()
        return self._is_secure

    def _end_handshake(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _fail(self, error: ssl.SSLError) -> None:
        client = self._connection.client
        _LOG.info("http: no TLS with %s: %s", client, error.reason or error)
        if error.reason == "HTTP_REQUEST":
            refusal = invalid_request("This port takes HTTPS only.")
            _, head, body = encode_refusal(refusal, with_body=True)
            self._raw.write(head + body)
        self._has_ended = True
        self._raw.close()

    def _read(self) -> None:
        """Pass on what can be decrypted, as far as it is wanted."""
        while not (self._is_paused or self._has_ended):
            try:
                data = self._tls.read(_RECORDS)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._break_off(error)
                return
            if not data:  # the client has said that it sends no more
                self._connection.eof_received()
                self.close()
                return
            self._connection.data_received(data)
        self._flush()  # answers of TLS itself, such as new keys

    def _break_off(self, error: ssl.SSLError) -> None:
        client = self._connection.client
        _LOG.info("http: TLS with %s broke off: %s", client, error.reason or error)
        self.abort()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    @property
    def _raw(self) -> asyncio.Transport:
        assert self._socket is not None  # noqa: S101 -- nothing comes before connection_made
        return self._socket

    # ---- From the connection ---------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        rest = memoryview(data)
        try:
            while rest and not self._has_ended:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            self._break_off(error)
        else:
            self._flush()

    def write_eof(self) -> None:
        """Send no more, but still take what comes."""
        self._say_end()
        self._raw.write_eof()

    def close(self) -> None:
        """Close, once what was written is on its way."""
        self._say_end()
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._has_ended = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        """Pass on nothing more for now."""
        self._is_paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Pass on what comes."""
        if self._is_paused:
            self._is_paused = False
            asyncio.get_running_loop().call_soon(self._read)  # what came before the pause
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how much may wait for the client."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return the bytes, encrypted, that wait for the client."""
        return self._raw.get_write_buffer_size()

    def _say_end(self) -> None:
        """Say, so that it cannot be forged, that this is all."""
        if self._is_secure and not self._has_ended:
            with suppress(ssl.SSLError):  # it wants the client's word of that, too
                self._tls.unwrap()
            self._flush()
        self._has_ended = True
