"""The real parts of these tests: an S3 server, a packed tree in it, both ways to read that."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.images.trees import pack, standard_library_tree
from tests.support.processes.made_once import made_once
from tests.support.servers.transports import (
    LARGE_FILE_BYTES,
    STORE_BUCKET,
    Transport,
    open_transport,
    upload,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore


_PAGE_KEYS = 1000
"""What one page of a listing holds at most."""


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
    # Python's own tests would only cost time.
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
    # More than a page in any case: Debian has a third of the library in other packages.
    fillers = tree / "fillers"
    fillers.mkdir()
    for number in range(_PAGE_KEYS + 1 - sum(path.is_file() for path in tree.rglob("*"))):
        (fillers / f"{number}").touch()


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
