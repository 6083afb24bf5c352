"""Batches are read ahead, from a distant device with one request for each run."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import file
from s3archivefs import CorruptImageError, Member, SquashFS, TruncatedImageError
from tests.support.distant_device import DistantDevice, counted
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.processes.forked import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
CONTENTS = {f"/{number:04}": noise(90 * KIB, str(number)) for number in range(200)}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two hundred files of 90 KiB, each stored as one block."""
    tree = tuple(file(path[1:], content) for path, content in CONTENTS.items())
    folder = tmp_path_factory.mktemp("distant")
    return make_image(folder, tree, "-b", "131072", "-noD", "-no-fragments").read_bytes()


@pytest.fixture
def device(image: bytes) -> DistantDevice:
    return DistantDevice(image)


@pytest.fixture
def fs(device: DistantDevice) -> Iterator[SquashFS]:
    with s3archivefs.open(device) as opened:
        assert opened.stat("/0000").size
        opened.listdir("/")
        for path in CONTENTS:
            opened.stat(path)
        device.forget()
        yield opened


@pytest.mark.parametrize(
    ("options", "is_all"),
    [({}, True), ({"existing": "keep"}, False), ({"exclude": ["0000"]}, False)],
)
def test_an_extraction_of_all_begins_to_fetch_before_it_knows_the_files(
    fs: SquashFS, device: DistantDevice, tmp_path: Path, options: dict[str, Any], *, is_all: bool
) -> None:
    begun: list[int] = []

    def keep(member: Member, _: str) -> Member:
        begun.append(sum(bool(handle.told) for handle in device.handles))
        return member

    fs.extract("/", tmp_path, filter=keep, **options)
    assert (begun[0] == 1) is is_all
    names = {path[1:]: content for path, content in CONTENTS.items()}
    names = {name: names[name] for name in names if name not in options.get("exclude", ())}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == names
    used = [handle for handle in device.handles if handle.told]
    if is_all:
        (handle,) = used
        assert handle.told == [(96, fs.superblock.inode_table_start)]
        assert handle.reads == sorted(handle.reads)
        assert device.reads == []
    assert all(handle.is_closed for handle in used)


def test_of_many_files_the_last_leave_no_blocks_in_memory(tmp_path: Path) -> None:
    contents = {f"/{number:04}": noise(8 * KIB, str(number)) for number in range(1200)}
    tree = tuple(file(path[1:], content) for path, content in contents.items())
    image = make_image(tmp_path, tree, "-b", "131072")
    for count, least, most in ((100, 100, 200), (1200, 0, 700)):
        with s3archivefs.open(image) as fs:
            paths = [*contents][:count]
            assert dict(fs.read_many(paths)) == {path: contents[path] for path in paths}
            assert least * 8 * KIB <= fs.cached_bytes < most * 8 * KIB


def test_what_adjoins_is_read_through_one_handle_that_is_told_before(
    fs: SquashFS, device: DistantDevice
) -> None:
    assert {path: opened.read() for path, _, opened in fs.walk_files()} == CONTENTS
    assert device.reads == []
    used = [handle for handle in device.handles if handle.reads]
    (handle,) = used
    whole = 96, 96 + len(CONTENTS) * 90 * KIB
    assert handle.told == [whole]
    assert (handle.reads[0][0], handle.reads[-1][1]) == whole
    assert [stop for _, stop in handle.reads[:-1]] == [start for start, _ in handle.reads[1:]]
    assert len(handle.reads) < len(CONTENTS) // 20
    assert all(handle.is_closed for handle in device.handles)


def test_fragments_amid_what_adjoins_do_not_end_the_sequence(tmp_path: Path) -> None:
    contents = {f"/{number:03}": noise(138 * KIB, str(number)) for number in range(100)}
    tree = tuple(file(path[1:], content) for path, content in contents.items())
    packing = ("-b", "131072", "-noD", "-noF", "-always-use-fragments")
    device = DistantDevice(make_image(tmp_path, tree, *packing).read_bytes())
    with s3archivefs.open(device) as fs:
        for path in contents:
            fs.stat(path)
        device.forget()
        assert dict(fs.read_many(contents)) == contents
    (handle,) = (handle for handle in device.handles if handle.reads)
    reads = handle.reads
    assert all(stop <= start for (_, stop), (start, _) in pairwise(reads))
    # What lies before a fragment of the batch before is read once more.
    again = sum(size for _, size in device.reads)
    assert again < sum(stop - start for start, stop in reads) // 10


