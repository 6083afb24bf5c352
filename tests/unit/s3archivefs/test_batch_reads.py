"""Batches are read ahead, from a distant device with one request for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import file
from s3archivefs import SquashFS
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
