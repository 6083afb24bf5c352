"""The server over TLS."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from contextlib import ExitStack, closing, suppress
from http.client import HTTPSConnection
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.endpoint.limits import HttpLimits
from tests.support.adapter.fake_operations import Body, streamed
from tests.support.adapter.http_site import (
    BEGUN,
    LAST,
    SECONDS,
    WHOLE,
    Site,
    asking_for,
    get,
    rest_of,
    statuses,
    until,
)
from tests.support.servers.tls import authority, certificate_in, install, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.endpoint.tls import Certificate

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
LARGE = bytes(range(256)) * 4096 * 8
"""8 MiB."""


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    install("one", tmp_path)
    return certificate_in(tmp_path)


@pytest.fixture
def site(certificate: Certificate) -> Iterator[Site]:
    with Site(certificate=certificate) as site:
        yield site


def secure(
    site: Site, *, version: ssl.TLSVersion | None = None, sock: socket.socket | None = None
) -> ssl.SSLSocket:
    """A client's connection, after its handshake. An end that is not announced is an error."""
    context = trusting("one", "two", version=version)
    return context.wrap_socket(
        sock or site.socket(), server_hostname="localhost", suppress_ragged_eofs=False
    )


def client_of(site: Site) -> closing[HTTPSConnection]:
    context = trusting("one")
    return closing(HTTPSConnection(*site.address, timeout=SECONDS, context=context))


def large(site: Site) -> Body:
    """From now on, an answer of 1 GiB."""
    body = Body(LARGE for _ in range(128))
    site.operations.respond = streamed(body, 128 * len(LARGE))
    return body


# ---- Requests ------------------------------------------------------------------------------------