def test_what_lies_apart_is_read_with_one_request_for_each_run(
    fs: SquashFS, device: DistantDevice
) -> None:
    mine: list[int] = []
    counted.set(mine)
    apart = {*range(0, 200, 10), *range(1, 200, 10)}  # two and two adjoin
    paths = [path for number, path in enumerate(CONTENTS) if number in apart]
    assert dict(fs.read_many(paths)) == {path: CONTENTS[path] for path in paths}
    assert sorted(device.reads) == [
        (96 + number * 90 * KIB, 180 * KIB) for number in range(0, 200, 10)
    ]
    assert mine == [180 * KIB] * 20  # counted in this thread's context
    assert all(handle.is_closed for handle in device.handles)


def test_what_lies_apart_is_asked_for_at_the_same_time(image: bytes) -> None:
    together = threading.Barrier(32, timeout=20)

    class Waiting(DistantDevice):
        def pread(self, offset: int, length: int) -> bytes:
            if length == 90 * KIB:
                together.wait()  # until as many are there
            return super().pread(offset, length)

    paths = [*CONTENTS][:192:6]
    with s3archivefs.open(Waiting(image)) as fs:
        assert dict(fs.read_many(paths)) == {path: CONTENTS[path] for path in paths}


def test_a_walk_that_is_left_closes_its_handle(fs: SquashFS, device: DistantDevice) -> None:
    files = fs.walk_files()
    next(files)
    assert not all(handle.is_closed for handle in device.handles)
    files.close()  # type: ignore[attr-defined]  # it is a generator
    assert all(handle.is_closed for handle in device.handles)


def test_a_forked_child_reads_a_distant_device_on(fs: SquashFS) -> None:
    for many in (fs.read_many(CONTENTS), fs.read_many([*CONTENTS][::10])):
        path, content = next(many)
        assert content == CONTENTS[path]

        def rest(many: Iterator[tuple[str, bytes]] = many) -> dict[str, bytes]:
            return dict(many)

        assert in_child(rest) == rest()


def test_a_fault_of_the_device_is_raised_for_the_files_concerned(image: bytes) -> None:
    class Torn(CountingDevice):
        def pread(self, offset: int, length: int) -> bytes:
            if offset <= 96 + 50 * 90 * KIB < offset + length:
                raise ConnectionError("torn")
            return super().pread(offset, length)

    told: list[tuple[str, Exception]] = []
    with s3archivefs.open(Torn(image)) as fs:
        read = dict(fs.read_many(CONTENTS, on_error=lambda *fault: told.append(fault)))
        assert [(path, str(error)) for path, error in told] == [("/0050", "torn")]
        assert read == {path: data for path, data in CONTENTS.items() if path != "/0050"}
        with pytest.raises(ConnectionError):
            [*fs.walk_files()]


class CutDevice(CountingDevice):
    """Reads nothing that begins at one position."""

    cut = -1

    def pread(self, offset: int, length: int) -> bytes:
        if offset == self.cut:
            raise ConnectionError("cut")
        return super().pread(offset, length)


def test_a_fault_of_the_device_amid_metadata_concerns_the_files_it_is_of(tmp_path: Path) -> None:
    contents = {f"/{number:03}": noise(8 * KIB, str(number)) for number in range(300)}
    contents["/tail"] = b"tail"
    tree = tuple(file(path[1:], content) for path, content in contents.items())
    device = CutDevice(make_image(tmp_path, tree, "-b", "4096", "-noI").read_bytes())
    with s3archivefs.open(device) as fs:
        superblock, first_block = fs.superblock, range(1 << 16)
        first = {path for path in contents if fs.stat(path).reference in first_block}
    for cut, cut_off in (
        (superblock.fragment_table_start, {"/tail"}),
        (superblock.inode_table_start, first),
    ):
        device.cut = -1
        with s3archivefs.open(device) as fs:
            device.cut = cut
            told: list[tuple[str, Exception]] = []
            for many in (
                ((path, file.read()) for path, _, file in fs.walk_files(on_error=told_to(told))),
                fs.read_many(contents, on_error=told_to(told)),
            ):
                expected = {path: contents[path] for path in contents if path not in cut_off}
                assert dict(many) == expected
                assert {path for path, _ in told} == cut_off
                assert {str(error) for _, error in told} == {"cut"}
                told.clear()


