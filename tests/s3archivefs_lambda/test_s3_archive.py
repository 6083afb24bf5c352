"""Opening an archive in S3: what is asked for, and what is remembered for the next time."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import Superblock
from s3archivefs_lambda import s3_archive
from s3archivefs_lambda.prefix_map import Location
from s3archivefs_lambda.s3_archive import S3Opener
from s3archivefs_lambda.s3_errors import ArchiveReplacedError
from tests.support.images import make_image
from tests.support.local_archives import config_for
from tests.support.scripted_store import ScriptedStore, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT_S3 = Location("s3", "bucket", "a.sqfs")
CHUNK = 4096
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


def read_all_names(opened: s3_archive.OpenedArchive) -> None:
    assert len(s3archivefs.open(opened.device).listdir("/")) == FILES + 1


def test_metadata_longer_than_the_tail_is_fetched_whole_and_once(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    opened = opener(store, tmp_path).open(AT_S3)
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
    store: ScriptedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3archivefs_lambda.fetch_plan._AHEAD_READ_BYTES", 8 * CHUNK)
    read_all_names(opener(store, tmp_path).open(AT_S3))
    parts = [each for each in store.ranges if each not in {f"bytes=-{TAIL}", "bytes=0-95"}]
    spans = sorted(tuple(map(int, str(each).removeprefix("bytes=").split("-"))) for each in parts)
    assert len(spans) > 3
    assert all(stop - start < 12 * CHUNK for start, stop in spans)
    assert [stop + 1 for _, stop in spans[:-1]] == [start for start, _ in spans[1:]]


@pytest.mark.parametrize("cache_max_bytes", [1 << 20, 0])
def test_the_same_opener_needs_one_round_trip_the_next_time(
    store: ScriptedStore, image: bytes, tmp_path: Path, cache_max_bytes: int
) -> None:
    """Where nothing can be remembered on disk it is not, and costs what it did before."""
    opening = opener(store, tmp_path, cache_max_bytes=cache_max_bytes)
    opening.open(AT_S3)
    store.requests.clear()
    read_all_names(opening.open(AT_S3))
    if cache_max_bytes:
        (tail,) = (each for each in store.ranges if each != "bytes=0-95")
        assert tail is not None
        asked = int(tail.removeprefix("bytes=-"))
        needed = len(image) - metadata_start(image)
        assert needed <= asked < needed + (64 << 10)
    else:
        assert f"bytes=-{TAIL}" in store.ranges


def test_what_an_archive_needed_outlives_the_process_and_its_version(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.metadata["s3archivefs-superblock"] = b64encode(store.content[:96]).decode()
    opener(store, tmp_path).open(AT_S3)
    store.etag = '"another version"'
    store.requests.clear()
    read_all_names(opener(store, tmp_path).open(AT_S3))
    assert len(store.requests) == 1  # not the first bytes either: the metadata has them


def test_metadata_shorter_than_the_tail_lets_the_next_tail_be_shorter(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.content = make_image(tmp_path, (file("a", noise(200_000)),)).read_bytes()
    for _ in range(2):
        opener(store, tmp_path / "cache", tail_bytes=150_000).open(AT_S3)
    tails = [each for each in store.ranges if each != "bytes=0-95"]
    assert tails == ["bytes=-150000", "bytes=-65536"]


def test_metadata_that_has_grown_is_fetched_whole_and_remembered_anew(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    store.content = make_image(tmp_path, (file("a", noise(200_000)),)).read_bytes()
    opener(store, tmp_path / "cache").open(AT_S3)
    store.content, store.etag = image, '"long"'
    read_all_names(opener(store, tmp_path / "cache").open(AT_S3))
    store.requests.clear()
    opener(store, tmp_path / "cache").open(AT_S3)
    assert len(store.requests) == 2  # the tail and the first bytes


def test_metadata_beyond_the_bound_is_fetched_as_it_is_needed(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    opened = opener(store, tmp_path, metadata_bytes=50_000).open(AT_S3)
    assert sorted(map(str, store.ranges)) == [f"bytes=-{TAIL}", "bytes=0-95"]
    assert opened.held_bytes == TAIL
    read_all_names(opened)
    for _ in range(2):  # and is not taken for a need
        store.requests.clear()
        opener(store, tmp_path, metadata_bytes=50_000).open(AT_S3)
        assert sorted(map(str, store.ranges)) == [f"bytes=-{TAIL}", "bytes=0-95"]


def test_stored_metadata_is_not_fetched_again(
    store: ScriptedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opener(store, tmp_path)
    first.open(AT_S3)
    assert first._memory._pool is not None
    first._memory._pool.shutdown()  # once all is stored
    monkeypatch.setattr(S3Opener, "_remembered", lambda *_: s3_archive._Need(TAIL, 0))
    store.requests.clear()
    read_all_names(opener(store, tmp_path).open(AT_S3))
    assert sorted(map(str, store.ranges)) == [f"bytes=-{TAIL}", "bytes=0-95"]


@pytest.mark.parametrize("written", [b"", b"x" * 9, b"\0" * 9, b"\xff" * 9])
def test_a_memory_that_is_damaged_does_no_harm(
    store: ScriptedStore, tmp_path: Path, written: bytes
) -> None:
    opening = opener(store, tmp_path)
    name = s3_archive._name_of_need(store.client(), AT_S3)
    opening._store.put(name, 0, written)
    read_all_names(opening.open(AT_S3))
    most = (8 << 20) + (64 << 10)
    tails = [each for each in store.ranges if str(each).startswith("bytes=-")]
    assert all(0 < int(str(each).removeprefix("bytes=-")) <= most for each in tails)


def test_a_superblock_that_points_anywhere_is_left_to_the_reader(
    store: ScriptedStore, image: bytes, tmp_path: Path
) -> None:
    damaged = bytearray(image)
    for start in (0, 1 << 62, len(image) + 5):
        damaged[64:72] = start.to_bytes(8, "little")
        store.content, store.etag = bytes(damaged), f'"{start}"'
        opened = opener(store, tmp_path).open(AT_S3)
        with pytest.raises(s3archivefs.CorruptImageError):
            s3archivefs.open(opened.device)


# ---- Versions ------------------------------------------------------------------------------------


def test_an_archive_with_versions_is_pinned_to_one(store: ScriptedStore, tmp_path: Path) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v.1"), times=99)
    opened = opener(store, tmp_path).open(AT_S3)
    store.requests.clear()
    s3archivefs.open(opened.device).read_bytes("/z")
    assert store.requests
    assert all("versionId=v.1" in request.path for request in store.requests)
    assert all("if-match" in request.headers for request in store.requests)


def test_objects_from_before_versions_are_pinned_by_their_etag_alone(
    store: ScriptedStore, tmp_path: Path
) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="null"), times=99)
    opened = opener(store, tmp_path).open(AT_S3)
    s3archivefs.open(opened.device).read_bytes("/z")
    assert not [request.path for request in store.requests if "versionId" in request.path]


def test_where_versions_may_not_be_read_the_etag_pins_alone(
    store: ScriptedStore, tmp_path: Path
) -> None:
    def with_version(request: Any, reply: Any) -> Any:  # noqa: ANN401 -- a Change
        if "versionId" in request.path:
            return error_reply(403, "AccessDenied")
        return reply.with_headers(x_amz_version_id="v1")

    store.script(with_version, times=99)
    fs = s3archivefs.open(opener(store, tmp_path).open(AT_S3).device)
    assert fs.read_bytes("/z") == noise(50_000)
    refused = [request for request in store.requests if "versionId" in request.path]
    assert len(refused) == 1  # and not asked again


def test_a_version_that_is_deleted_was_replaced(store: ScriptedStore, tmp_path: Path) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v1"), times=99)
    fs = s3archivefs.open(opener(store, tmp_path).open(AT_S3).device)
    store.script(lambda *_: error_reply(404, "NoSuchVersion"), times=99)
    with pytest.raises(ArchiveReplacedError, match="no longer there"):
        fs.read_bytes("/z")
