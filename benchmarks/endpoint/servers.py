"""The servers that are measured, each a process group of its own."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.endpoint.data import BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.endpoint.data import Served

__all__ = ["ACCESS_KEY", "SECRET", "SERVERS", "Running", "Server", "running"]

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_START_SECONDS = 30
_STOP_SECONDS = 12
_TICKS = os.sysconf("SC_CLK_TCK")

_NGINX = """
user {user} {group}; daemon off;
worker_processes auto; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log {directory}/access.log; sendfile on; keepalive_requests 1000000;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Server(NamedTuple):
    """A server, and how it is started."""

    name: str
    command: Callable[[Served, Path, int, bool], list[str]]
    """Takes what is served, a scratch directory, the port, and whether it checks signatures."""
    environ: Mapping[str, str]
    """Variables to set if requests are signed."""
    speaks_s3: bool = True

    @property
    def is_there(self) -> bool:
        """Whether the program is installed."""
        return self.name == "s3archivefs" or _program(self.name) is not None


def _program(name: str) -> str | None:
    """Return a program: the peers', this Python's, or that on PATH."""
    folders = [Path(sys.executable).parent, *map(Path, os.environ.get("PATH", "").split(":"))]
    peers = os.environ.get("BENCHMARKS_PEERS_PYTHON")
    if peers:
        folders.insert(0, Path(peers).parent)
    return shutil.which(name, path=":".join(map(str, [*folders, "/usr/sbin"])))


def _ours(served: Served, _: Path, port: int, is_signed: bool) -> list[str]:  # noqa: FBT001 -- by Server.command
    serve = [sys.executable, "-m", "s3archivefs.cli", "serve", "--port", str(port)]
    return [*serve, "--bucket", BUCKET, "--map", f"={served.image}"]


def _rclone(served: Served, directory: Path, port: int, is_signed: bool) -> list[str]:  # noqa: FBT001 -- likewise
    config = directory / "rclone.conf"
    config.touch()
    command = [_program("rclone") or "rclone", "serve", "s3", "--config", str(config)]
    if is_signed:
        command += ["--auth-key", f"{ACCESS_KEY},{SECRET}"]
    return [*command, "--addr", f"127.0.0.1:{port}", str(served.root)]


def _nginx(served: Served, directory: Path, port: int, is_signed: bool) -> list[str]:  # noqa: FBT001 -- likewise
    config = directory / "nginx.conf"
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    config.write_text(
        _NGINX.format(directory=directory, port=port, root=served.root, user=user, group=group)
    )
    return [_program("nginx") or "nginx", "-c", str(config)]


_KEYS = {
    "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": ACCESS_KEY,
    "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": SECRET,
}
SERVERS = (
    Server("s3archivefs", _ours, _KEYS),
    Server("rclone", _rclone, {}),
    Server("nginx", _nginx, {}, speaks_s3=False),
)


class Running(NamedTuple):
    """A server that runs."""

    server: Server
    url: str
    group: int

    @property
    def processor_seconds(self) -> float:
        """Processor time of all processes of the server so far, user and system."""
        return sum(_processor_ticks(self.group)) / _TICKS


def _processor_ticks(group: int) -> Iterator[int]:
    for process in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield int(fields[11]) + int(fields[12])


@contextmanager
def running(
    server: Server, served: Served, directory: Path, *, is_signed: bool
) -> Iterator[Running]:
    """Run a server until the context ends; its output goes to files in the directory."""
    scratch = directory / server.name
    scratch.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = os.environ | {"S3ARCHIVEFS_CACHE_DIR": str(scratch)}
    environ |= server.environ if is_signed else {}
    with (scratch / "output").open("ab") as output:
        process = subprocess.Popen(
            server.command(served, scratch, port, is_signed),
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await(port, process)
        yield Running(server, f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{process.args!r} does not answer") from None
            time.sleep(0.05)
        else:
            return