def told_to(told: list[tuple[str, Exception]]) -> Callable[[str, Exception], None]:
    return lambda *fault: told.append(fault)


class KeepingDevice(CountingDevice):
    """Keeps a damaged copy of its data until it is told to discard it."""

    is_damaged = False

    def pread(self, offset: int, length: int) -> bytes:
        data = super().pread(offset, length)
        if self.is_damaged and offset <= 2000 < offset + length:
            return data[: 2000 - offset] + b"damaged" + data[2007 - offset :]
        return data

    def discard(self, offset: int, data: bytes) -> bool:
        was_damaged, self.is_damaged = self.is_damaged, False
        return was_damaged and offset <= 2000 < offset + len(data)


def test_a_copy_that_a_device_kept_damaged_is_read_again(tmp_path: Path) -> None:
    contents = {f"/{number}": b"%d" % number + text(50 * KIB) for number in range(9)}
    tree = tuple(file(path[1:], content) for path, content in contents.items())
    device = KeepingDevice(make_image(tmp_path, tree, "-b", "131072").read_bytes())
    with s3archivefs.open(device) as fs:
        device.is_damaged = True
        assert dict(fs.read_many(contents)) == contents
        assert not device.is_damaged
        device.is_damaged = True
        assert {path: opened.read() for path, _, opened in fs.walk_files()} == contents


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def cut_short(data: bytes, at: int) -> bytes:
    return data[:at]


def torn(_data: bytes, _at: int) -> bytes:
    raise ConnectionError("torn")


class FaultyDevice(CountingDevice):
    """Reads of the byte at a position fail so many times; another read may bring other bytes."""

    def __init__(self, image: bytes, fault: Callable[[bytes, int], bytes]) -> None:
        super().__init__(image)
        self._fault = fault
        self.position = -1
        self.left = 0
        self.met = 0

    def pread(self, offset: int, length: int) -> bytes:
        data = super().pread(offset, length)
        at = self.position - offset
        if not 0 <= at < length or not self.left:
            return data
        self.left -= 1
        self.met += 1
        return self._fault(data, at)

    def discard(self, offset: int, data: bytes) -> bool:
        return offset <= self.position < offset + len(data) and self.left > 0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Files whose tails lie together, and a long one, compressed."""
    tree = tuple(file(path[1:], content) for path, content in SHARED.items())
    return make_image(tmp_path_factory.mktemp("shared"), tree, "-b", "65536").read_bytes()


SHARED = {f"/{number}": b"%d" % number + text(4 * KIB) for number in range(9)}
SHARED["/long"] = b"long" + text(300 * KIB)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (flipped, CorruptImageError),
        (cut_short, TruncatedImageError),
        (torn, ConnectionError),
    ],
)
@pytest.mark.parametrize("concerned", ["tails", "long"])
def test_a_fault_that_passes_is_not_seen_and_one_that_stays_is_told(
    shared: bytes,
    fault: Callable[[bytes, int], bytes],
    kind: type[Exception],
    concerned: str,
) -> None:
    def read(times: int) -> tuple[dict[str, bytes], dict[str, Exception], int]:
        device = FaultyDevice(shared, fault)
        told: dict[str, Exception] = {}
        with s3archivefs.open(device) as fs:
            for path in SHARED:
                fs.stat(path)
            first, last = 96 + 50, fs.superblock.inode_table_start - 50
            device.position = first if concerned == "long" else last
            device.left = times
            found = dict(fs.read_many(SHARED, on_error=told.__setitem__))
            return found, told, device.met

    assert read(1) == (SHARED, {}, 1)
    found, told, met = read(1 << 30)
    names = {path for path in SHARED if (path == "/long") == (concerned == "long")}
    assert told.keys() >= names
    assert told.keys() - names <= {"/long"}  # whose tail may lie with theirs
    assert found == {path: SHARED[path] for path in SHARED if path not in told}
    assert {type(error) for error in told.values()} == {kind}
    assert met <= 1 + 6 * len(told)
