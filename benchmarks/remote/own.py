"""This project as a contender, and the contenders that need only boto3."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import boto3
import boto3.s3.transfer
from botocore.config import Config as ClientConfig

import s3archivefs
from benchmarks.remote.reader import PIECE_BYTES, Reader, Target, range_header
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["Download", "Downloaded", "ExpectedProduct", "Naive", "PlainObjects", "Product"]

_LISTED = re.compile(rb"<Key>([^<]*)</Key>.*?<Size>([0-9]+)</Size>", re.DOTALL)
_NEXT_TOKEN = re.compile(rb"<NextContinuationToken>([^<]*)<")


class Product(Reader):
    """The adapter's S3 operations, called as its transports call them."""

    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        client = make_archive_client()
        environ = {
            "S3ARCHIVEFS_CACHE_DIR": target.directory,
            "S3ARCHIVEFS_PREFIX_VMAP1": f"|s3://{target.bucket}/{target.image}",
            **self.settings,
        }
        self._archives = Archives(Config.from_environ(environ), lambda: client)
        self._operations = Operations(self._archives)

    def open(self) -> None:
        for mapping in self._archives.mappings:
            self._archives.get(mapping.location)

    def read(self, path: str) -> bytes:
        return b"".join(ask(self._operations, "GetObject", S3Request(key=path)).body)

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        request = S3Request(key=path, headers={"range": range_header(offset, length)})
        return b"".join(ask(self._operations, "GetObject", request).body)

    def list(self, path: str) -> list[tuple[str, int]]:
        listed = []
        query = {"list-type": "2", "prefix": f"{path}/", "delimiter": "/"}
        while True:
            answer = ask(self._operations, "ListObjectsV2", S3Request(query=query))
            page = b"".join(answer.body)
            for key, size in _LISTED.findall(page):
                listed.append((key.decode().rpartition("/")[2], int(size)))
            token = _NEXT_TOKEN.search(page)
            if token is None:
                return listed
            query["continuation-token"] = token[1].decode()

    def stream(self, path: str) -> Iterator[bytes | memoryview]:
        yield from ask(self._operations, "GetObject", S3Request(key=path)).body


class ExpectedProduct(Product):
    """The same, told that archives carry their superblock in user metadata."""

    settings: ClassVar = {"S3ARCHIVEFS_SUPERBLOCK_METADATA": "expected"}


class _Image(Reader):
    """An image, read with this project's reader."""

    fs: s3archivefs.SquashFS

    def read(self, path: str) -> bytes:
        return self.fs.read_bytes(path)

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        with self.fs.open(path) as file:
            file.seek(offset)
            return file.read(length)

    def list(self, path: str) -> list[tuple[str, int]]:
        return [(entry.name, entry.stat().size) for entry in self.fs.scandir(path)]


class Naive(_Image):
    """The simplest reader: HEAD, the whole metadata, then a GET for each block."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._client = _client()

    def open(self) -> None:
        self.fs = s3archivefs.open(_NaiveDevice(self._client, self.target))

    def stream(self, path: str) -> Iterator[bytes]:
        with self.fs.open(path) as file:
            while piece := file.read(self.fs.superblock.block_size):
                yield piece


class _NaiveDevice:
    def __init__(self, client: S3Client, target: Target) -> None:
        self._client = client
        self._target = target
        head = client.head_object(Bucket=target.bucket, Key=target.image)
        self.size = head["ContentLength"]
        superblock = base64.b64decode(head["Metadata"]["s3archivefs-superblock"])
        start = s3archivefs.Superblock.decode(superblock).inode_table_start
        self._held = [(0, superblock), (start, self._get(start, self.size - start))]

    def pread(self, offset: int, length: int) -> bytes:
        for start, data in self._held:
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        return self._get(offset, length)

    def _get(self, offset: int, length: int) -> bytes:
        answer = self._client.get_object(
            Bucket=self._target.bucket,
            Key=self._target.image,
            Range=range_header(offset, length),
        )
        return answer["Body"].read()


class Downloaded(_Image):
    """The archive downloaded whole over several connections, then read from disk."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._client = _client()

    def open(self) -> None:
        self.fs = s3archivefs.open(self.download())

    def download(self) -> str:
        """Download the archive as boto3 does: 10 parts of 8 MiB at once."""
        path = f"{self.target.directory}/archive"
        self._client.download_file(self.target.bucket, self.target.image, path)
        return path

    def stream(self, path: str) -> Iterator[bytes]:
        with self.fs.open(path) as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


class Download(Downloaded):
    """That download alone: the throughput of the network."""

    def open(self) -> None:
        self.download()

    def stream(self, path: str) -> Iterator[bytes]:
        return iter(())


class PlainObjects(Reader):
    """Each file as an object of its own: the floor."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._client = _client()

    def read(self, path: str) -> bytes:
        answer = self._client.get_object(Bucket=self.target.bucket, Key=f"plain/{path}")
        return answer["Body"].read()

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        answer = self._client.get_object(
            Bucket=self.target.bucket,
            Key=f"plain/{path}",
            Range=range_header(offset, length),
        )
        return answer["Body"].read()

    def list(self, path: str) -> list[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.target.bucket, Prefix=f"plain/{path}/", Delimiter="/"
        )
        found = [each for page in pages for each in page["Contents"]]
        return [(each["Key"].rpartition("/")[2], each["Size"]) for each in found]

    def stream(self, path: str) -> Iterator[bytes]:
        answer = self._client.get_object(Bucket=self.target.bucket, Key=f"plain/{path}")
        yield from answer["Body"].iter_chunks(PIECE_BYTES)


def _client() -> S3Client:
    return boto3.client("s3", config=ClientConfig(s3={"addressing_style": "path"}))
