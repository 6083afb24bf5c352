"""What each kind of read costs in archives of 20 thousand and of a million files, and of one large
file: requests, round trips and bytes, counted at a real S3 server.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.parts.integration.conftest import upload
from tests.support.counting_proxy import CountingProxy
from tests.support.local_archives import ask, content, list_page
from tests.support.many_files import (
    PER_DIRECTORY,
    content_of,
    pack_many,
    path_of,
    short_content_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.swift_store import SwiftStore

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 128 * KIB
TAIL = 512 * KIB
LATENCY = 0.05  # seconds; so that requests made side by side overlap
FEW, MANY = 20_000, 1_000_000


@dataclass
class Reader:
    """A fresh instance, over the archive at the prefix `a`, and what it costs."""

    operations: Operations
    proxy: CountingProxy

    def get(self, key: str, byte_range: str | None = None) -> bytes:
        headers = {} if byte_range is None else {"range": byte_range}
        return content(
            ask(self.operations, "GetObject", S3Request(key=f"a/{key}", headers=headers))
        )

    def head(self, key: str) -> int:
        answer = ask(self.operations, "HeadObject", S3Request(key=f"a/{key}"))
        return int(answer.headers["Content-Length"])

    def listed(self, **query: str) -> int:
        page = list_page(self.operations, **query)
        return len(page.items)

    def cost(self) -> tuple[int, int, int]:
        """Requests, round trips and bytes since the last time."""
        requests = self.proxy.requests
        trips = self.proxy.round_trips()
        self.proxy.reset()
        return len(requests), trips, sum(request.bytes_sent for request in requests)


@contextmanager
def reader(
    store: SwiftStore, archive: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """A cold one: its cache is empty."""
    with CountingProxy(store.url, latency=LATENCY) as proxy:
        for name, value in store.environ(endpoint_url=proxy.url).items():
            monkeypatch.setenv(name, value)
        settings = {
            "S3ARCHIVEFS_PREFIX_VMAP1": f"a|{archive}",
            "S3ARCHIVEFS_CACHE_DIR": str(cache),
        }
        client = make_archive_client()
        yield Reader(Operations(Archives(Config.from_environ(settings), lambda: client)), proxy)
        client.close()


@pytest.fixture(scope="module")
def few(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Metadata shorter than the tail that is fetched at once."""
    image = tmp_path_factory.mktemp("few") / "few.sqfs"
    pack_many(image, FEW)
    return upload(store, image, "few.sqfs", superblock=True)


