"""A real S3 server on loopback for tests and the demo: OpenStack Swift's s3api, signatures checked.

    with SwiftStore.start(directory) as store:
        store.client().create_bucket(Bucket="archives")
        subprocess.run([...], env=os.environ | store.environ())

Needs the PyPI package ``swift`` in the running environment (all of it installs from wheels) and a
directory whose file system keeps user extended attributes, where Swift stores object metadata. The
server is one child process (`swift_server`) that ends with the context, and by itself should this
process be killed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

REGION = "us-east-1"
PROJECT_ROOT = Path(__file__).resolve().parents[3]
LOG_TAIL_BYTES = 4096
STOP_SECONDS = 10.0


class SwiftStoreError(RuntimeError):
    """The store cannot start; the message says why and ends with the tail of the server's log."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An S3 access key pair."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SwiftStore:
    """A running server.

    `owner` may do everything; `stranger` is a valid user who gets 403 on all that `owner` has.
    """

    url: str
    owner: Credentials
    stranger: Credentials
    _clients: ExitStack = field(repr=False)

    @classmethod
    @contextmanager
    def start(cls, directory: Path, *, ready_seconds: float = 60.0) -> Iterator[Self]:
        """Serve from `directory`, created if missing, until the context ends; its contents stay.

        Raises SwiftStoreError when Swift is missing, the file system is unsuitable, or the server
        is not ready within `ready_seconds` or refuses a signed request.
        """
        if importlib.util.find_spec("swift") is None:
            raise SwiftStoreError(
                f"swift is not installed for {sys.executable}: run `pip install swift`"
            )
        directory = directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        _require_extended_attributes(directory)
        # In tempauth an access key is "account:user". Both users belong to the account that has the
        # buckets, so the stranger's requests find the bucket and are refused there.
        owner = Credentials("test:owner", secrets.token_hex(20))
        stranger = Credentials("test:stranger", secrets.token_hex(20))
        users = {
            owner.access_key: [owner.secret_key, ".admin"],
            stranger.access_key: [stranger.secret_key],
        }
        log_path = directory / "server.log"
        with _server(directory, log_path) as server, ExitStack() as clients:
            port = _wait_for_port(server, users, ready_seconds, log_path)
            store = cls(f"http://127.0.0.1:{port}", owner, stranger, clients)
            try:
                store.client().list_buckets()
            except (BotoCoreError, ClientError) as error:
                raise SwiftStoreError(
                    f"the server started but does not work: {error}\n{_tail(log_path)}"
                ) from error
            yield store

    @property
    def access_key(self) -> str:
        """The owner's access key id."""
        return self.owner.access_key

    @property
    def secret_key(self) -> str:
        """The owner's secret access key."""
        return self.owner.secret_key

    def client(
        self, credentials: Credentials | None = None, *, endpoint_url: str | None = None
    ) -> S3Client:
        """A boto3 client as `credentials` (the owner by default), closed with the store.

        `endpoint_url` replaces the store's own address, for a proxy in front of it.
        """
        credentials = credentials or self.owner
        client = boto3.client(
            "s3",
            endpoint_url=endpoint_url or self.url,
            region_name=REGION,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )
        self._clients.callback(client.close)
        return client

    def environ(
        self, credentials: Credentials | None = None, *, endpoint_url: str | None = None
    ) -> dict[str, str]:
        """The AWS_* variables that point a subprocess at the store and at nothing else."""
        return environ_of(credentials or self.owner, endpoint_url or self.url)


def environ_of(credentials: Credentials, url: str) -> dict[str, str]:
    """The AWS_* variables that point a subprocess at a store, and at nothing else."""
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_S3": url,
        # Nothing of the user's own AWS set-up may take part.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _require_extended_attributes(directory: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=directory) as probe:
        try:
            os.setxattr(probe.fileno(), "user.swift.metadata", b"probe")
        except OSError as error:
            raise SwiftStoreError(
                f"{directory}: the file system keeps no user extended attributes "
                f"({error.strerror}), where Swift stores object metadata; "
                f"choose a directory on ext4, xfs, btrfs or the tmpfs of Linux 6.6 and later"
            ) from error


@contextmanager
def _server(directory: Path, log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server process; afterwards it is surely gone."""
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.support.servers.swift_server",
                str(directory),
            ],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            # Ctrl-C is for the parent, which then closes the pipe.
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            # The server ends itself when its standard input does.
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for_port(
    server: subprocess.Popen[bytes],
    users: dict[str, list[str]],
    ready_seconds: float,
    log_path: Path,
) -> int:
    assert server.stdin is not None
    assert server.stdout is not None
    with suppress(BrokenPipeError):  # It may have ended already: then there is nothing to read.
        server.stdin.write(json.dumps(users).encode() + b"\n")
    readable, _, _ = select.select([server.stdout], [], [], ready_seconds)
    if not readable:
        raise SwiftStoreError(
            f"the server was not ready within {ready_seconds} s\n{_tail(log_path)}"
        )
    line = server.stdout.readline()
    if not line:
        status = server.wait(STOP_SECONDS)
        raise SwiftStoreError(f"the server ended with exit status {status}\n{_tail(log_path)}")
    return int(json.loads(line)["port"])


def _tail(log_path: Path) -> str:
    """The last lines of the log, headed by its path."""
    log = log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
    return f"--- {log_path} ---\n{log.strip()}"
