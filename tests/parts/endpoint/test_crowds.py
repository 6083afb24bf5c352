"""The real process under crowds of clients that leave, stay, or are served while it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.http_site import SECONDS, rest_of, statuses, until
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = FIXTURES["gzip"].image
GET = b"GET /archive/short.txt HTTP/1.1\r\nHost:\r\n"
WHOLE = GET + b"\r\n"
LAST = GET + b"Connection: close\r\n\r\n"
BEGUN = GET + b"X-Slow: "
RESET = struct.pack("ii", 1, 0)


@dataclass
class Served:
    """The endpoint, as a process and its workers, if it has any."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    log: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=SECONDS)

    def get(self) -> list[int]:
        """The statuses of an answer on a connection of its own: one."""
        with self.connect() as connection:
            connection.sendall(LAST)
            return statuses(rest_of(connection))

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def stop(self) -> list[int]:
        """End it; the statuses in its log, which must hold nothing else."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> list[int]:
        assert self.process.wait(SECONDS) == 0
        return [json.loads(line).get("status") for line in self.log.read_text().splitlines()]


@contextmanager
def serving(directory: Path, *, workers: int = 1, descriptors: int = 0) -> Iterator[Served]:
    limit = f"ulimit -n {descriptors};" if descriptors else ""
    command = ["sh", "-c", f'{limit} exec "$@"', "sh", sys.executable, "-m", "s3archivefs.cli"]
    command += ["serve", "--port", "0", "--workers", str(workers), "--map", f"={IMAGE}"]
    environ = os.environ | {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    log = directory / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline().decode()
            assert " on http://" in line, log.read_text()
            host, port = line.partition(" on http://")[2].split()[0].split(":")
            yield Served(process, (host, int(port)), log)
        finally:
            process.kill()


def test_with_few_descriptors_idle_clients_and_half_heads_shut_nobody_out(tmp_path: Path) -> None:
    with serving(tmp_path, descriptors=64) as server, ExitStack() as opened:
        for number in range(200):
            connection = opened.enter_context(server.connect())
            if number % 2:
                connection.sendall(BEGUN)
        assert [server.get() for _ in range(20)] == [[200]] * 20
        assert server.descriptors() <= 64
        assert "Traceback" not in server.log.read_text()


def test_thousands_of_idle_clients_leave_others_served(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ExitStack() as opened:
        for _ in range(2000):
            opened.enter_context(server.connect())
        assert [server.get() for _ in range(20)] == [[200]] * 20
        assert server.stop() == [200] * 20


@pytest.mark.parametrize("sent", [b"", BEGUN, WHOLE, WHOLE * 5], ids=["", "half", "one", "five"])
def test_bursts_of_clients_that_leave_leave_nothing_behind(tmp_path: Path, sent: bytes) -> None:
    with serving(tmp_path) as server:
        assert server.get() == [200]
        before = server.descriptors()
        for number in range(300):
            with server.connect() as connection:
                connection.sendall(sent)
                if number % 2:  # with a reset, not in order
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        assert server.get() == [200]
        until(lambda: server.descriptors() <= before)
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_request_that_was_received_when_it_ends_is_answered(
    tmp_path: Path, workers: int
) -> None:
    with serving(tmp_path, workers=workers) as server, ExitStack() as opened:
        waiting = [opened.enter_context(server.connect()) for _ in range(100)]
        for connection in waiting[:50]:
            connection.sendall(WHOLE)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        for connection in waiting:  # half of them are new
            connection.sendall(WHOLE)
        server.process.send_signal(signal.SIGTERM)
        assert [statuses(rest_of(connection)) for connection in waiting] == [[200]] * 100
        assert server.ended() == [200] * 150


@pytest.mark.parametrize("workers", [1, 2])
def test_under_load_no_answer_breaks_off_when_it_ends(tmp_path: Path, workers: int) -> None:
    whole: list[int] = []
    broken: list[HTTPException] = []
    is_under_load = threading.Event()

    def load() -> None:
        host, port = server.address
        client = HTTPConnection(host, port, timeout=SECONDS)
        try:
            while True:
                client.request("GET", "/archive/short.txt")
                with client.getresponse() as response:
                    response.read()
                    whole.append(response.status)
                if len(whole) > 200:
                    is_under_load.set()
        except OSError:  # closed between two requests, before an answer began
            pass
        except HTTPException as error:
            broken.append(error)
        finally:
            client.close()

    with serving(tmp_path, workers=workers) as server:
        clients = [threading.Thread(target=load) for _ in range(16)]
        for client in clients:
            client.start()
        assert is_under_load.wait(SECONDS)
        logged = server.stop()
        for client in clients:
            client.join()
    assert broken == []
    assert set(whole) == {200}
    assert logged == [200] * len(whole)
