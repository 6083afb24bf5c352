"""Opening an archive in S3: what is asked for, and what is remembered for the next time."""

from __future__ import annotations

import hashlib
import shutil
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import Superblock
from s3archivefs_lambda.archives.s3 import S3Opener
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.preloaded import Preloaded
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.store.errors import ArchiveReplacedError
from s3archivefs_lambda.store.version import S3Version
from tests.support.adapter.local_archives import config_for
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import SECRETS, ScriptedStore, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.archives.archive import Archive

AT_S3 = Location("s3", "bucket", "a.sqfs")
CHUNK = 4096
MIB = 1 << 20
FILES = 3000
TAIL = 1024


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One whose metadata is long: names that do not compress."""
    names = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(FILES))
    tree = (*(file(name, b"") for name in sorted(names)), file("z", noise(50_000)))
    return make_image(tmp_path_factory.mktemp("long"), tree).read_bytes()


@pytest.fixture
def store(image: bytes) -> Iterator[ScriptedStore]:
    with ScriptedStore(image) as running:
        yield running


def opener(store: ScriptedStore, cache: Path, **changes: Any) -> S3Opener:  # noqa: ANN401 -- Config's
    settings: dict[str, Any] = {"cache_dir": cache, "cache_chunk_size": CHUNK, "tail_bytes": TAIL}
    settings |= changes
    return S3Opener(replace(config_for({}), **settings), store.client)


def metadata_start(image: bytes) -> int:
    return Superblock.decode(image).inode_table_start


def open_in(opening: S3Opener) -> Archive:
    """Open the archive as a process does that has not opened it before."""
    return opening.open(AT_S3, opening.recall(AT_S3), refetch=False)


def read_all_names(archive: Archive) -> None:
    assert len(archive.image.listdir("/")) == FILES + 1


def test_metadata_longer_than_the_tail_is_fetched_whole_and_once(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    opened = open_in(opener(store, tmp_path))
    first, last = metadata_start(image) // CHUNK * CHUNK, len(image) // CHUNK * CHUNK
    ranges = Counter(store.ranges)
    assert ranges.pop(f"bytes=-{TAIL}") == ranges.pop("bytes=0-95") == 1
    (rest,) = ranges.elements()
    assert rest is not None
    assert rest.startswith(f"bytes={first}-")
    assert int(rest.rpartition("-")[2]) >= last - CHUNK
    store.requests.clear()
    read_all_names(opened)
    assert store.requests == []
    assert opened.held_bytes == len(image) - metadata_start(image)


def test_long_metadata_is_fetched_in_parallel_parts(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    longer = bytearray(image) + bytes(20 * MIB)
    start = metadata_start(image)
    store.content = bytes(longer)
    opened = opener(store, tmp_path, metadata_bytes=32 * MIB).open_device(AT_S3, None)
    assert opened.held_bytes == len(longer) - start
    parts = [each for each in store.ranges if each not in {f"bytes=-{TAIL}", "bytes=0-95"}]
    spans = sorted(tuple(map(int, str(each).removeprefix("bytes=").split("-"))) for each in parts)
    assert len(spans) > 3
    assert all(stop - start < 6 * MIB for start, stop in spans)
    assert [stop + 1 for _, stop in spans[:-1]] == [start for start, _ in spans[1:]]


def test_an_archive_that_is_unchanged_takes_one_request_the_next_time(
    store: ScriptedStore, tmp_path: Path
) -> None:
    """And none for what the cache has of it, its metadata to the last byte."""
    first = opener(store, tmp_path, tail_bytes=TAIL + 1)
    read_all_names(open_in(first))
    first.wait_idle()
    store.requests.clear()
    again = open_in(opener(store, tmp_path))
    (request,) = store.requests
    assert request.headers["if-none-match"] == store.etag
    read_all_names(again)
    assert len(store.requests) == 1
    assert again.held_bytes < CHUNK


def test_what_came_with_the_tail_of_a_chunk_alone_is_not_fetched_again(
    store: ScriptedStore, tmp_path: Path
) -> None:
    """Chunks are larger than the tail here, so that it brings none of them whole."""
    first = opener(store, tmp_path, cache_chunk_size=1 << 20, tail_bytes=150_000)
    read_all_names(open_in(first))
    first.wait_idle()
    store.requests.clear()
    read_all_names(open_in(opener(store, tmp_path, cache_chunk_size=1 << 20)))
    assert len(store.requests) == 1


def test_where_the_cache_has_lost_the_metadata_the_tail_is_asked_for_at_once(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.metadata["s3archivefs-superblock"] = b64encode(store.content[:96]).decode()
    first = opener(store, tmp_path)
    version = open_in(first).version
    first.wait_idle()
    assert isinstance(version, S3Version)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    again = opener(store, tmp_path)
    again.remember(AT_S3, version)
    store.requests.clear()
    read_all_names(open_in(again))
    assert len(store.requests) == 1
    assert "if-none-match" not in store.requests[0].headers


def test_a_store_that_ignores_conditions_is_asked_once_too(
    store: ScriptedStore, tmp_path: Path
) -> None:
    first = opener(store, tmp_path)
    open_in(first)
    first.wait_idle()

    def ignorant(request: Any, _: Any) -> Any:  # noqa: ANN401 -- a Change
        headers = {k: v for k, v in request.headers.items() if k != "if-none-match"}
        return store.honest(replace(request, headers=headers))

    store.script(ignorant, times=99)
    store.requests.clear()
    read_all_names(open_in(opener(store, tmp_path)))
    assert len(store.requests) == 1


@pytest.mark.parametrize("status", [400, 416, 501])
def test_a_store_that_refuses_suffixes_is_asked_once_more(
    store: ScriptedStore, tmp_path: Path, status: int
) -> None:
    store.script(lambda *_: error_reply(status, "No"), match="bytes=-", times=99)
    first = opener(store, tmp_path)
    open_in(first)
    first.wait_idle()
    store.requests.clear()
    read_all_names(open_in(opener(store, tmp_path)))
    assert [request.method for request in store.requests] == ["GET", "HEAD"]


def test_where_nothing_can_be_kept_on_disk_opening_costs_what_it_did_before(
    store: ScriptedStore, tmp_path: Path
) -> None:
    opening = opener(store, tmp_path, cache_max_bytes=0)
    open_in(opening)
    store.requests.clear()
    read_all_names(open_in(opening))
    assert f"bytes=-{TAIL}" in store.ranges


def test_another_version_is_asked_for_with_the_tail_that_the_last_one_needed(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    first = opener(store, tmp_path)
    open_in(first)
    first.wait_idle()
    store.etag = '"another version"'
    store.requests.clear()
    read_all_names(open_in(opener(store, tmp_path)))
    (tail,) = store.ranges  # the whole object, so the first bytes are not asked for
    assert tail is not None
    asked = int(tail.removeprefix("bytes=-"))
    needed = len(image) - metadata_start(image)
    assert needed <= asked < needed + (64 << 10)


def test_what_an_archive_needed_outlives_the_process_and_its_version(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.metadata["s3archivefs-superblock"] = b64encode(store.content[:96]).decode()
    first = opener(store, tmp_path)
    open_in(first)
    first.wait_idle()
    store.etag = '"another version"'
    store.requests.clear()
    read_all_names(open_in(opener(store, tmp_path)))
    assert len(store.requests) == 1  # not the first bytes either: the metadata has them


def test_metadata_shorter_than_the_tail_lets_the_next_tail_be_shorter(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.content = make_image(tmp_path, (file("a", noise(200_000)),)).read_bytes()
    for version in range(2):
        store.etag = f'"{version}"'
        open_in(opener(store, tmp_path / "cache", tail_bytes=150_000))
    tails = [each for each in store.ranges if each != "bytes=0-95"]
    assert tails == ["bytes=-150000", "bytes=-65536"]


def test_metadata_that_has_grown_is_fetched_whole_and_remembered_anew(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    store.content = make_image(tmp_path, (file("a", noise(200_000)),)).read_bytes()
    open_in(opener(store, tmp_path / "cache"))
    store.content, store.etag = image, '"long"'
    grown = opener(store, tmp_path / "cache")
    read_all_names(open_in(grown))
    grown.wait_idle()
    store.etag = '"as long"'
    store.requests.clear()
    read_all_names(open_in(opener(store, tmp_path / "cache")))
    assert len(store.requests) == 1  # the tail, which is the whole object


def test_metadata_beyond_the_bound_is_fetched_as_it_is_needed(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    opened = opener(store, tmp_path, metadata_bytes=50_000).open_device(AT_S3, None)
    assert sorted(map(str, store.ranges)) == [f"bytes=-{TAIL}", "bytes=0-95"]
    assert opened.held_bytes == TAIL
    read_all_names(open_in(opener(store, tmp_path, metadata_bytes=50_000)))
    for version in range(2):  # and is not taken for a need
        store.etag = f'"{version}"'
        store.requests.clear()
        again = opener(store, tmp_path, metadata_bytes=50_000)
        again.open_device(AT_S3, again.recall(AT_S3))
        assert sorted(map(str, store.ranges)) == [f"bytes=-{TAIL}", "bytes=0-95"]


def test_metadata_that_the_cache_has_is_not_fetched_with_the_first_bytes_again(
    store: ScriptedStore, tmp_path: Path
) -> None:
    first = opener(store, tmp_path)
    version = open_in(first).version
    first.wait_idle()
    assert isinstance(version, S3Version)
    store.requests.clear()
    read_all_names(opener(store, tmp_path).reopen(AT_S3, version))
    assert store.requests == []


def test_a_wrong_partial_head_in_the_cache_is_dropped(store: ScriptedStore, tmp_path: Path) -> None:
    first = opener(store, tmp_path, cache_chunk_size=1 << 20, tail_bytes=150_000)
    version = open_in(first).version
    first.wait_idle()
    assert isinstance(version, S3Version)
    device = first.open_device(AT_S3, version).device
    assert isinstance(device, CachedDevice)
    start, wrong = version.tail_start, bytes(150_000)
    heads = Preloaded(
        ChunkStore(tmp_path, 1 << 30), device.cached.store_id, device.size, device.chunk_size
    )
    heads.hold(start, wrong)
    heads.drop(0, device.size)  # the right one
    heads.hold(start, wrong)
    heads.store_partial_head(start, wrong)
    read_all_names(open_in(opener(store, tmp_path, cache_chunk_size=1 << 20)))
    assert heads.recall_partial_head(start) == 0


RECORDS = [
    b"",
    b"null",
    b"[" * 100_000,
    b'["e", null, 1, "", true]',
    b'[1, null, 200, "", true, 0]',
    b'["e", "\\n", 200, "' + b64encode(bytes(96)) + b'", true, 0]',
    b'["e", null, -200, "' + b64encode(bytes(96)) + b'", true, 0]',
    b'["", null, 200, "' + b64encode(bytes(96)) + b'", true, 0]',
    b'["e", null, 200, "' + b64encode(bytes(96)) + b'", true, 201]',
    b'["e", null, 200, "' + b64encode(bytes(95)) + b'", true, 0]',
    b"\xff" * 9,
]


@pytest.mark.parametrize("written", RECORDS)
def test_a_memory_that_is_damaged_does_no_harm(
    store: ScriptedStore, tmp_path: Path, written: bytes
) -> None:
    opening = opener(store, tmp_path)
    opening.remember(AT_S3, cast("Any", SimpleNamespace(encode=lambda: written)))
    assert opening.recall(AT_S3) is None
    read_all_names(open_in(opening))


def test_wrong_bytes_in_the_cache_cost_an_opening_and_no_fault(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    """A record of the version that is there, and chunks that are those of another."""
    first = opener(store, tmp_path)
    version = open_in(first).version
    first.wait_idle()
    assert isinstance(version, S3Version)
    device = first.open_device(AT_S3, version).device
    assert isinstance(device, CachedDevice)
    cache = ChunkStore(tmp_path, 1 << 30)
    for index in range(len(image) // CHUNK):
        cache.put(device.cached.store_id, index, bytes(CHUNK), replace=True)
    read_all_names(open_in(opener(store, tmp_path)))


def test_a_superblock_that_points_anywhere_is_left_to_the_reader(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    damaged = bytearray(image)
    for start in (0, 1 << 62, len(image) + 5):
        damaged[64:72] = start.to_bytes(8, "little")
        store.content, store.etag = bytes(damaged), f'"{start}"'
        for _ in range(2):
            with pytest.raises(s3archivefs.CorruptImageError):
                open_in(opener(store, tmp_path))


# ---- Versions ------------------------------------------------------------------------------------


def test_an_archive_with_versions_is_pinned_to_one(store: ScriptedStore, tmp_path: Path) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v.1"), times=99)
    opened = open_in(opener(store, tmp_path))
    store.requests.clear()
    opened.image.read_bytes("/z")
    assert store.requests
    assert all("versionId=v.1" in request.path for request in store.requests)
    assert all("if-match" in request.headers for request in store.requests)


def test_objects_from_before_versions_are_pinned_by_their_etag_alone(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="null"), times=99)
    opened = open_in(opener(store, tmp_path))
    opened.image.read_bytes("/z")
    assert not [request.path for request in store.requests if "versionId" in request.path]


def test_where_versions_may_not_be_read_the_etag_pins_alone(
    store: ScriptedStore, tmp_path: Path
) -> None:
    def with_version(request: Any, reply: Any) -> Any:  # noqa: ANN401 -- a Change
        if "versionId" in request.path:
            return error_reply(403, "AccessDenied")
        return reply.with_headers(x_amz_version_id="v1")

    store.script(with_version, times=99)
    fs = open_in(opener(store, tmp_path)).image
    assert fs.read_bytes("/z") == noise(50_000)
    refused = [request for request in store.requests if "versionId" in request.path]
    assert len(refused) == 1  # and not asked again


def test_a_version_that_is_deleted_was_replaced(store: ScriptedStore, tmp_path: Path) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v1"), times=99)
    fs = open_in(opener(store, tmp_path)).image
    store.script(lambda *_: error_reply(404, "NoSuchVersion"), times=99)
    with pytest.raises(ArchiveReplacedError, match="no longer there"):
        fs.read_bytes("/z")


def test_the_same_bytes_stored_once_more_are_another_version(
    store: ScriptedStore, tmp_path: Path
) -> None:
    """The one that was known may have been deleted."""
    version = "v1"
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id=version), times=99)
    open_in(opener(store, tmp_path))
    version = "v2"
    again = open_in(opener(store, tmp_path)).version
    assert isinstance(again, S3Version)
    assert again.version_id == "v2"


def test_what_opening_a_url_took_is_remembered_too(
    store: ScriptedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {
        "AWS_ENDPOINT_URL_S3": store.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": SECRETS[0],
        "AWS_SECRET_ACCESS_KEY": SECRETS[1],
        "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
        "S3ARCHIVEFS_CACHE_MEMORY_BYTES": "0",  # so that nothing is still on its way to the disk
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for requests in (2, 1):
        store.requests.clear()
        with s3archivefs.open("s3://bucket/a.sqfs") as fs:
            assert len(fs.listdir("/")) == FILES + 1
        assert len(store.requests) == requests


@pytest.mark.parametrize("is_there", [False, True])
def test_an_object_without_its_superblock_is_remarked_on(
    store: ScriptedStore, image: bytes, tmp_path: Path, *, is_there: bool
) -> None:
    if is_there:
        store.metadata = {"s3archivefs-superblock": b64encode(image[:96]).decode()}
    opening = opener(store, tmp_path)
    for before in (None, opening.recall(AT_S3)):
        device = opening.open_device(AT_S3, before).device
        assert isinstance(device, CachedDevice)
        assert device.is_current()
        assert [each.partition(",")[0] for each in device.remarks()] == (
            [] if is_there else ["the object lacks the user metadata s3archivefs-superblock"]
        )