@pytest.fixture(scope="module")
def many(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Metadata longer than what is fetched whole."""
    image = tmp_path_factory.mktemp("many") / "many.sqfs"
    pack_many(image, MANY, short=True)
    return upload(store, image, "many.sqfs", superblock=True)


# ---- 20 thousand files ---------------------------------------------------------------------------


def test_of_20_thousand_files(
    store: SwiftStore, few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(store, few, tmp_path, monkeypatch) as cold:
        assert cold.get(path_of(7)) == content_of(7)
        requests, trips, size = cold.cost()
        assert (requests <= 3, trips <= 2, size <= TAIL + 96 + 2 * CHUNK) == (True, True, True)
        assert cold.get(path_of(10_000)) == content_of(10_000)
        requests, trips, size = cold.cost()
        assert (requests, trips, size <= 2 * CHUNK) == (1, 1, True)
        assert cold.get(path_of(10_000)) == content_of(10_000)
        assert cold.head(path_of(12_345)) == len(content_of(12_345))
        assert cold.listed(prefix="a/d0011/", delimiter="/") == PER_DIRECTORY
        assert cold.listed(prefix="a/", max_keys="1000", start_after="a/d0003/f0003500.txt") == 1000
        assert cold.cost() == (0, 0, 0)


@pytest.mark.parametrize("first", ["head", "directory", "page"])
def test_of_20_thousand_files_whatever_needs_metadata_alone_comes_first(
    store: SwiftStore, few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    with reader(store, few, tmp_path, monkeypatch) as cold:
        match first:
            case "head":
                cold.head(path_of(12_345))
            case "directory":
                cold.listed(prefix="a/d0011/", delimiter="/")
            case _:
                cold.listed(prefix="a/")
        requests, trips, size = cold.cost()
        assert (requests, trips) == (2, 1)
        assert size <= TAIL + 96


def test_100_files_of_one_directory_in_any_order(
    store: SwiftStore, few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are some 100 KB raw, in one or two of the image's chunks."""
    with reader(store, few, tmp_path, monkeypatch) as cold:
        cold.head(path_of(0))
        cold.cost()
        for number in Random(1).sample(range(5_000, 5_100), 100):
            assert cold.get(path_of(number)) == content_of(number)
        requests, _, size = cold.cost()
        assert requests <= 3
        assert size <= 3 * CHUNK


# ---- A million files -----------------------------------------------------------------------------


def test_of_a_million_files(
    store: SwiftStore, many: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 MB of metadata are not fetched whole: each part of the way to a file is half a MiB of it.

    A file takes its directory's inode, the listing, and its own inode, besides the root's two.
    """
    with reader(store, many, tmp_path, monkeypatch) as cold:
        assert cold.get(path_of(333_333)) == short_content_of(333_333)
        requests, trips, size = cold.cost()
        assert requests <= 2 + 5
        assert trips <= 1 + 5
        assert size <= TAIL + 96 + 4 * 512 * KIB + 2 * CHUNK
        assert cold.get(path_of(333_334)) == short_content_of(333_334)
        assert cold.head(path_of(333_335)) == len(short_content_of(333_335))
        assert cold.listed(prefix="a/d0333/", delimiter="/") == PER_DIRECTORY
        requests, _, _ = cold.cost()
        assert requests <= 1  # where the listing goes on in the next part of the inodes
        assert cold.listed(prefix="a/d0333/", delimiter="/") == PER_DIRECTORY
        assert cold.cost() == (0, 0, 0)


def test_100_files_of_one_directory_among_a_million(
    store: SwiftStore, many: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(store, many, tmp_path, monkeypatch) as cold:
        cold.head(path_of(700_000))
        cold.cost()
        for number in Random(1).sample(range(700_000, 700_100), 100):
            assert cold.get(path_of(number)) == short_content_of(number)
        requests, _, size = cold.cost()
        assert requests <= 3
        assert size <= 512 * KIB + 2 * CHUNK


# ---- Large files ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gigabyte(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of 1 GiB, each block another, that compresses to some MB."""
    directory = tmp_path_factory.mktemp("gigabyte")
    (directory / "top").mkdir()
    with (directory / "top" / "big").open("wb") as file:
        for block in range(8192):
            file.write(gigabyte_block(block))
    image = directory / "gigabyte.sqfs"
    command = ["mksquashfs", str(directory / "top"), str(image), "-quiet", "-no-progress"]
    subprocess.run([*command, "-comp", "zstd", "-Xcompression-level", "1"], check=True)
    (directory / "top" / "big").unlink()
    return upload(store, image, "gigabyte.sqfs", superblock=True)


def gigabyte_block(number: int) -> bytes:
    return Random(number).randbytes(4096) + number.to_bytes(4, "big") * (31 * 1024)


def test_one_byte_of_a_gigabyte(
    store: SwiftStore, gigabyte: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(store, gigabyte, tmp_path, monkeypatch) as cold:
        assert cold.head("big") == 1 << 30
        cold.cost()
        for number in Random(1).sample(range(8192), 10):
            offset = number * CHUNK + 5
            assert cold.get("big", f"bytes={offset}-{offset}") == gigabyte_block(number)[5:6]
            requests, _, size = cold.cost()
            # Its block lies in one chunk or straddles the border of two; or was there already.
            assert requests <= 1
            assert size <= 2 * CHUNK


@pytest.fixture(scope="module")
def incompressible(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of 200 MB that is stored as it is."""
    directory = tmp_path_factory.mktemp("incompressible")
    (directory / "top").mkdir()
    (directory / "top" / "big").write_bytes(large_content())
    image = directory / "incompressible.sqfs"
    command = ["mksquashfs", str(directory / "top"), str(image), "-quiet", "-no-progress", "-noD"]
    subprocess.run(command, check=True)
    (directory / "top" / "big").unlink()
    return upload(store, image, "incompressible.sqfs", superblock=True)


def large_content() -> bytes:
    return Random(5).randbytes(200 * MIB)


def test_200_mb_in_sequence(
    store: SwiftStore, incompressible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(store, incompressible, tmp_path, monkeypatch) as cold:
        expected = memoryview(large_content())
        response = ask(cold.operations, "GetObject", S3Request(key="a/big"))
        for piece in response.body:
            assert piece == expected[: len(piece)]
            expected = expected[len(piece) :]
        assert not expected
        response.close()
        requests, trips, size = cold.cost()
        # The opening; the first MiB, for which the client waits; the others by some 4 MiB each.
        assert requests <= 2 + 1 + 200 // 4 + 5
        assert size <= 200 * MIB + TAIL + 2 * CHUNK
        assert trips <= requests // 2  # several at once
