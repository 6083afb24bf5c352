"""What a file tells its device of the reads to come; what it reads is in test_data.py."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from tests.support.images import CountingDevice, make_image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MIB = 1 << 20
SIZE = 72 * MIB
BLOCK = 128 << 10
DATA_START = 96
"""The file is the image's first, and stored as it is: its byte n is the image's byte 96 + n."""


class HintedDevice(CountingDevice):
    """Remembers its hints, and takes up no more than `room` bytes of each."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.hints: list[tuple[int, int]] = []
        """As (start, stop) of the file's content."""
        self.room: int | None = None

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> int | None:
        for offset, length in ranges:
            self.hints.append((offset - DATA_START, offset - DATA_START + length))
        return self.room


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = (file("large", noise(SIZE)), file("small", b"small"))
    directory = tmp_path_factory.mktemp("hinted")
    return make_image(directory, tree, "-b", "131072", "-noD", "-comp", "gzip").read_bytes()


@pytest.fixture
def device(image: bytes) -> HintedDevice:
    return HintedDevice(image)


@pytest.fixture
def large(device: HintedDevice) -> s3archivefs.SquashFile:
    return s3archivefs.open(device).open("/large")


def test_what_will_be_read_is_hinted_at_before_it_is_asked_for(
    large: s3archivefs.SquashFile, device: HintedDevice
) -> None:
    large.will_read(8 * MIB)
    large.read(MIB)
    assert device.hints == [(MIB, 8 * MIB)]
    while large.tell() < 8 * MIB:
        large.read(MIB)
    assert device.hints == [(MIB, 8 * MIB)]  # no further than was said


def test_a_long_file_is_hinted_at_piece_by_piece_48_mib_ahead_at_most(
    large: s3archivefs.SquashFile, device: HintedDevice
) -> None:
    large.will_read(SIZE)
    while large.read(4 * MIB):
        _, hinted = device.hints[-1]
        assert hinted <= large.tell() + 48 * MIB
    # Each byte behind the first read is hinted at once.
    assert device.hints[0][0] == 4 * MIB
    assert device.hints[-1][1] == SIZE
    ends = [end for _, end in device.hints[:-1]]
    assert ends == [start for start, _ in device.hints[1:]]


def test_each_announcement_is_hinted_at_anew(
    large: s3archivefs.SquashFile, device: HintedDevice
) -> None:
    device.room = 0
    large.seek(60 * MIB)
    large.will_read(SIZE)
    large.read(MIB)
    device.room = None
    large.seek(0)
    large.will_read(8 * MIB)
    large.read(MIB)
    assert device.hints[1:] == [(MIB, 8 * MIB)]


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("room", [0, 1, BLOCK - 1, BLOCK, 5 * MIB - 1, 100 * MIB])
def test_what_a_device_does_not_take_up_is_offered_again(
    image: bytes, offset: int, room: int
) -> None:
    device = HintedDevice(bytes(offset) + image)
    device.room = room
    with s3archivefs.open(device, offset=offset).open("/large") as large:
        large.will_read(SIZE)
        position, begun = 0, MIB
        offered = []
        for _ in range(24):
            large.read(MIB)
            position += MIB
            if device.hints:
                start, stop = device.hints.pop(0)
                assert start - offset == max(begun, position)
                begun = min(start - offset + room // BLOCK * BLOCK, stop - offset)
                if begun < stop - offset:
                    offered.append(position)
            assert device.hints == []
    assert len(offered) > 2 or room > SIZE
    assert all(later - earlier >= 4 * MIB for earlier, later in pairwise(offered))


def test_reads_that_follow_each_other_are_hinted_at_ever_further(
    large: s3archivefs.SquashFile, device: HintedDevice
) -> None:
    large.seek(MIB)
    large.read(MIB)
    assert device.hints == []  # one read is no sequence
    large.read(MIB)
    assert device.hints == [(3 * MIB, 5 * MIB)]  # as much as was read
    large.read(2 * MIB)
    assert device.hints[1:] == [(5 * MIB, 9 * MIB)]


def test_a_seek_ends_a_sequence(large: s3archivefs.SquashFile, device: HintedDevice) -> None:
    large.will_read(SIZE)
    large.read(MIB)
    device.hints.clear()
    for place in (40, 10, 30, 20):
        large.seek(place * MIB)
        large.read(MIB)
    assert device.hints == []


def test_small_files_and_tails_give_no_hints(device: HintedDevice) -> None:
    with s3archivefs.open(device).open("/small") as small:
        small.will_read(5)
        assert small.read() == b"small"
    assert device.hints == []


def test_a_part_of_a_device_passes_hints_on(image: bytes) -> None:
    device = HintedDevice(b"x" * 1000 + image)
    with s3archivefs.open(device, offset=1000).open("/large") as large:
        large.will_read(4 * MIB)
        large.read(MIB)
    assert device.hints == [(MIB + 1000, 4 * MIB + 1000)]


def test_a_closed_file_has_nothing_to_announce(large: s3archivefs.SquashFile) -> None:
    large.close()
    with pytest.raises(ValueError, match="closed"):
        large.will_read(1)


def test_without_a_device_that_takes_hints_an_announcement_changes_nothing(tmp_path: Path) -> None:
    image = make_image(tmp_path, (file("a", b"content"),))
    with s3archivefs.open(image) as fs, fs.open("/a") as opened:
        opened.will_read(3)
        assert opened.read() == b"content"
