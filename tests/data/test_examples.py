"""The programs in examples/, on archives in a real store, with two workers each."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.dataset import ArchiveDataset
from tests.support.images.fixtures import make_image
from tests.support.laws.import_graph import ROOT

if TYPE_CHECKING:
    from tests.support.proxy.counting_proxy import CountingProxy
    from tests.support.servers.swift_store import SwiftStore

PARTITIONS = 3
TEXTS = {
    f"{number:04}": " ".join(
        [
            *(f"word{number % each}" for each in range(2, 8)),
            *(f"own{number}" for _ in range(6)),
            noise(8192, str(number)).hex(),
        ]
    ).encode()
    for number in range(3000)
}
"""Texts with words that all have, words of their own, and noise."""


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height)


def jpeg(width: int, height: int) -> bytes:
    application = b"\xff\xe0" + struct.pack(">H", 16) + bytes(14)
    table = b"\xff\xc4" + struct.pack(">H", 5) + bytes(3)
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + application + table + frame


FORMATS = (png, gif, jpeg)
SHAPES = [(FORMATS[n % 3], 16 + n % 2, 9 + n % 7 // 6) for n in range(3000)]
IMAGES = {
    f"{number:04}": form(width, height) + noise(9_000 + number * 37 % 15_000, str(number))
    for number, (form, width, height) in enumerate(SHAPES)
}
IMAGES["broken.jpg"] = b"\xff\xd8\xff\xe0\x00"
IMAGES["empty.png"] = b""


class Stored:
    """An archive in a store, and what programs that read it fetch."""

    def __init__(self, store: SwiftStore, archives: str, name: str, image: Path) -> None:
        self.url = f"s3://{archives}/{name}"
        self.environ = store.environ()
        self.size = image.stat().st_size
        with s3archivefs.open(image) as fs:
            self.data_end = fs.superblock.inode_table_start
        with ArchiveDataset(image) as dataset:
            assert len(dataset.partitions()) == PARTITIONS
        with image.open("rb") as body:
            store.client().put_object(Bucket=archives, Key=name, Body=body)

    def run(self, proxy: CountingProxy, program: str, *arguments: str, **environ: str) -> list[str]:
        """The lines that a program prints; what it fetches is counted from now on."""
        proxy.reset()
        done = subprocess.run(
            [sys.executable, f"examples/{program}.py", self.url, *arguments],
            cwd=ROOT,
            env=os.environ | self.environ | {"AWS_ENDPOINT_URL_S3": proxy.url} | environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def fetched(self, proxy: CountingProxy) -> list[tuple[int, int]]:
        """The ranges of contents that were fetched; to open the archive is another matter."""
        ranges = []
        for request in proxy.requests:
            start, _, end = (request.range or "").removeprefix("bytes=").partition("-")
            if start and int(end) > 96 and int(start) < self.data_end:
                ranges.append((int(start), min(int(end) + 1, self.data_end)))
        return sorted(ranges)


def store_image(
    contents: dict[str, bytes], path: Path, store: SwiftStore, archives: str, name: str
) -> Stored:
    tree = tuple(file(name, data) for name, data in contents.items())
    image = make_image(path, tree, "-b", "131072", "-noD", "-noF")
    return Stored(store, archives, name, image)


@pytest.fixture(scope="module")
def texts(store: SwiftStore, archives: str, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return store_image(TEXTS, tmp_path_factory.mktemp("texts"), store, archives, "texts.sqfs")


@pytest.fixture(scope="module")
def images(store: SwiftStore, archives: str, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return store_image(IMAGES, tmp_path_factory.mktemp("images"), store, archives, "images.sqfs")


ALONE = {"S3ARCHIVEFS_CACHE_MAX_BYTES": "0"}
"""Settings of workers that share nothing, not even a cache on this machine."""


def check_counts(lines: list[str], expected: Counter[str]) -> None:
    """Check that lines of number and key tell the ten that are most frequent."""
    counted = {key: int(number) for number, _, key in (line.partition(" ") for line in lines)}
    assert sorted(counted.values()) == sorted(number for _, number in expected.most_common(10))
    assert all(expected[key] == number for key, number in counted.items())


def check_fetched_once(archive: Stored, proxy: CountingProxy) -> None:
    """Check that each byte of contents was fetched once, and nothing else but to open it once."""
    starts, ends = zip(*archive.fetched(proxy), strict=True)
    assert (*starts, archive.data_end) == (96, *ends)
    others = len(proxy.requests) - len(starts)
    assert others <= 2  # both ends of the archive, by who divides it


def words() -> Counter[str]:
    return Counter(word for data in TEXTS.values() for word in data.decode().split())


def test_dask_counts_words_and_fetches_each_byte_once(texts: Stored, proxy: CountingProxy) -> None:
    lines = texts.run(proxy, "dask_wordcount", **ALONE, DASK_NUM_WORKERS="2")
    check_counts(lines, words())
    check_fetched_once(texts, proxy)


def test_a_cache_that_workers_share_is_all_that_others_need(
    texts: Stored, proxy: CountingProxy
) -> None:
    first = texts.run(proxy, "dask_wordcount", DASK_NUM_WORKERS="2")
    check_fetched_once(texts, proxy)
    assert texts.run(proxy, "dask_wordcount", DASK_NUM_WORKERS="2") == first
    assert not texts.fetched(proxy)


@pytest.mark.timeout(900)  # its servers start and end with it
def test_ray_counts_images_and_fetches_each_byte_once(
    images: Stored, proxy: CountingProxy, tmp_path: Path
) -> None:
    own = {"HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    lines = images.run(proxy, "ray_images", "2", **ALONE, **own)
    kinds = [f"{form.__name__} {width}x{height}" for form, width, height in SHAPES]
    check_counts(lines, Counter([*kinds, "unknown 0x0", "unknown 0x0"]))
    check_fetched_once(images, proxy)


@pytest.mark.timeout(900)  # its servers start and end with it
def test_spark_counts_words_and_fetches_each_byte_once(
    texts: Stored, proxy: CountingProxy, tmp_path: Path
) -> None:
    own = {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell",
        "SPARK_LOCAL_DIRS": str(tmp_path),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    lines = texts.run(proxy, "spark_texts", **ALONE, **own)
    check_counts(lines, words())
    check_fetched_once(texts, proxy)


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_each_prefix_becomes_an_archive_once(
    engine: str, store: SwiftStore, archives: str, tmp_path: Path
) -> None:
    client = store.client()
    contents = {f"{number % 3}/in/{number}": b"%d" % number for number in range(60)}
    for name, content in contents.items():
        client.put_object(Bucket=archives, Key=f"raw-{engine}/{name}", Body=content)
    program = str(ROOT / "examples/pack_prefixes.py")
    target = f"s3://{archives}/packed-{engine}/"
    command = [sys.executable, program, engine, f"s3://{archives}/raw-{engine}/", target, "2"]
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = os.environ | store.environ() | {"PATH": binaries}

    def run() -> dict[str, object]:
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "3 archives" in done.stdout
        listed = client.list_objects_v2(Bucket=archives, Prefix=f"packed-{engine}/")
        return {each["Key"]: each["LastModified"] for each in listed["Contents"]}

    stored = run()
    assert len(stored) == 6
    assert (tmp_path / "mappings.txt").read_text(encoding="utf-8") == "".join(
        f"raw-{engine}/{number}|{target}{number}.sqfs\n" for number in range(3)
    )
    read: dict[str, bytes] = {}
    for number in range(3):
        image = tmp_path / f"{number}.sqfs"
        client.download_file(archives, f"packed-{engine}/{number}.sqfs", str(image))
        with s3archivefs.open(image) as fs:
            read |= {f"{number}{path}": file.read() for path, _, file in fs.walk_files()}
    assert read == contents
    # One that was ended before its list was written is packed again, and no other.
    client.delete_object(Bucket=archives, Key=f"packed-{engine}/1.jsonl")
    again = run()
    unchanged = {key for key in stored if again[key] == stored[key]}
    assert unchanged >= {key for key in stored if "/1." not in key}
    assert again.keys() == stored.keys()
