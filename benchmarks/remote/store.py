"""The store: a real S3 server behind a proxy that delays, throttles and counts.

Server and proxy are processes of their own.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from benchmarks.remote.data import Packed
from tests.support.servers.radosgw_server import RadosGateway
from tests.support.servers.swift_store import REGION

__all__ = ["BANDWIDTH_MBS", "LATENCY_MS", "Store", "Uploaded"]

LATENCY_MS = 20
"""Milliseconds of delay before each request."""
BANDWIDTH_MBS = 80
"""Megabytes (10^6) a second, on each connection."""

_UPLOADS = 8
_SUPERBLOCK_BYTES = 96


class Uploaded(NamedTuple):
    """Where the archives of one tree are."""

    image: str
    """The image's key."""
    zip_url: str
    """Presigned URL of the zip, through the proxy."""


@dataclass(frozen=True, slots=True)
class Store:
    """A running store with one bucket, reached through the proxy."""

    gateway: RadosGateway
    bucket: str
    url: str
    """The proxy's URL."""

    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[Store]:
        """Run server and proxy until the context ends."""
        with RadosGateway.start(directory) as gateway, cls.before(gateway, "archives") as store:
            yield store

    @classmethod
    @contextmanager
    def before(cls, gateway: RadosGateway, bucket: str, *, total_mbs: float = 0) -> Iterator[Store]:
        """Make a bucket, and run a proxy before its server until the context ends.

        All connections together pass `total_mbs` at most, unless that is 0.
        """
        gateway.client().create_bucket(Bucket=bucket)
        with _proxy(gateway.url, total_mbs) as url:
            yield cls(gateway, bucket, url)

    def environ(self) -> dict[str, str]:
        """Return the environment variables of a process that reads through the proxy."""
        return {
            "AWS_ACCESS_KEY_ID": self.gateway.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": self.gateway.owner.secret_key,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def upload(self, packed: Packed, members: Iterable[str]) -> Uploaded:
        """Upload image and zip of a tree, and `members` as `plain/PATH`, past the proxy."""
        client = self.gateway.client()
        name = packed.tree.name
        image, archive = self.upload_image(packed.image, name), f"zips/{name}.zip"
        client.upload_file(str(packed.zip), self.bucket, archive)

        def put(member: str) -> None:
            content = (packed.tree / member).read_bytes()
            client.put_object(Bucket=self.bucket, Key=f"plain/{member}", Body=content)

        with ThreadPoolExecutor(_UPLOADS) as uploads:
            for _ in uploads.map(put, members):
                pass
        return Uploaded(image, self.presigned(archive))

    def upload_image(self, path: Path, name: str) -> str:
        """Upload an image as `s3archivefs upload` does, past the proxy; return its key."""
        key = f"images/{name}/image.sqfs"  # apart: rclone looks at everything beside an archive
        with path.open("rb") as file:
            superblock = base64.b64encode(file.read(_SUPERBLOCK_BYTES)).decode()
        extra = {"Metadata": {"s3archivefs-superblock": superblock}}
        self.gateway.client().upload_file(str(path), self.bucket, key, ExtraArgs=extra)
        return key

    def presigned(self, key: str) -> str:
        """Return a URL of an object, through the proxy, that needs no credentials."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.gateway.owner.access_key,
            aws_secret_access_key=self.gateway.owner.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        params = {"Bucket": self.bucket, "Key": key}
        url = client.generate_presigned_url("get_object", Params=params)
        client.close()
        return url

    def forget(self) -> None:
        """Begin to count requests anew."""
        self._ask("DELETE")

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests since `forget`, once those in flight have ended."""
        requests: list[dict[str, Any]] = json.loads(self._ask("GET"))["requests"]
        return requests

    def _ask(self, method: str) -> bytes:
        asking = http.client.HTTPConnection(urlsplit(self.url).netloc)
        try:
            asking.request(method, "/-/requests")
            answer = asking.getresponse()
            body = answer.read()
        finally:
            asking.close()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the proxy returned no counts: {body.decode()}")
        return body


@contextmanager
def _proxy(upstream: str, total_mbs: float) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.support.proxy.counting_proxy", "--upstream", upstream]
    command += ["--latency-ms", str(LATENCY_MS), "--bandwidth-mbs", str(BANDWIDTH_MBS)]
    command += ["--total-mbs", str(total_mbs)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin
        assert process.stdout
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the proxy did not start; its message is above")
        try:
            yield url
        finally:
            process.stdin.close()