def test_the_url_says_https(site: Site) -> None:
    assert site.server.url.startswith("https://127.0.0.1:")


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_on_one_connection_are_answered_in_turn(
    site: Site, version: ssl.TLSVersion
) -> None:
    with secure(site, version=version) as client:
        assert client.version() == version.name.replace("v1_", "v1.")
        client.sendall(b"".join(asking_for(f"k{number}") for number in range(50)) + LAST)
        answers = rest_of(client)
    assert statuses(answers) == [200] * 51
    assert site.keys == [*(f"k{number}" for number in range(50)), "k"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_large_body_arrives_whole(site: Site, version: ssl.TLSVersion) -> None:
    site.operations.content = LARGE
    with secure(site, version=version) as client:
        client.sendall(LAST)
        assert rest_of(client).partition(b"\r\n\r\n")[2] == LARGE


def test_an_older_version_is_refused(site: Site) -> None:
    context = trusting("one")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with site.socket() as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    with client_of(site) as client:
        assert get(client) == b"content"


def test_a_handshake_may_arrive_byte_by_byte(site: Site) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting("one").wrap_bio(incoming, outgoing, server_hostname="localhost")

    def send() -> None:
        for byte in outgoing.read():
            plain.sendall(bytes([byte]))

    with site.socket() as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                send()
                incoming.write(plain.recv(65536))
        tls.write(LAST)
        send()
        while data := plain.recv(65536):
            incoming.write(data)
        assert statuses(tls.read(65536)) == [200]


def shaken(plain: socket.socket) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """TLS over a socket, and what it has still to send: the last message of the handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting("one").wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    plain.sendall(outgoing.read())
    while True:
        incoming.write(plain.recv(65536))
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            continue
        return tls, outgoing


def test_what_comes_with_the_end_of_the_handshake_is_read(site: Site) -> None:
    with site.socket() as plain:
        tls, outgoing = shaken(plain)
        tls.write(LAST)
        plain.sendall(outgoing.read())
        assert rest_of(plain)
    assert site.keys == ["k"]


@pytest.mark.parametrize("is_answered", [True, False])
def test_what_is_not_encrypted_is_never_read(
    site: Site, caplog: pytest.LogCaptureFixture, *, is_answered: bool
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    with site.socket() as plain:
        tls, outgoing = shaken(plain)
        if is_answered:
            tls.write(WHOLE)
        plain.sendall(outgoing.read() + asking_for("plain"))
        with suppress(ConnectionResetError):
            rest_of(plain)
    assert "plain" not in site.keys
    assert "http: TLS with 127.0.0.1 broke off: " in caplog.text
    with client_of(site) as client:
        assert get(client) == b"content"


# ---- The end of a connection ---------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", BEGUN.replace(b"GET", b"G@T") + b"\r\n\r\n"])
def test_a_refusal_is_read_though_the_client_goes_on_sending(
    site: Site, version: ssl.TLSVersion, head: bytes
) -> None:
    with secure(site, version=version) as client:
        client.sendall(head + bytes(200_000))
        answers = rest_of(client)  # raises unless the end is announced
    assert statuses(answers) == [400]


def test_a_client_that_uploads_reads_the_error(site: Site) -> None:
    content = bytes(4 << 20)
    with client_of(site) as client:
        client.request("PUT", "/archive/k", body=content[: 512 << 10])
        with client.getresponse() as response:
            assert response.status == 405
            assert b"MethodNotAllowed" in response.read()
    with secure(site) as client_socket:
        client_socket.sendall(WHOLE.replace(b"Host:", b"Host:\r\nContent-Length: 4194304"))
        head = client_socket.recv(65536)
        assert statuses(head) == [400]


def test_a_body_that_breaks_off_is_seen_to(site: Site) -> None:
    def broken() -> Iterator[bytes]:
        yield LARGE
        raise OSError("gone")

    site.operations.respond = streamed(Body(broken()), 2 * len(LARGE))
    with secure(site) as client:
        client.sendall(WHOLE)
        received = rest_of(client)
    assert len(received) < 2 * len(LARGE)


@pytest.mark.parametrize("says_so", [True, False])
def test_a_client_that_leaves_ends_its_answer(site: Site, *, says_so: bool) -> None:
    body = large(site)
    with secure(site) as client:
        client.sendall(WHOLE)
        client.recv(1)
        if says_so:
            client.settimeout(0)
            with pytest.raises(ssl.SSLError):
                client.unwrap()
    until(lambda: body.closed)


def test_a_slow_reader_holds_bounded_memory(site: Site) -> None:
    body = large(site)
    with secure(site) as client:
        client.sendall(WHOLE)
        read = len(client.recv(65536))
        until(lambda: site.pool.is_idle)
        assert body.produced < read + (32 << 20)
        with client_of(site) as other:
            site.operations.respond = None
            assert get(other) == b"content"
    until(lambda: body.closed)


def test_stopping_says_the_end_on_idle_connections(site: Site) -> None:
    with secure(site) as client, site.socket() as half_open:
        client.sendall(WHOLE)
        assert client.recv(65536)
        site.server.stop()
        assert client.recv(1) == b""
        assert half_open.recv(1) == b""


# ---- No TLS --------------------------------------------------------------------------------------


def test_plain_http_is_told_so(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    answer = site.raw(WHOLE)
    assert statuses(answer) == [400]
    assert b"This port takes HTTPS only." in answer
    assert "http: no TLS with 127.0.0.1: HTTP_REQUEST" in caplog.text
    assert site.requests == []


@pytest.mark.parametrize(
    "garbage", [b"\0" * 10, b"nonsense\r\n", b"\x16\x03\x01\x00\x05hello", b"\xff" * 70000]
)
def test_garbage_is_closed(site: Site, garbage: bytes) -> None:
    with site.socket() as client:
        client.sendall(garbage)
        try:
            received = rest_of(client)
        except ConnectionResetError:
            received = b""
    assert len(received) < 100  # an alert at most
    with client_of(site) as other:
        assert get(other) == b"content"


def test_a_client_that_leaves_amid_the_handshake_leaves_nothing_behind(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (b"", b"\x16\x03\x01", b"\x16"):
        with site.socket() as client:
            client.sendall(sent)
    with client_of(site) as other:
        assert get(other) == b"content"
    until(lambda: not site.server.connections)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_a_handshake_has_the_time_of_a_head(certificate: Certificate) -> None:
    limits = HttpLimits(head_seconds=2, tick_seconds=0.01)
    with (
        Site(certificate=certificate, limits=limits) as site,
        secure(site) as done,
        site.socket() as silent,
        site.socket() as begun,
    ):
        begun.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert silent.recv(1) == b""
        assert begun.recv(1) == b""
        done.sendall(LAST)  # its handshake was done in time
        assert statuses(rest_of(done)) == [200]


def test_half_open_connections_make_room(certificate: Certificate) -> None:
    limits = HttpLimits(connections=8, tick_seconds=0.01, accept_pause_seconds=0.01)
    with Site(certificate=certificate, limits=limits) as site, ExitStack() as opened:
        for _ in range(30):
            opened.enter_context(site.socket()).sendall(b"\x16\x03\x01")
        with client_of(site) as client:
            assert get(client) == b"content"


# ---- Certificates --------------------------------------------------------------------------------


def presented(client: ssl.SSLSocket) -> str:
    """The name of the certificate that the server has."""
    known = {ssl.PEM_cert_to_DER_cert(authority(name).read_text()): name for name in ("one", "two")}
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return known[found]


def test_a_new_certificate_is_for_new_connections(
    site: Site, certificate: Certificate, tmp_path: Path
) -> None:
    with secure(site) as before:
        assert presented(before) == "one"
        install("two", tmp_path)
        with secure(site) as still:
            assert presented(still) == "one"
        certificate.reload()
        with secure(site) as after:
            assert presented(after) == "two"
            after.sendall(LAST)
            assert statuses(rest_of(after)) == [200]
        before.sendall(LAST)
        assert statuses(rest_of(before)) == [200]


def test_a_certificate_that_cannot_be_used_changes_nothing(
    site: Site, certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "server.pem").write_bytes(authority("two").read_bytes())  # of another key
    with pytest.raises(UsageError, match="KEY_VALUES_MISMATCH"):
        certificate.reload()
    with secure(site) as client:
        assert presented(client) == "one"


def test_many_handshakes_at_once_are_done(site: Site) -> None:
    done = []

    def run() -> None:
        for _ in range(5):
            with client_of(site) as client:
                done.append(get(client))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [b"content"] * 40
