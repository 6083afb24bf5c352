"""Versions of archives in S3 that other processes open without a request, for partitions."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.dataset import ArchiveDataset
from s3archivefs_lambda.archives.pinned import current_settings, open_current, opener_for
from s3archivefs_lambda.archives.url import location_of
from s3archivefs_lambda.store.access import StoreAccess
from s3archivefs_lambda.store.errors import ArchiveReplacedError
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

URL = "s3://bucket/a.sqfs"
BLOCK = 64 << 10
CONTENTS = {f"/{number:03}": noise(number * 997 % 60_000, str(number)) for number in range(60)}


@pytest.fixture(scope="module", params=["-no-exports", "-no-fragments"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An image with all contents in fragment blocks, and one with a block for each."""
    tree = tuple(file(path[1:], data) for path, data in CONTENTS.items())
    path = make_image(tmp_path_factory.mktemp("pinned"), tree, "-b", str(BLOCK), request.param)
    return path.read_bytes()


@pytest.fixture
def store(image: bytes) -> Iterator[ScriptedStore]:
    with ScriptedStore(image) as running:
        yield running


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_MAX_BYTES", "0")


def options(store: ScriptedStore) -> dict[str, Any]:
    return {"endpoint_url": store.url, "key": "AKIAGIVEN", "secret": "given-secret"}


def fetched(store: ScriptedStore) -> list[tuple[int, int]]:
    """The ranges [start, stop) that were requested."""
    ranges = [(each or "").removeprefix("bytes=").partition("-") for each in store.ranges]
    return [(int(first), int(last) + 1) for first, _, last in ranges]


def test_a_pinned_version_is_opened_without_a_request(store: ScriptedStore, image: bytes) -> None:
    access = StoreAccess(endpoint_url=store.url, is_anonymous=True)
    device = open_current(opener_for(current_settings(), access), location_of(URL), access).device
    start = s3archivefs.open(device).superblock.inode_table_start
    opener = pickle.loads(pickle.dumps(device.pinned([(start, start + 9)])))  # type: ignore[attr-defined]  # noqa: S301 -- our own
    store.requests.clear()
    other = opener()
    assert other.size == len(image)
    assert other.pread(0, 96) == image[:96]
    assert other.pread(start, 9) == image[start : start + 9]
    assert not store.requests
    assert other.pread(96, BLOCK) == image[96 : 96 + BLOCK]
    again = pickle.loads(pickle.dumps(other.pinned([])))  # noqa: S301 -- likewise
    assert again().pread(96, BLOCK) == image[96 : 96 + BLOCK]


def test_workers_fetch_each_byte_of_contents_once_and_no_metadata(store: ScriptedStore) -> None:
    with ArchiveDataset(URL, storage_options=options(store)) as dataset:
        end = dataset.image.superblock.inode_table_start
        pickles = [pickle.dumps(part) for part in dataset.partitions(200_000)]
    assert len(pickles) > 6
    store.requests.clear()
    ranges: list[tuple[int, int]] = []
    items: dict[str, bytes] = {}
    for pickled in pickles:
        part: ArchiveDataset[bytes] = pickle.loads(pickled)  # noqa: S301 -- our own
        items |= {part.path(index): item for index, item in enumerate(part)}
        ranges += fetched(store)
        store.requests.clear()
    assert items == CONTENTS
    # Each begins where another ends: the blocks from behind the superblock up to the metadata.
    starts, stops = map(sorted, zip(*ranges, strict=True))
    assert [*starts, end] == [96, *stops]


def test_a_partition_of_a_replaced_archive_raises(store: ScriptedStore) -> None:
    with ArchiveDataset(URL, storage_options={"s3": options(store)}) as dataset:
        [part] = pickle.loads(pickle.dumps(dataset.partitions()))  # noqa: S301 -- our own
    store.etag = '"v2"'
    with pytest.raises(ArchiveReplacedError):
        part[-1]


def test_a_dataset_of_another_process_has_the_options_too(store: ScriptedStore) -> None:
    with ArchiveDataset(URL, "00*", storage_options=options(store)) as dataset:
        other = pickle.loads(pickle.dumps(dataset))  # noqa: S301 -- our own
        assert other[1] == CONTENTS["/001"]
