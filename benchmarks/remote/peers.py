"""Other programs and libraries as contenders.

They run in an environment of their own (the dependency group `peers`), which lacks this project.
Their licences allow measuring them; the project could not depend on all of them, as
dissect.squashfs is under the AGPL.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.remote.reader import PIECE_BYTES, Reader, Target, range_header

__all__ = ["Dissect", "Ratarmount", "Rclone", "RemoteZip"]


class Dissect(Reader):
    """dissect.squashfs on a file of s3fs, with the cache that was fastest here."""

    def __init__(self, target: Target) -> None:
        import s3fs
        from dissect.squashfs import SquashFS

        super().__init__(target)
        self._squashfs = SquashFS
        self._s3 = s3fs.S3FileSystem()
        self._s3.connect()

    def open(self) -> None:
        path = f"{self.target.bucket}/{self.target.image}"
        file = self._s3.open(path, "rb", cache_type="blockcache", block_size=1 << 20)
        self._fs = self._squashfs(file)

    def read(self, path: str) -> bytes:
        return _all_of(self._fs.get(path).open())

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        return _part_of(self._fs.get(path).open(), offset, length)

    def list(self, path: str) -> list[tuple[str, int]]:
        return [(node.name, node.size) for node in self._fs.get(path).iterdir()]

    def stream(self, path: str) -> Iterator[bytes]:
        return _pieces_of(self._fs.get(path).open())


class Ratarmount(Reader):
    """ratarmount's mount source, without FUSE, on s3fs as it opens an s3:// URL itself."""

    def __init__(self, target: Target) -> None:
        import s3fs
        from ratarmountcore.mountsource.factory import open_mount_source

        super().__init__(target)
        self._open = open_mount_source
        self._s3 = s3fs.S3FileSystem()  # fsspec gives ratarmount this same one
        self._s3.connect()

    def open(self) -> None:
        url = f"s3://{self.target.bucket}/{self.target.image}"
        self._source = self._open(url, indexFilePath=":memory:")

    def read(self, path: str) -> bytes:
        return _all_of(self._opened(path))

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        return _part_of(self._opened(path), offset, length)

    def list(self, path: str) -> list[tuple[str, int]]:
        return [(name, info.size) for name, info in self._source.list(f"/{path}").items()]

    def stream(self, path: str) -> Iterator[bytes]:
        return _pieces_of(self._opened(path))

    def _opened(self, path: str) -> IO[bytes]:
        opened: IO[bytes] = self._source.open(self._source.lookup(f"/{path}"))
        return opened


class RemoteZip(Reader):
    """remotezip on a zip of the same tree, with one session for all requests."""

    def __init__(self, target: Target) -> None:
        import remotezip
        import requests

        super().__init__(target)
        self._zip = remotezip.RemoteZip
        self._session = requests.Session()

    def open(self) -> None:
        self._archive = self._zip(self.target.zip_url, session=self._session)

    def read(self, path: str) -> bytes:
        content: bytes = self._archive.read(path)
        return content

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        return _part_of(self._archive.open(path), offset, length)

    def list(self, path: str) -> list[tuple[str, int]]:
        members = self._archive.infolist()
        start = f"{path}/"
        return [
            (member.filename[len(start) :], member.file_size)
            for member in members
            if member.filename.startswith(start)
        ]

    def stream(self, path: str) -> Iterator[bytes]:
        return _pieces_of(self._archive.open(path))


class Rclone(Reader):
    """rclone's `archive` backend behind its own S3 server, read by an S3 client."""

    def __init__(self, target: Target) -> None:
        import botocore.session
        from botocore.config import Config

        super().__init__(target)
        self._bucket, _, self._archive = target.image.partition("/")
        self._process = _serve(target.bucket, target.directory)
        assert self._process.stderr
        ready = self._process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:[0-9]+", ready)
        if url is None:
            raise RuntimeError(f"rclone did not start: {ready}{self._process.stderr.read()}")
        config = Config(
            s3={"addressing_style": "path"}, response_checksum_validation="when_required"
        )
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=url[0],
            aws_access_key_id=_RCLONE_KEY,
            aws_secret_access_key=_RCLONE_SECRET,
            config=config,
        )

    def read(self, path: str) -> bytes:
        content: bytes = self._get(path)["Body"].read()
        return content

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        content: bytes = self._get(path, Range=range_header(offset, length))["Body"].read()
        return content

    def list(self, path: str) -> list[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._archive}/{path}/", Delimiter="/"
        )
        found = [each for page in pages for each in page["Contents"]]
        return [(each["Key"].rpartition("/")[2], each["Size"]) for each in found]

    def stream(self, path: str) -> Iterator[bytes]:
        yield from self._get(path)["Body"].iter_chunks(PIECE_BYTES)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _get(self, path: str, **further: str) -> dict[str, Any]:
        at = {"Bucket": self._bucket, "Key": f"{self._archive}/{path}"}
        answer: dict[str, Any] = self._client.get_object(**at, **further)
        return answer


_RCLONE_KEY, _RCLONE_SECRET = "RCLONEKEY", "RCLONESECRET"


def _serve(bucket: str, cache: str) -> subprocess.Popen[str]:
    """Serve a bucket: its directories as buckets, its archives as directories in them."""
    program = str(Path(sys.executable).with_name("rclone"))
    command = [program, "serve", "s3", "--addr", "127.0.0.1:0", f":archive:store:{bucket}"]
    command += ["--auth-key", f"{_RCLONE_KEY},{_RCLONE_SECRET}"]
    command += ["--vfs-cache-mode", "full", "--cache-dir", cache]  # faster than without
    store = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Ceph",
        "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
        "RCLONE_CONFIG_STORE_ENDPOINT": os.environ["AWS_ENDPOINT_URL_S3"],
    }
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | store
    )


def _all_of(file: IO[bytes]) -> bytes:
    with file:
        return file.read()


def _part_of(file: IO[bytes], offset: int, length: int) -> bytes:
    with file:
        file.seek(offset)
        return file.read(length)


def _pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
