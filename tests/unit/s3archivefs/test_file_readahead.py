"""The readahead that a file opens, and the reads that it announces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from tests.support.images.fixtures import CountingDevice, make_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
SIZE = 10 * MIB
BLOCK = 128 << 10
DATA_START = 96
"""The file is the image's first, and stored as it is: its byte n is the image's byte 96 + n."""


class RecordingReadAhead:
    """A device's readahead that fetches nothing and remembers what it is told."""

    def __init__(self, device: ReadAheadDevice) -> None:
        self.size = device.size
        self.told: list[tuple[int, int]] = []
        """What will be read, as (start, stop) of the file's content."""
        self.reads: list[tuple[int, int]] = []
        self.closed = 0
        self._device = device

    def pread(self, offset: int, length: int) -> bytes:
        assert not self.closed
        self.reads.append((offset - DATA_START, offset - DATA_START + length))
        return self._device.pread(offset, length)

    def will_read(self, offset: int, length: int) -> None:
        self.told.append((offset - DATA_START, offset - DATA_START + length))

    def close(self) -> None:
        self.closed += 1


class ReadAheadDevice(CountingDevice):
    """Remembers who reads."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.readers: list[RecordingReadAhead] = []
        self.ranges: list[tuple[int, int]] = []
        self.before: Callable[[], object] = lambda: None

    def readahead(self, offset: int, length: int) -> RecordingReadAhead:
        self.before()
        self.ranges.append((offset - DATA_START, offset - DATA_START + length))
        self.readers.append(RecordingReadAhead(self))
        return self.readers[-1]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = (file("large", noise(SIZE)), file("small", b"small"))
    directory = tmp_path_factory.mktemp("ahead")
    return make_image(directory, tree, "-b", "131072", "-noD", "-comp", "gzip").read_bytes()


@pytest.fixture
def device(image: bytes) -> ReadAheadDevice:
    return ReadAheadDevice(image)


@pytest.fixture
def large(device: ReadAheadDevice) -> s3archivefs.SquashFile:
    return s3archivefs.open(device).open("/large")


def test_a_file_is_read_through_one_reader_of_its_blocks(
    large: s3archivefs.SquashFile, device: ReadAheadDevice
) -> None:
    assert device.ranges == []  # nothing is opened before the first read
    large.read(MIB)
    large.seek(5 * MIB + 10)
    large.read(BLOCK)
    assert device.ranges == [(0, SIZE)]
    (reader,) = device.readers
    assert reader.reads == [(0, MIB), (5 * MIB, 5 * MIB + 2 * BLOCK)]
    assert reader.told == []


def test_each_open_file_has_its_own(device: ReadAheadDevice) -> None:
    fs = s3archivefs.open(device)
    with fs.open("/large") as one, fs.open("/large") as other:
        one.read(MIB)
        other.read(MIB)
    assert [reader.closed for reader in device.readers] == [1, 1]


def test_what_was_announced_is_told_before_it_is_read(
    large: s3archivefs.SquashFile, device: ReadAheadDevice
) -> None:
    large.will_read(8 * MIB)
    large.read(MIB)
    (reader,) = device.readers
    assert reader.told == [(0, 8 * MIB)]
    large.read(MIB)
    assert reader.told == [(0, 8 * MIB)]  # once
    large.seek(3 * MIB)
    large.will_read(100 * MIB)
    large.read(10)
    assert reader.told[1:] == [(3 * MIB, SIZE)]


def test_a_file_read_whole_is_announced_and_closed(device: ReadAheadDevice) -> None:
    s3archivefs.open(device).read_bytes("/large")
    (reader,) = device.readers
    assert (reader.told, reader.closed) == ([(0, SIZE)], 1)


def test_a_file_that_is_closed_closes_its_reader_once(
    large: s3archivefs.SquashFile, device: ReadAheadDevice
) -> None:
    large.read(10)
    large.close()
    large.close()
    assert device.readers[0].closed == 1


def test_an_image_that_is_closed_closes_the_readers_of_its_files(device: ReadAheadDevice) -> None:
    with s3archivefs.open(device) as fs:
        fs.open("/large").read(10)
    assert device.readers[0].closed == 1


def test_a_file_that_is_forgotten_closes_its_reader(device: ReadAheadDevice) -> None:
    fs = s3archivefs.open(device)
    fs.open("/large").read(10)
    assert device.readers[0].closed == 1


def test_a_file_closed_while_its_reader_is_made_leaves_none_behind(
    large: s3archivefs.SquashFile, device: ReadAheadDevice
) -> None:
    device.before = large.close  # as the image does that another thread closes
    with pytest.raises(ValueError, match="closed"):
        large.read(10)
    assert [reader.closed for reader in device.readers] == [1]


def test_verifying_leaves_no_reader_behind(device: ReadAheadDevice) -> None:
    assert list(s3archivefs.open(device).verify()) == []
    assert [reader.closed for reader in device.readers] == [1]


def test_files_of_one_block_and_tails_have_no_reader(device: ReadAheadDevice) -> None:
    with s3archivefs.open(device).open("/small") as small:
        small.will_read(5)
        assert small.read() == b"small"
    assert device.readers == []


def test_a_part_of_a_device_has_the_readers_of_the_whole(image: bytes) -> None:
    device = ReadAheadDevice(b"x" * 1000 + image)
    with s3archivefs.open(device, offset=1000).open("/large") as large:
        large.will_read(4 * MIB)
        assert large.read(MIB) == noise(SIZE)[:MIB]
    (reader,) = device.readers
    assert device.ranges == [(1000, SIZE + 1000)]
    assert reader.told == [(1000, 4 * MIB + 1000)]
    assert reader.reads == [(1000, MIB + 1000)]
    assert reader.closed == 1


def test_a_closed_file_has_nothing_to_announce(large: s3archivefs.SquashFile) -> None:
    large.close()
    with pytest.raises(ValueError, match="closed"):
        large.will_read(1)


def test_without_a_device_that_reads_ahead_an_announcement_changes_nothing(tmp_path: Path) -> None:
    image = make_image(tmp_path, (file("a", noise(BLOCK * 3)),))
    for offset, content in ((0, image.read_bytes()), (10, b"x" * 10 + image.read_bytes())):
        with (
            s3archivefs.open(s3archivefs.BytesDevice(content), offset=offset) as fs,
            fs.open("/a") as opened,
        ):
            opened.will_read(3)
            assert opened.read() == noise(BLOCK * 3)
