"""What each kind of read costs in an archive of a million files, and in one large file: requests,
round trips and bytes, counted at a real S3 server.
"""

from __future__ import annotations

import subprocess
from random import Random
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.counted_reader import CHUNK, KIB, MIB, TAIL, counted_reader
from tests.support.adapter.local_archives import ask
from tests.support.images.many_files import PER_DIRECTORY, pack_many, path_of, short_content_of
from tests.support.servers.transports import upload

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

MANY = 1_000_000


@pytest.fixture(scope="module")
def many(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Metadata longer than what is fetched whole."""
    image = tmp_path_factory.mktemp("many") / "many.sqfs"
    pack_many(image, MANY, short=True)
    return upload(store, image, "many.sqfs", superblock=True)


# ---- A million files -----------------------------------------------------------------------------


def test_of_a_million_files(
    store: SwiftStore, many: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 MB of metadata are not fetched whole: each part of the way to a file is half a MiB of it.

    A file takes its directory's inode, the listing, and its own inode, besides the root's two.
    """
    with counted_reader(store, many, tmp_path, monkeypatch) as cold:
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
    with counted_reader(store, many, tmp_path, monkeypatch) as cold:
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
    with counted_reader(store, gigabyte, tmp_path, monkeypatch) as cold:
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
    with counted_reader(store, incompressible, tmp_path, monkeypatch) as cold:
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
