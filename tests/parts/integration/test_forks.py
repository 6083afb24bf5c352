"""Forks among threads that read from the real store: each child reads right, by connections of its
own.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING

import s3archivefs
from tests.support.images.trees import pack
from tests.support.processes.forked import Child
from tests.support.servers.transports import upload

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.servers.swift_store import SwiftStore

CHILDREN = 4


def test_children_forked_among_reading_threads_read_from_the_store(
    store: SwiftStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(5)
    contents = {f"/{number}": random.randbytes(random.randrange(300_000)) for number in range(12)}
    (tmp_path / "tree").mkdir()
    for name, content in contents.items():
        (tmp_path / "tree" / name[1:]).write_bytes(content)
    image = pack(tmp_path / "tree", tmp_path / "image.sqfs", block_size=4096)
    url = upload(store, image, "forks.sqfs", superblock=True)
    for name, value in store.environ().items():
        monkeypatch.setenv(name, value)
    # So that all go to the store: nothing is kept.
    for name in ("CACHE_MAX_BYTES", "CACHE_MEMORY_BYTES"):
        monkeypatch.setenv(f"S3ARCHIVEFS_{name}", "0")
    stop = threading.Event()
    with s3archivefs.open(url) as fs, ThreadPoolExecutor(3) as pool:

        def read_until_stopped(start: int) -> None:
            names = list(contents)
            for name in cycle(names[start:] + names[:start]):
                assert fs.read_bytes(name) == contents[name]
                if stop.is_set():
                    return

        def reads() -> int:
            return sum(fs.read_bytes(name) == content for name, content in contents.items())

        threads = [pool.submit(read_until_stopped, 4 * number) for number in range(3)]
        try:
            children = [Child(reads) for _ in range(CHILDREN)]
            for child in children:
                assert child.result() == len(contents)
        finally:
            stop.set()
        for thread in threads:
            thread.result()
