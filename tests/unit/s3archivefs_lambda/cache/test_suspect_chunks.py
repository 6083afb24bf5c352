"""Bytes that do not decode are forgotten, and fetched once more."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import s3archivefs
from fixtures.shapes import text
from fixtures.tree import file
from s3archivefs import CorruptImageError, SquashfsError
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.cache.suspect_chunks import SuspectChunks
from s3archivefs_lambda.config.location import Location
from tests.support.adapter.local_archives import config_for
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import Change, Reply, Request, ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AT_S3 = Location("s3", "bucket", "a.sqfs")
CHUNK = 4096
FILES = {f"/{number}": text(9_000 + number) for number in range(40)} | {"/big": text(200_000)}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = tuple(
        file(name[1:], content, xattrs={"user.a": b"v"}) for name, content in FILES.items()
    )
    directory = tmp_path_factory.mktemp("discard")
    return make_image(directory, tree, "-b", "4096", "-comp", "gzip").read_bytes()


class Source:
    """The bytes below the cache: wrong in [wrong_from, wrong_to) so often, or for ever."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.size = len(image)
        self.reads: list[tuple[int, int]] = []
        self.wrong = range(0)
        self.times = 0

    def pread(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        data = bytearray(self.image[offset : offset + length])
        touched = range(max(self.wrong.start, offset), min(self.wrong.stop, offset + length))
        if touched and self.times:
            self.times -= 1
            for at in touched:
                data[at - offset] ^= 0x5A
        return bytes(data)

    def damage(self, start: int, stop: int, times: int) -> None:
        self.wrong, self.times = range(start, stop), times
        self.reads.clear()

    def fetched(self, index: int) -> int:
        """How often a chunk was."""
        at = index * CHUNK
        return sum(offset <= at < offset + length for offset, length in self.reads)


@pytest.fixture
def source(image: bytes) -> Source:
    return Source(image)


LEVELS = ["memory", "disk", "both", "none"]


def cached(
    source: Source,
    directory: Path,
    level: str = "both",
    clock: Callable[[], float] = time.monotonic,
) -> CachedDevice:
    memory = ChunkMemory(8 << 20 if level in {"memory", "both"} else 0)
    store = ChunkStore(directory, 8 << 20 if level in {"disk", "both"} else 0)
    return CachedDevice(source, "archive", CHUNK, memory=memory, store=store, clock=clock)


def read_all(device: CachedDevice) -> bool:
    with s3archivefs.open(device) as fs:
        names = fs.listdir("/")
        right = all(fs.read_bytes(name) == content for name, content in FILES.items())
        attributes = {fs.getxattr(f"/{name}", "user.a") for name in names}
        fs.stat_inode(7)
        return right and attributes == {b"v"} and len(names) == len(FILES)


# ---- Wrong once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_any_chunk_that_came_wrong_once_is_fetched_anew(
    source: Source, tmp_path: Path, level: str
) -> None:
    """Data, fragments, all tables and their lists, the superblock: all there is."""
    for index in range(-(-source.size // CHUNK)):
        source.damage(index * CHUNK, (index + 1) * CHUNK, times=1)
        assert read_all(cached(source, tmp_path / f"{index}", level)), index
        if level != "none":
            assert source.fetched(index) == 2


@pytest.mark.parametrize("packing", ["gzip", "lz4", "stored"])
def test_a_byte_of_metadata_that_came_wrong_once_fails_no_second_reader(
    packing: str, tmp_path: Path
) -> None:
    """It may decode all the same, to what makes no sense. What makes sense cannot be noticed."""
    tree = tuple(
        file(name, text(1000 + len(name)), xattrs={"user.a": b"v"})
        for name in (f"{number:03}" for number in range(30))
    )
    options = ("-noI", "-noId", "-noX") if packing == "stored" else ("-comp", packing)
    packed = make_image(tmp_path, tree, "-b", "4096", *options).read_bytes()
    superblock = s3archivefs.Superblock.decode(packed)

    def read(device: CachedDevice) -> bool:
        """Whether all can be read, or is too large, as it may well be."""
        try:
            with s3archivefs.open(device) as fs:
                for name in fs.listdir("/"):
                    # A flag, a name or a size may be another, and make sense.
                    with suppress(OSError, s3archivefs.LimitExceededError):
                        fs.stat(name)
                        fs.getxattr(name, "user.a")
                        fs.read_bytes(name)
        except s3archivefs.FormatError:
            return False
        return True

    healed = []
    for at in range(superblock.inode_table_start, superblock.bytes_used, 7):
        source = Source(packed)
        source.damage(at, at + 1, times=1)
        device = cached(source, tmp_path / "cache" / f"{at}", "memory")
        if read(device):
            healed += [at] * (source.fetched(at // CHUNK) == 2)
            continue
        # Not where what is wrong was handed out already: a file's size, a listing's first names.
        assert read(device), at
        assert source.fetched(at // CHUNK) == 2
    assert healed


def test_a_chunk_that_came_wrong_is_told_of_once(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source.damage(0, CHUNK, times=1)
    device = cached(source, tmp_path)
    for _ in range(2):
        assert read_all(device)
    (message,) = caplog.messages
    assert message == "chunk 0 of archive had come wrong, and was fetched anew"


def test_what_was_right_the_second_time_is_what_is_kept(source: Source, tmp_path: Path) -> None:
    for index in range(-(-source.size // CHUNK)):
        source.damage(index * CHUNK, (index + 1) * CHUNK, times=1)
        device = cached(source, tmp_path / f"{index}")
        read_all(device)
        device.background.wait_idle()  # once all is stored
        kept = ChunkStore(tmp_path / f"{index}", 8 << 20).get(device.cached.store_id, index)
        assert kept in {None, source.image[index * CHUNK : (index + 1) * CHUNK]}


def test_a_chunk_damaged_before_a_start_is_fetched_anew(source: Source, tmp_path: Path) -> None:
    """As a store leaves it on disk that was wrong when the process before read from it."""
    read_all(cached(source, tmp_path, "disk"))
    store = ChunkStore(tmp_path, 8 << 20)
    device = cached(source, tmp_path, "disk")
    source.reads.clear()
    for index in range(source.size // CHUNK):
        store.put(device.cached.store_id, index, bytes(CHUNK), replace=True)
    assert read_all(device)
    # Twice, where a block that does not decode reaches into a chunk that was fetched already.
    assert all(source.fetched(index) <= 2 for index in range(source.size // CHUNK))
    source.reads.clear()
    assert read_all(cached(source, tmp_path, "disk"))
    assert source.reads == []


def test_a_seed_that_does_not_decode_is_fetched_anew(
    source: Source, image: bytes, tmp_path: Path
) -> None:
    start = s3archivefs.Superblock.decode(image).inode_table_start
    end = s3archivefs.Superblock.decode(image).bytes_used
    for wrong in (start + 9, (start + end) // 2, end - 9):
        tail = bytearray(image[start:])
        tail[wrong - start] ^= 0x5A
        device = cached(source, tmp_path / f"{wrong}")
        device.preload(0, bytes(96))
        device.preload(start, bytes(tail))
        source.reads.clear()
        assert read_all(device)
        assert all(source.fetched(index) <= 2 for index in range(source.size // CHUNK))


# ---- Wrong for ever ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["memory", "disk", "both"])
def test_a_damaged_archive_is_fetched_anew_once_and_no_more(
    source: Source, tmp_path: Path, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = cached(source, tmp_path, level)
    end = s3archivefs.Superblock.decode(source.image).inode_table_start // CHUNK * CHUNK
    source.damage(96, end, times=10_000)
    with s3archivefs.open(device) as fs:

        def read() -> None:
            with pytest.raises(CorruptImageError):
                fs.read_bytes("/big")
            assert all(isinstance(problem.error, SquashfsError) for problem in fs.verify())

        read()
        assert source.fetched(1) == 2
        assert len(source.reads) < 3 * source.size / CHUNK
        source.reads.clear()
        for _ in range(4):
            read()
        assert source.reads == []
    assert caplog.messages == []  # that is for the errors to say


@pytest.mark.parametrize("level", ["memory", "disk", "both"])
def test_a_chunk_that_came_wrong_twice_is_fetched_anew_at_intervals(
    source: Source, tmp_path: Path, level: str
) -> None:
    """In a process that runs for long, the store gets well again."""
    clock = Clock()
    with s3archivefs.open(cached(source, tmp_path, level, clock)) as fs:

        def is_read() -> bool:
            try:
                return all(fs.read_bytes(name) == content for name, content in FILES.items())
            except CorruptImageError:
                return False

        for times_wrong, fetched in ((2, 2), (1, 1)):
            source.damage(CHUNK, 2 * CHUNK, times_wrong)
            for seconds in (0, 20, 39):
                clock.now += seconds
                assert not is_read()
                assert source.fetched(1) == fetched
            clock.now += 1
        source.damage(0, 0, 0)
        assert [is_read(), is_read()] == [True, True]
        assert source.fetched(1) == 1


def test_without_any_cache_a_damaged_block_costs_three_reads_once_and_then_one(
    source: Source, tmp_path: Path
) -> None:
    device = cached(source, tmp_path, "none")
    with s3archivefs.open(device) as fs:
        fs.stat("/big")
        source.damage(100, 101, times=10_000)
        counts = []
        for _ in range(4):
            source.reads.clear()
            with pytest.raises(CorruptImageError):
                fs.read_bytes("/0")
            counts.append(source.fetched(0))
    # The third, after the metadata that led there was read anew as well.
    assert counts == [3, 1, 1, 1]


def test_what_is_remembered_of_damage_is_bounded() -> None:
    suspects = SuspectChunks(Clock())
    for index in range(10_000):
        suspects.add(index, b"")
    remembered = [index for index in range(10_000) if suspects.doubted_since(index, 0)]
    assert remembered == list(range(10_000 - 4096, 10_000))
    assert not suspects.add(9_999, b"")


# ---- Copies that are stored late -----------------------------------------------------------------


def damaged(image: bytes) -> bytes:
    return bytes(byte ^ 0x5A for byte in image[:CHUNK])


def test_a_doubted_copy_that_a_thread_is_just_storing_is_not_read_again(
    source: Source, image: bytes, tmp_path: Path
) -> None:
    device = cached(source, tmp_path)
    source.damage(0, CHUNK, times=1)
    wrong = device.pread(0, CHUNK)
    device.background.wait_idle()
    assert device.discard(0, wrong)
    # Which drops it in a moment.
    ChunkStore(tmp_path, 1 << 30).put(device.cached.store_id, 0, wrong)
    assert device.pread(0, CHUNK) == image[:CHUNK]
    assert source.fetched(0) == 2


def test_two_blocks_of_a_chunk_that_do_not_decode_doubt_it_once(
    source: Source, image: bytes, tmp_path: Path
) -> None:
    device = cached(source, tmp_path)
    source.damage(0, CHUNK, times=1)
    wrong = device.pread(0, CHUNK)
    assert device.discard(0, wrong[:1000])
    assert device.discard(1000, wrong[1000:])
    assert device.cached.epoch == 1
    assert device.pread(0, CHUNK) == image[:CHUNK]


@pytest.mark.parametrize("length", [96, CHUNK])
def test_what_was_doubted_before_it_was_stored_is_not_stored(
    source: Source, image: bytes, tmp_path: Path, length: int
) -> None:
    """Of a seed, too, of which less than a chunk did not decode."""
    device = cached(source, tmp_path)
    wrong = damaged(image)
    device.cached.preloaded.hold(0, wrong[:length])
    assert device.discard(0, wrong[:96])
    device.cached.store({0: wrong}, 0)
    assert not device.cached.is_stored(0)
    assert device.pread(0, CHUNK) == image[:CHUNK]


# ---- Many readers --------------------------------------------------------------------------------


def test_readers_that_meet_a_wrong_chunk_together_fetch_it_anew_once(
    source: Source, tmp_path: Path
) -> None:
    readers = 8
    device = cached(source, tmp_path)
    images = [s3archivefs.open(device) for _ in range(readers)]
    source.damage(0, 2 * CHUNK, times=1)
    together = threading.Barrier(readers)

    def read(fs: s3archivefs.SquashFS) -> bool:
        together.wait(60)
        return fs.read_bytes("/big") == FILES["/big"]

    with ThreadPoolExecutor(readers) as pool:
        assert all(pool.map(read, images))
    assert all(source.fetched(index) <= 2 for index in range(source.size // CHUNK))


def test_a_chunk_found_damaged_late_is_not_fetched_twice(
    source: Source, image: bytes, tmp_path: Path
) -> None:
    device = cached(source, tmp_path)
    source.damage(10, 20, times=1)
    wrong = device.pread(0, 100)
    assert wrong != image[:100]
    assert device.discard(0, wrong)
    assert device.pread(0, 100) == image[:100]
    assert device.discard(0, wrong)
    assert device.pread(0, 100) == image[:100]
    assert source.fetched(0) == 2


# ---- In S3 ---------------------------------------------------------------------------------------


@pytest.fixture
def store(image: bytes) -> Iterator[ScriptedStore]:
    with ScriptedStore(image) as running:
        yield running


def wrong_bytes(request: Request, reply: Reply) -> Reply:
    return replace(reply, body=bytes(len(reply.body)))


def archives_in(store: ScriptedStore, cache: Path) -> Archives:
    config = replace(config_for({}), cache_dir=cache, tail_bytes=len(store.content) // 2)
    return Archives(config, store.client)


@pytest.mark.parametrize("which", ["bytes=0-95", "bytes=-", "bytes=0-"])
def test_wrong_bytes_under_the_right_etag_reach_no_reader(
    store: ScriptedStore, tmp_path: Path, which: str
) -> None:
    change: Change = wrong_bytes
    if which == "bytes=0-":
        archives_in(store, tmp_path / "other").get(AT_S3)  # so that its ranges are those of data
    store.script(change, match=which)
    image = archives_in(store, tmp_path).get(AT_S3).image
    assert {name: image.read_bytes(name) for name in FILES} == FILES
    again = archives_in(store, tmp_path).get(AT_S3).image
    store.requests.clear()
    assert {name: again.read_bytes(name) for name in FILES} == FILES


def passed_on(make: Callable[[Any], Any]) -> list[tuple[int, bytes]]:
    told: list[tuple[int, bytes]] = []

    class Keeper(s3archivefs.BytesDevice):
        def discard(self, offset: int, data: bytes) -> bool:
            told.append((offset, data))
            return False

    make(Keeper(bytes(5000)))
    return told


def test_a_device_of_ones_own_is_told_what_does_not_decode() -> None:
    def open_at(device: Any) -> None:  # noqa: ANN401 -- a device
        with pytest.raises(SquashfsError):
            s3archivefs.open(device, offset=4096)

    assert passed_on(open_at) == [(4096, bytes(96))]
