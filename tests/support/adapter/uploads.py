"""What tests of `s3archivefs upload` share: the command, its store, and what it sent there."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.images.fixtures import run_tool
from tests.support.proxy.counting_proxy import Answer, CountingProxy, Stall
from tests.support.servers.server_keeper import own
from tests.support.servers.swift_store import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.processes.forked_program import ForkedProgram
    from tests.support.proxy.counting_proxy import Fault
    from tests.support.proxy.recorded import Recorded, Request
    from tests.support.servers.radosgw_server import RadosGateway
    from tests.support.servers.swift_store import SwiftStore

BUCKET = own("uploads")
PART_BYTES = 5 << 20
"""The shortest that S3 takes."""
LARGE = Random(7).randbytes(4 * PART_BYTES + 1000)
"""The content of a file that makes an image of five parts."""
WAIT_SECONDS = 200


@dataclass(frozen=True)
class Store:
    """A store, the proxy in front of it, and the command that is sent there."""

    store: SwiftStore | RadosGateway
    proxy: CountingProxy
    directory: Path
    environ: dict[str, str] = field(repr=False)
    program: ForkedProgram = field(repr=False)

    def upload(self, *arguments: object, status: int = 0) -> str:
        """Run `s3archivefs upload` to its end, which must have `status`; what it wrote."""
        return self.run("upload", *arguments, status=status)

    def run(self, command: str, *arguments: object, status: int = 0) -> str:
        """Run a subcommand to its end, which must have `status`; what it wrote."""
        done = self.program(command, *map(str, arguments), environ=self.environ)
        written = done.stdout + done.stderr
        assert done.returncode == status, written
        assert "Traceback" not in written
        return written

    def command(self, *arguments: object) -> list[str]:
        """The command as a process of its own is started with it."""
        return [sys.executable, "-m", "s3archivefs.cli", "upload", *map(str, arguments)]

    def interrupt(
        self, number: int, *arguments: object, part: int, subcommand: str = "upload", first: int = 1
    ) -> str:
        """Send a signal to the command when `part` waits for its answer; what it wrote.

        The store holds all parts before it then, from the `first` that is sent on, and none of
        those after it.
        """
        arrived = threading.Event()

        def match(request: Request) -> bool:
            if part_number(request) < part:
                return False
            arrived.set()
            return True

        self.proxy.inject(Stall(None), times=99, match=match)
        command = (subcommand, *map(str, arguments))
        with self.program.start(*command, environ=self.environ) as running:
            assert arrived.wait(WAIT_SECONDS)
            self._wait_for_parts({*range(first, part)})
            os.kill(running.pid, number)
            done = running.wait()
        written = done.stdout + done.stderr
        self.proxy.heal()
        self.proxy.reset()  # waits for what is still on its way to the store
        expected = -signal.SIGKILL if number == signal.SIGKILL else 130
        assert done.returncode == expected, written
        assert "Traceback" not in written
        return written

    def _wait_for_parts(self, numbers: set[int]) -> None:
        """Wait until an unfinished upload holds these parts."""
        until = time.monotonic() + WAIT_SECONDS
        while numbers and not any(self.parts(key) >= numbers for key in self.unfinished()):
            assert time.monotonic() < until

    def unfinished(self) -> list[str]:
        """The keys of unfinished uploads."""
        found = self.store.client().list_multipart_uploads(Bucket=BUCKET)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def parts(self, key: str) -> set[int]:
        """The parts that the unfinished upload to `key` holds."""
        client = self.store.client()
        found = client.list_multipart_uploads(Bucket=BUCKET, Prefix=key)["Uploads"]
        (upload,) = [upload for upload in found if upload["Key"] == key]
        parts = client.list_parts(Bucket=BUCKET, Key=key, UploadId=upload["UploadId"])
        return {part["PartNumber"] for part in parts.get("Parts", [])}

    def keys(self) -> list[str]:
        found = self.store.client().list_objects_v2(Bucket=BUCKET)
        return [there["Key"] for there in found.get("Contents", [])]

    def hash(self, key: str) -> str:
        body = self.store.client().get_object(Bucket=BUCKET, Key=key)["Body"]
        digest = hashlib.sha256()
        for piece in body.iter_chunks(1 << 20):
            digest.update(piece)
        return digest.hexdigest()

    def superblock(self, key: str) -> bytes:
        metadata = self.store.client().head_object(Bucket=BUCKET, Key=key)["Metadata"]
        return base64.b64decode(metadata["s3archivefs-superblock"])


@contextmanager
def empty_bucket(
    server: SwiftStore | RadosGateway, program: ForkedProgram, directory: Path
) -> Iterator[Store]:
    """A store with an empty bucket, and a proxy in front of it."""
    client = server.client()
    client.create_bucket(Bucket=BUCKET)
    (directory / "temporary").mkdir()
    with CountingProxy(server.url) as proxy:
        environ = os.environ | {
            "AWS_ACCESS_KEY_ID": server.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": server.owner.secret_key,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": proxy.url,
            "S3ARCHIVEFS_MPU_CHUNK_SIZE": str(PART_BYTES),
            "TMPDIR": str(directory / "temporary"),
        }
        yield Store(server, proxy, directory, environ, program)
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for there in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=there["Key"])
    client.delete_bucket(Bucket=BUCKET)


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_number(request: Request) -> int:
    """Which part a request sends; 0 where it sends none."""
    query = parse_qs(urlsplit(request.path).query)
    return int(query["partNumber"][0]) if request.method == "PUT" and "partNumber" in query else 0


def parts_sent(requests: list[Recorded]) -> list[int]:
    return sorted(part_number(request) for request in requests if part_number(request))


def is_write(request: Request) -> bool:
    return request.method in {"PUT", "POST"}


def begins(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("?uploads")


def completes(request: Request) -> bool:
    return request.method == "POST" and "uploadId=" in request.path


def before(
    uploads: Store,
    match: Callable[[Request], bool],
    act: Callable[[], object],
    *,
    then: Fault | None = None,
) -> None:
    """Act when the first request that matches has come, and before it is passed on, or `then`
    befalls it.
    """
    acted = threading.Event()

    def matched(request: Request) -> bool:
        if not match(request) or acted.is_set():
            return False
        acted.set()
        act()
        return then is not None

    uploads.proxy.inject(then or Answer(500), match=matched)


def complete(uploads: Store) -> None:
    """Complete the only unfinished upload, as an attempt does whose answer is lost."""
    client = uploads.store.client()
    (upload,) = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    target: Any = {"Bucket": BUCKET, "Key": "a.sqfs", "UploadId": upload["UploadId"]}
    parts: Any = [
        {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
        for part in client.list_parts(**target)["Parts"]
    ]
    client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})


def download(uploads: Store, directory: Path, key: str = "a.sqfs") -> Path:
    """An image of the store as a file, which another reader finds sound."""
    path = directory / "stored.sqfs"
    uploads.store.client().download_file(BUCKET, key, str(path))
    run_tool("unsquashfs", "-q", "-n", "-f", "-d", str(directory / "extracted"), str(path))
    return path


def put(uploads: Store, content: bytes) -> None:
    uploads.store.client().put_object(Bucket=BUCKET, Key="a.sqfs", Body=content)
