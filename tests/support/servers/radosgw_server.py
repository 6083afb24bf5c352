"""A real S3 server on loopback, of another kind than Swift's: Ceph's RADOS gateway.

    with RadosGateway.start(directory) as gateway:
        gateway.client().create_bucket(Bucket="archive")

Needs the programs of Debian's packages `ceph-mon`, `ceph-osd` and `radosgw`, but none of their
system services. One monitor, one object store in memory and the gateway are child processes, which
end with the context, and by themselves should this process be killed. It is up in about a second:
a monitor that may agree with itself at once (`paxos ...`) does not wait for others to speak.
"""

from __future__ import annotations

import http.client
import secrets
import shutil
import socket
import subprocess
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config

from tests.support.servers.swift_store import REGION, Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

HOST = "127.0.0.1"
LOG_TAIL_BYTES = 4096
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
# Below those that Linux gives to outgoing connections, so that none takes one before it is listened
# on: the gateway cannot say which port it took.
PORTS = range(20000, 32000)

CONF = """\
[global]
fsid = {fsid}
mon host = {monitor}
mon initial members = a
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
# Without these a client cannot reach a monitor that asks for no keys.
ms mon client mode = crc
ms client mode = crc
run dir = {directory}
admin socket =
pid file =
log file = {directory}/$name.log
keyring = {directory}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 1000
paxos propose interval = 0.02
paxos min wait = 0.01
[mon.a]
mon data = {directory}/mon
mon addr = {monitor}
[osd]
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
{classes}
[client.admin]
rgw frontends = beast endpoint={gateway} tcp_nodelay=1
rgw thread pool size = 16
rgw enable gc threads = false
rgw enable lc threads = false
"""
# Below /usr, where the object classes are: Debian 13 looks for them below the working directory.
CLASSES = ("lib/*/rados-classes", "lib64/rados-classes", "lib/rados-classes")


class RadosGatewayError(RuntimeError):
    """The gateway cannot start; the message says why and ends with the tail of what was logged."""


@dataclass(frozen=True, slots=True)
class RadosGateway:
    """A running gateway, and its one user."""

    url: str
    owner: Credentials
    _clients: ExitStack = field(repr=False)

    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[Self]:
        """Serve from `directory`, created if missing, until the context ends.

        Raises RadosGatewayError where a program is missing, fails, or is not ready in time.
        """
        directory = directory.absolute()
        for part in ("mon", "osd"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        (directory / "keyring").touch()
        owner = Credentials("RADOSOWNER", secrets.token_hex(20))
        monitor, gateway = (f"{HOST}:{port}" for port in _free_ports(2))
        cluster = _Cluster(directory, str(uuid.uuid4()), monitor)
        found = [each for pattern in CLASSES for each in Path("/usr").glob(pattern)]
        conf = CONF.format(
            fsid=cluster.fsid,
            monitor=monitor,
            gateway=gateway,
            directory=directory,
            classes=f"osd class dir = {found[0]}" if found else "",
        )
        cluster.conf.write_text(conf)
        with ExitStack() as stack:
            process = cluster.start(stack, owner)
            _wait_until_it_answers(gateway, process, cluster)
            yield cls(f"http://{gateway}", owner, stack)

    def client(self) -> S3Client:
        """A boto3 client of the owner, closed with the gateway."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.owner.access_key,
            aws_secret_access_key=self.owner.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        self._clients.callback(client.close)
        return client


@dataclass(frozen=True, slots=True)
class _Cluster:
    directory: Path
    fsid: str
    monitor: str

    @property
    def conf(self) -> Path:
        return self.directory / "ceph.conf"

    def start(self, stack: ExitStack, owner: Credentials) -> subprocess.Popen[bytes]:
        """Make the stores and the user, and start the daemons, which end with `stack`; returns the
        gateway.
        """
        monmap = str(self.directory / "monmap")
        self.run(
            "monmaptool", "--create", "--clobber", "--fsid", self.fsid, "--add", "a", self.monitor,
            monmap, configured=False,
        )  # fmt: skip
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        stack.enter_context(self.daemon("ceph-mon", "-i", "a"))
        store = str(uuid.uuid4())
        self.run("ceph", "osd", "new", store)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        stack.enter_context(self.daemon("ceph-osd", "-i", "0"))
        self.run(
            "radosgw-admin", "user", "create", "--uid=owner", "--display-name=owner",
            f"--access-key={owner.access_key}", f"--secret-key={owner.secret_key}",
        )  # fmt: skip
        return stack.enter_context(self.daemon("radosgw", "-n", "client.admin"))

    def run(self, program: str, *arguments: str, configured: bool = True) -> None:
        """Run a command to its end."""
        conf = ["-c", str(self.conf)] if configured else []
        done = subprocess.run(
            [_found(program), *conf, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=READY_SECONDS,
            check=False,
        )
        if done.returncode:
            said = done.stdout.strip()[-LOG_TAIL_BYTES:]
            raise RadosGatewayError(
                f"{program} failed with status {done.returncode}: {said}\n{self.log_tail()}"
            )

    @contextmanager
    def daemon(self, program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon in the foreground; afterwards it is surely gone."""
        command = [_found(program), "-c", str(self.conf), "-f", *arguments]
        with (
            (self.directory / f"{program}.out").open("wb") as output,
            subprocess.Popen(
                [_found("setpriv"), "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the parent
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()  # what it stored was in memory: an orderly end would save nothing

    def log_tail(self) -> str:
        """The last lines of each log, headed by its path."""
        return "\n".join(
            f"--- {path} ---\n{path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors='replace')}"
            for path in sorted(self.directory.glob("*.out"))
        )


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise RadosGatewayError(
            f"{program} is not installed: run"
            " `apt-get install --no-install-recommends ceph-mon ceph-osd radosgw`"
        )
    return path


def _free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    found: list[int] = []
    for port in Random().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RadosGatewayError(f"no port of {PORTS} is free")


def _wait_until_it_answers(
    address: str, process: subprocess.Popen[bytes], cluster: _Cluster
) -> None:
    """Ask until there is an answer: the gateway does not say when it is ready."""
    for _ in range(int(READY_SECONDS / POLL_SECONDS)):
        asking = http.client.HTTPConnection(address, timeout=READY_SECONDS)
        try:
            asking.request("GET", "/")
            asking.getresponse().read()
        except OSError:
            try:
                status = process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise RadosGatewayError(
                f"radosgw ended with exit status {status}\n{cluster.log_tail()}"
            ) from None
        else:
            return
        finally:
            asking.close()
    raise RadosGatewayError(f"radosgw was not ready in time\n{cluster.log_tail()}")
