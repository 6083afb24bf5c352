from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import s3archivefs
from s3archivefs import BytesDevice, NotCachedError, SingleFlight, SquashFS, may_wait, only_cached
from tests.support.images.fixtures import FIXTURES

FILE = "/docs/deep/page.txt"


class Counted(BytesDevice):
    """A device that counts its reads."""

    reads = 0
    reads_at_hand = 0

    def pread(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return super().pread(offset, length)

    def pread_at_hand(self, offset: int, length: int) -> bytes:
        self.reads_at_hand += 1
        return super().pread_at_hand(offset, length)


@pytest.fixture
def device() -> Counted:
    return Counted(FIXTURES["gzip"].image.read_bytes())


def test_what_is_not_cached_is_not_read(device: Counted) -> None:
    with SquashFS(device) as fs:
        reads = device.reads
        for call in (fs.stat, fs.read_bytes, fs.listdir):
            with only_cached(), pytest.raises(NotCachedError):
                call(FILE)
        assert device.reads == reads
        assert fs.read_bytes(FILE)  # no trace of the attempts


def test_what_is_cached_is_returned(device: Counted) -> None:
    with SquashFS(device) as fs:
        expected = fs.stat(FILE), fs.read_bytes(FILE)
        reads = device.reads
        with only_cached():
            assert (fs.stat(FILE), fs.read_bytes(FILE)) == expected
            with pytest.raises(FileNotFoundError):
                fs.stat("/docs/missing")
        assert device.reads == reads


def test_a_block_whose_bytes_are_at_hand_is_decoded(device: Counted) -> None:
    with SquashFS(device) as fs:
        fs.stat(FILE)
        fs.read_bytes("/short.txt")  # reads where fragments lie
        reads = device.reads
        with only_cached():
            for _ in range(2):
                assert len(fs.read_bytes("/block.txt")) == 4096
        assert device.reads == reads
        assert device.reads_at_hand == 1


@pytest.mark.parametrize("kind", ["none at hand", "damaged", "xz, which takes long"])
def test_any_other_block_is_for_a_thread(kind: str) -> None:
    name = "xz" if kind.startswith("xz") else "gzip"
    device = Counted(FIXTURES[name].image.read_bytes())
    with SquashFS(device) as fs:
        size = fs.stat("/block.txt").size
        if kind == "none at hand":
            device.pread_at_hand = lambda *_: None  # type: ignore[method-assign,assignment]
        elif kind == "damaged":
            device.pread_at_hand = lambda _, length: bytes(length)  # type: ignore[method-assign,assignment]
        with only_cached(), pytest.raises(NotCachedError):
            fs.read_bytes("/block.txt")
        assert len(fs.read_bytes("/block.txt")) == size


def test_no_symlink_is_followed(device: Counted) -> None:
    with SquashFS(device) as fs:
        link = next(
            f"{top.rstrip('/')}/{name}"
            for top, _, names in fs.walk("/", symlinks_as_files=True)
            for name in names
            if fs.path(f"{top}/{name}").is_symlink() and fs.exists(f"{top}/{name}")
        )
        expected = fs.stat(link)
        with only_cached(), pytest.raises(NotCachedError):
            fs.stat(link)
        assert fs.stat(link) == expected


def test_a_load_of_another_thread_is_not_waited_for() -> None:
    flights: SingleFlight[str, int] = SingleFlight()

    def load() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(attempt).result()

    def attempt() -> int:
        with only_cached(), pytest.raises(NotCachedError):
            flights.do("key", lambda: 1)
        return 2

    assert flights.do("key", load) == 2


def test_damage_is_for_a_thread_that_may_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keeping(Counted):
        """A device that keeps copies, of which it drops those that are doubted."""

        def discard(self, offset: int, data: bytes) -> bool:
            raise AssertionError("within only_cached")

    with SquashFS(Keeping(FIXTURES["gzip"].image.read_bytes())) as fs:
        fs.stat(FILE)

        def damaged(*_: object) -> None:
            raise s3archivefs.CorruptImageError("damaged")

        monkeypatch.setattr("s3archivefs.directory.Directory.get", damaged)
        with only_cached(), pytest.raises(NotCachedError):
            fs.stat("/docs")


def test_it_ends_with_its_context() -> None:
    assert may_wait()
    with only_cached():
        assert not may_wait()
    assert may_wait()
