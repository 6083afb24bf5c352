"""Reads of devices that return a range in pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.device_reads import Stretch, read_stretch
from tests.support.images.fixtures import make_image

CONTENT = noise(30_000) + bytes(30_000) + noise(10_001)


class PiecesDevice(s3archivefs.BytesDevice):
    """Returns a range in pieces that end at multiples of `step` bytes."""

    def __init__(self, data: bytes, step: int = 1000) -> None:
        super().__init__(data)
        self.step = step
        self.data = data
        self.lacking = 0
        """Bytes that every answer lacks."""
        self.asked: list[tuple[int, int]] = []

    def pread_pieces(self, offset: int, length: int) -> list[memoryview]:
        self.asked.append((offset, length))
        stop = offset + length - self.lacking
        inner = range((offset // self.step + 1) * self.step, stop, self.step)
        return [memoryview(self.data)[a:b] for a, b in pairwise([offset, *inner, stop])]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("pieces")
    tree = (file("long", CONTENT),)
    return make_image(directory, tree, "-b", "4096", "-comp", "gzip").read_bytes()


@pytest.mark.parametrize("step", [1, 1000, 5000, 10 << 20])
def test_a_file_is_decoded_from_pieces(image: bytes, step: int) -> None:
    device = PiecesDevice(image, step)
    fs = s3archivefs.open(device)
    assert fs.read_bytes("/long") == CONTENT
    with fs.open("/long") as long:
        long.seek(10_001)
        assert long.read(40_000) == CONTENT[10_001:50_001]
    assert device.asked


@pytest.mark.parametrize(
    ("lacking", "error"),
    [(1, s3archivefs.TruncatedImageError), (-1, s3archivefs.CorruptImageError)],
)
def test_pieces_of_another_length_are_refused(
    image: bytes, lacking: int, error: type[Exception]
) -> None:
    device = PiecesDevice(image)
    device.lacking = lacking
    with pytest.raises(error, match="the device returned"):
        s3archivefs.open(device).read_bytes("/long")


def test_a_range_behind_the_devices_end_is_not_asked_for() -> None:
    device = PiecesDevice(bytes(100))
    with pytest.raises(s3archivefs.TruncatedImageError, match="past the end"):
        read_stretch(device, 90, 11, "data")
    assert device.asked == []


def test_no_device_need_know_an_empty_range() -> None:
    device = PiecesDevice(bytes(100))
    assert read_stretch(device, 100, 0, "data").part(0, 0) == b""
    assert device.asked == []


@given(st.lists(st.binary(max_size=5)), st.data())
def test_a_part_is_that_of_all_pieces_joined(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    stop = data.draw(st.integers(0, len(whole)))
    start = data.draw(st.integers(0, stop))
    stretch = Stretch(pieces)
    assert stretch.size == len(whole)
    assert stretch.part(start, stop) == whole[start:stop]
