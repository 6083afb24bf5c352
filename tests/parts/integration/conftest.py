"""The real parts of these tests: an S3 server, a packed tree in it, both ways to read that."""

from __future__ import annotations

from base64 import b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.images.trees import pack, standard_library_tree
from tests.support.processes.made_once import made_once
from tests.support.servers.served import served
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.swift_store import SwiftStore

STORE_BUCKET = own("archives")
"""Where the archives are kept."""
BUCKET = "archive"
"""What clients address."""
LARGE_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Transport:
    """A way to read archives as S3 objects: a client, and the log of the server behind it."""

    name: str
    client: S3Client
    url: str
    log: Path | RuntimeApi

    def log_lines(self) -> list[str]:
        """What the server has logged so far."""
        text = self.log.log if isinstance(self.log, RuntimeApi) else self.log.read_text()
        return text.splitlines()


@pytest.fixture(scope="session")
def store(store: SwiftStore) -> SwiftStore:
    """A real S3 server with the bucket of archives."""
    store.client().create_bucket(Bucket=STORE_BUCKET)
    return store


@pytest.fixture(scope="session")
def tree(run_directory: Path) -> Path:
    """A copy of the running Python's standard library, and names that need care in URLs."""
    return made_once(run_directory / "library", _make_tree)


def _make_tree(path: Path) -> None:
    # Without Python's own tests: a thousand files, as many as the largest page of a listing.
    tree = standard_library_tree(path, leave_out=["test"])
    awkward = tree / "awkward names"
    awkward.mkdir()
    for name in ("a b", "a+b", "a%2Fb", "ü?#&=;", "~!*'()", "a-b", "a.b", ".hidden", "-"):
        (awkward / name).write_text(name)
    (awkward / "a").mkdir()
    (awkward / "a" / "in a").write_text("sorts after a-b and a.b")
    (awkward / "empty file").touch()
    (awkward / "empty directory").mkdir()
    (awkward / "link").symlink_to("a b")
    (awkward / "dangling").symlink_to("nowhere")


@pytest.fixture(scope="session")
def image(tree: Path) -> Path:
    """The tree as mksquashfs packs it."""
    fast = ["-Xcompression-level", "1"]
    path = tree.with_name("library.sqfs")
    return made_once(path, lambda image: pack(tree, image, extra=fast))


@pytest.fixture(scope="session")
def archive(store: SwiftStore, image: Path) -> str:
    """The URL of the tree's image in S3, its superblock in its metadata."""
    return upload(store, image, "library.sqfs", superblock=True)


@pytest.fixture(scope="session")
def archive_without_metadata(store: SwiftStore, image: Path) -> str:
    """The URL of the same image as any tool uploads it."""
    return upload(store, image, "plain.sqfs", superblock=False)


@pytest.fixture(scope="session")
def large_file() -> bytes:
    """Content that does not compress."""
    return Random(LARGE_FILE_BYTES).randbytes(LARGE_FILE_BYTES)


@pytest.fixture(scope="session")
def archive_of_large_file(store: SwiftStore, run_directory: Path, large_file: bytes) -> str:
    """The URL of an image that holds one large file, `large.bin`."""

    def make(image: Path) -> None:
        content = image.with_name("large")
        content.mkdir()
        (content / "large.bin").write_bytes(large_file)
        pack(content, image, extra=["-noD"])  # it would not compress

    image = made_once(run_directory / "large.sqfs", make)
    return upload(store, image, "large.sqfs", superblock=True)


@pytest.fixture(scope="session", params=["object-lambda", "endpoint"])
def transport(
    request: pytest.FixtureRequest,
    store: SwiftStore,
    archive: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Transport]:
    """Both transports, over the packed tree at the virtual prefix `library`."""
    with open_transport(
        request.param, store, tmp_path_factory.mktemp(request.param), {"library": archive}
    ) as transport:
        yield transport


@contextmanager
def open_transport(
    name: str,
    store: SwiftStore,
    directory: Path,
    mappings: dict[str, str],
    *,
    store_url: str | None = None,
    settings: dict[str, str] | None = None,
    port: int = 0,
) -> Iterator[Transport]:
    """Serve archives by one of the transports; `settings` go before all that is set here. `port` is
    where the function finds the store: at its access point.
    """
    settings = {
        "S3ARCHIVEFS_CACHE_DIR": str(directory / "cache"),
        **{
            f"S3ARCHIVEFS_PREFIX_VMAP{number}": f"{prefix}|{url}"
            for number, (prefix, url) in enumerate(mappings.items(), 1)
        },
        **(settings or {}),
    }
    (directory / "cache").mkdir(exist_ok=True)
    store_url = store_url or store.url
    with ExitStack() as stack:
        if name == "endpoint":
            environ = store.environ(endpoint_url=store_url) | settings
            log = directory / "endpoint.log"
            url = stack.enter_context(served(environ=environ, log=log))
            yield Transport(name, store.client(endpoint_url=url), url, log)
        else:
            access_point = stack.enter_context(AccessPoint(store_url, bucket=BUCKET, port=port))
            environ = store.environ(endpoint_url=access_point.url) | settings
            function = stack.enter_context(RuntimeApi(environ))
            access_point.function = function
            client = store.client(endpoint_url=access_point.url)
            yield Transport(name, client, access_point.url, function)


def upload(store: SwiftStore, image: Path, key: str, *, superblock: bool) -> str:
    """Store an image; its URL."""
    content = image.read_bytes()
    metadata = {"s3archivefs-superblock": b64encode(content[:96]).decode()} if superblock else {}
    store.client().put_object(Bucket=STORE_BUCKET, Key=key, Body=content, Metadata=metadata)
    return f"s3://{STORE_BUCKET}/{key}"
