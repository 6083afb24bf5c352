"""The programs in examples/, on archives in a real store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from fixtures.shapes import noise
from fixtures.tree import file
from tests.data.conftest import BUCKET
from tests.support.images.fixtures import make_image
from tests.support.laws.import_graph import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.proxy.counting_proxy import CountingProxy
    from tests.support.servers.swift_store import SwiftStore


def content(number: int) -> bytes:
    """A text of 12 words, six of them its own, and noise."""
    words = [*(f"word{number % each}" for each in range(2, 8)), *(f"own{number}" for _ in range(6))]
    return " ".join([*words, noise(8192, str(number)).hex()]).encode()


def test_dask_counts_words_and_fetches_next_to_nothing_twice(
    store: SwiftStore, bucket: str, proxy: CountingProxy, tmp_path: Path
) -> None:
    contents = {f"{number:04}": content(number) for number in range(4000)}
    tree = tuple(file(name, data) for name, data in contents.items())
    image = make_image(tmp_path, tree, "-b", "131072").read_bytes()
    store.client().put_object(Bucket=bucket, Key="texts.sqfs", Body=image)
    program = [sys.executable, "examples/dask_wordcount.py", f"s3://{BUCKET}/texts.sqfs"]
    # Workers share nothing, not even a cache on this machine.
    environ = (
        os.environ | store.environ(endpoint_url=proxy.url) | {"S3ARCHIVEFS_CACHE_MAX_BYTES": "0"}
    )
    done = subprocess.run(
        program, cwd=ROOT, env=environ, check=True, capture_output=True, text=True
    )
    counted = {line.split()[1]: int(line.split()[0]) for line in done.stdout.splitlines()}
    words = Counter(word for data in contents.values() for word in data.decode().split())
    assert sorted(counted.values()) == sorted(number for _, number in words.most_common(10))
    assert all(words[word] == number for word, number in counted.items())
    assert sum(request.bytes_sent for request in proxy.requests) <= 1.2 * len(image)
