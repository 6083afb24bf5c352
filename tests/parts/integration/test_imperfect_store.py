"""A store with faults of its own: rclone's `serve s3`.

It answers ranges with status 200, knows nothing of If-Match, refuses a suffix longer than the
object, returns names of user metadata in a case of its own, and sends the checksum of the whole
object with a range of it. Such a store is read rightly, or refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest
from botocore.exceptions import ClientError

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from tests.support.adapter.local_archives import ask, get, list_keys
from tests.support.adapter.local_archives import content as body_of
from tests.support.images.trees import pack
from tests.support.servers.swift_store import Credentials, SwiftStore
from tests.support.servers.transports import STORE_BUCKET, upload

KEYS = Credentials("imperfect", "store of rclone")
READY = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/\]")


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftStore]:
    """The store, with the bucket of archives."""
    directory = tmp_path_factory.mktemp("rclone")
    program = f"{sysconfig.get_path('scripts')}/rclone"
    command = [program, "serve", "s3", "--addr", "127.0.0.1:0", str(directory)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
    environ |= {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_AUTH_KEY": f'"{KEYS.access_key},{KEYS.secret_key}"',
    }
    with (
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as server,
        ExitStack() as stack,
    ):
        stack.callback(server.terminate)
        assert server.stderr is not None
        said = ""
        while (ready := READY.search(said)) is None:
            line = server.stderr.readline()
            assert line, said
            said += line
        store = SwiftStore(ready[1], KEYS, KEYS, stack)
        store.client().create_bucket(Bucket=STORE_BUCKET)
        yield store


@pytest.fixture
def operations(
    rclone: SwiftStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Operations]]:
    """Operations over one archive at `a`, with further settings."""
    for name, value in rclone.environ().items():
        monkeypatch.setenv(name, value)

    with closing(make_archive_client()) as client:

        def make(url: str, **settings: str) -> Operations:
            environ = {f"S3ARCHIVEFS_{name}": value for name, value in settings.items()}
            environ |= {
                "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
                "S3ARCHIVEFS_PREFIX_VMAP1": f"a|{url}",
            }
            return Operations(Archives(Config.from_environ(environ), lambda: client))

        yield make


def image_of(contents: dict[str, bytes], directory: Path) -> Path:
    """An image that holds these files."""
    directory.mkdir()
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return pack(directory, directory.with_suffix(".sqfs"), extra=["-noD"])


def files(seed: int, size: int) -> dict[str, bytes]:
    """Some whose contents do not compress."""
    random = Random(seed)
    return {f"file{number}": random.randbytes(size) for number in range(3)}


def test_it_has_the_faults_that_it_is_here_for(rclone: SwiftStore) -> None:
    client, key = rclone.client(), "faults"
    metadata = {"two-words": "value"}
    client.put_object(Bucket=STORE_BUCKET, Key=key, Body=bytes(100), Metadata=metadata)
    whole = client.get_object(Bucket=STORE_BUCKET, Key=key)
    whole["Body"].close()
    part = client.get_object(Bucket=STORE_BUCKET, Key=key, Range="bytes=10-19", IfMatch='"another"')
    part["Body"].close()
    assert part["ContentRange"] == "bytes 10-19/100"
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert part["ChecksumCRC32"] == whole["ChecksumCRC32"]
    assert part["Metadata"] == {"Two-Words": "value"}
    with pytest.raises(ClientError, match="InvalidRange"):
        client.get_object(Bucket=STORE_BUCKET, Key=key, Range="bytes=-101")


@pytest.mark.parametrize("size", [1000, 1 << 20], ids=["within the tail", "beyond the tail"])
@pytest.mark.parametrize("metadata", ["with metadata", "without metadata"])
def test_its_archives_are_listed_and_read_rightly(
    rclone: SwiftStore,
    operations: Callable[..., Operations],
    tmp_path: Path,
    size: int,
    metadata: str,
) -> None:
    contents = files(1, size)
    image = image_of(contents, tmp_path / "tree")
    url = upload(rclone, image, "read.sqfs", superblock=metadata == "with metadata")
    opened = operations(url, SUPERBLOCK_METADATA="expected")
    assert list_keys(opened) == [f"a/{name}" for name in contents]
    for name, content in contents.items():
        assert get(opened, f"a/{name}") == content
        request = S3Request(key=f"a/{name}", headers={"range": "bytes=500-899"})
        assert body_of(ask(opened, "GetObject", request)) == content[500:900]


def test_an_archive_replaced_in_it_is_not_mixed_with_the_old_one(
    rclone: SwiftStore, operations: Callable[..., Operations], tmp_path: Path
) -> None:
    old, new = files(1, 6 << 20), files(2, 6 << 20)
    images = [image_of(old, tmp_path / "old"), image_of(new, tmp_path / "new")]
    assert images[0].stat().st_size == images[1].stat().st_size
    url = upload(rclone, images[0], "replaced.sqfs", superblock=True)
    opened = operations(url, CACHE_MAX_BYTES="0", CACHE_MEMORY_BYTES="0")
    response = ask(opened, "GetObject", S3Request(key="a/file0"))
    with closing(response):
        body = iter(response.body)
        assert old["file0"].startswith(next(body))
        upload(rclone, images[1], "replaced.sqfs", superblock=True)
        with pytest.raises(S3Error, match="ServiceUnavailable"):
            next(body)
    for name, content in new.items():
        assert get(opened, f"a/{name}") == content


def test_an_archive_replaced_in_it_is_noticed_before_an_answer_begins(
    rclone: SwiftStore, operations: Callable[..., Operations], tmp_path: Path
) -> None:
    old, new = files(1, 1 << 20), files(2, 1 << 20)
    url = upload(rclone, image_of(old, tmp_path / "old"), "replaced.sqfs", superblock=True)
    opened = operations(url, CACHE_MAX_BYTES="0", CACHE_MEMORY_BYTES="0")
    assert get(opened, "a/file0") == old["file0"]
    upload(rclone, image_of(new, tmp_path / "new"), "replaced.sqfs", superblock=True)
    for name, content in new.items():
        assert get(opened, f"a/{name}") == content
