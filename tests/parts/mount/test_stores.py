"""An archive in a real S3 server, mounted, and replaced meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from fixtures.tree import file
from tests.support.images.fixtures import make_image
from tests.support.mount.mounted import mounted, until
from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.proxy.faults import Stall
from tests.support.proxy.recorded import Request
from tests.support.servers.swift_store import SwiftStore

BUCKET = f"mounted-{os.getpid()}"  # the processes of a run share the server
OLD, NEW = Random("old").randbytes(6 << 20), Random("new").randbytes(6 << 20)


@pytest.fixture(scope="session")
def store(store: SwiftStore) -> SwiftStore:
    """A real S3 server with a bucket for these tests."""
    store.client().create_bucket(Bucket=BUCKET)
    return store


@pytest.fixture
def environ(store: SwiftStore, tmp_path: Path) -> Mapping[str, str]:
    """Settings without a cache: what was read once is asked for again."""
    cache = {"S3ARCHIVEFS_CACHE_MAX_BYTES": "0", "S3ARCHIVEFS_CACHE_MEMORY_BYTES": "0"}
    return {**store.environ(), **cache, "S3ARCHIVEFS_CACHE_DIR": str(tmp_path / "cache")}


def put(store: SwiftStore, directory: Path, version: str) -> str:
    """Upload a version of an archive; its URL."""
    content = {"old": OLD, "new": NEW}[version]
    tree = (file("big.bin", content), file(f"{version}.txt", version.encode()))
    image = make_image(directory, tree, "-noD", "-no-fragments", name=version)
    store.client().put_object(Bucket=BUCKET, Key="a.sqfs", Body=image.read_bytes())
    return f"s3://{BUCKET}/a.sqfs"


def test_a_replaced_archive_goes_stale_cleanly(
    store: SwiftStore, environ: Mapping[str, str], point: Path, tmp_path: Path
) -> None:
    url = put(store, tmp_path, "old")
    with mounted(point, url, environ=environ) as tree:
        with (point / "big.bin").open("rb") as opened:
            assert opened.read(1 << 20) == OLD[: 1 << 20]
            put(store, tmp_path, "new")
            with pytest.raises(OSError, match="Stale file handle") as raised:
                opened.read()
        assert raised.value.errno == errno.ESTALE
        tree.process.terminate()
        code, errors = tree.ended()
    assert code == 0
    lines = errors.splitlines()
    assert len(lines) == len(set(lines))
    assert all(line.startswith(f"s3archivefs: {url}: ") for line in lines)
    assert "mount it again to see the new one" in lines[0]


def test_a_replaced_archive_is_followed(
    store: SwiftStore, environ: Mapping[str, str], point: Path, tmp_path: Path
) -> None:
    url = put(store, tmp_path, "old")
    options = ("-o", "on_change=follow,check_seconds=1")
    with mounted(point, *options, url, environ=environ) as tree:
        assert (point / "big.bin").read_bytes() == OLD
        assert not (point / "new.txt").exists()  # which the kernel keeps in mind
        before = (point / "old.txt").stat()
        put(store, tmp_path, "new")
        until((point / "new.txt").exists)
        assert sorted(each.name for each in point.iterdir()) == ["big.bin", "new.txt"]
        assert (point / "big.bin").read_bytes() == NEW
        assert (point / "new.txt").stat().st_ino == before.st_ino
        tree.process.terminate()
        code, errors = tree.ended()
    assert code == 0
    assert errors == f"s3archivefs: {url}: the archive was replaced, and the new one is shown\n"


def test_several_programs_read_at_once_through_readahead(
    store: SwiftStore, environ: Mapping[str, str], point: Path, tmp_path: Path
) -> None:
    url = put(store, tmp_path, "old")
    ahead = {"S3ARCHIVEFS_CACHE_MEMORY_BYTES": str(64 << 20)}
    with mounted(point, url, environ={**environ, **ahead}):
        descriptors = [os.open(point / "big.bin", os.O_RDONLY) for _ in range(4)]
        found = [b""] * 4
        for _ in range(0, len(OLD), 1 << 20):
            for number, descriptor in enumerate(descriptors):
                found[number] += os.read(descriptor, 1 << 20)
        assert found == [OLD] * 4
        for descriptor in descriptors:
            os.close(descriptor)


def test_a_store_that_stalls_holds_only_who_reads_from_it(
    store: SwiftStore, environ: Mapping[str, str], point: Path, tmp_path: Path
) -> None:
    url = put(store, tmp_path, "old")
    with (
        CountingProxy(store.url) as proxy,
        mounted(point, url, environ={**environ, "AWS_ENDPOINT_URL_S3": proxy.url}) as tree,
    ):
        assert (point / "old.txt").read_bytes() == b"old"
        stalled = threading.Event()

        def is_read(_: Request) -> bool:
            stalled.set()
            return True

        proxy.inject(Stall(), times=1000, match=is_read)
        with subprocess.Popen(["cat", point / "big.bin"], stdout=subprocess.DEVNULL) as reader:
            assert stalled.wait(60)
            assert (point / "old.txt").read_bytes() == b"old"
            assert not (point / "missing").exists()  # which the kernel has to ask for
            reader.terminate()  # which ends its waiting
        assert reader.returncode == -signal.SIGTERM
        tree.process.terminate()
        assert tree.ended()[0] == 0
        proxy.heal()
