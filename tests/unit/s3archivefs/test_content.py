"""Content of files: every way to seek and read returns a slice of the whole."""

from __future__ import annotations

import io
import os
import random
import shutil
import tarfile
import threading
import zipfile
from array import array
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import file
from tests.support.images.fixtures import CountingDevice, make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096
HOLE = bytes(BLOCK)


def zipped(lines: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lines.txt", lines)
        archive.writestr("noise.bin", noise(10_000))
    return buffer.getvalue()


def tarred(lines: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("lines.txt")
        member.size = len(lines)
        archive.addfile(member, io.BytesIO(lines))
    return buffer.getvalue()


CONTENTS = {
    "empty": b"",
    "fragment": text(700),
    "blocks": text(3 * BLOCK),
    "blocks and fragment": text(2 * BLOCK + 1234),
    "raw blocks": noise(2 * BLOCK + 99),
    "hole first": HOLE * 2 + text(BLOCK + 5),
    "hole last": text(BLOCK) + HOLE + bytes(9),
    "hole everywhere": HOLE * 4 + bytes(9),
    "mixed": noise(BLOCK) + HOLE + text(BLOCK) + HOLE * 3 + noise(2 * BLOCK, "other") + text(777),
    # More than one run: the reader takes at most 4 MiB at once.
    "large": text(6_300_000) + noise(BLOCK * 3),
    "lines.zip": zipped(text(30_000)),
    "lines.tar.gz": tarred(text(30_000)),
    "UTF-8": "Zeile für Zeile, 日本\n".encode() * 900,
}
names = pytest.mark.parametrize("name", CONTENTS)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of CONTENTS: 4 KiB blocks, tail ends in fragments."""
    tree = tuple(file(name, content) for name, content in CONTENTS.items())
    return make_image(tmp_path_factory.mktemp("data"), tree, "-tailends")


@pytest.fixture(scope="module")
def fs(image: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(image) as opened:
        yield opened


# ---- Random access -------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 3 * BLOCK)),
    st.tuples(st.just("readinto"), st.integers(0, 3 * BLOCK)),
    st.tuples(st.just("start"), st.integers(0, 9 * BLOCK)),
    st.tuples(st.just("start"), st.integers(0, 8).map(lambda block: block * BLOCK)),
    st.tuples(st.just("current"), st.integers(-BLOCK, BLOCK)),
    st.tuples(st.just("end"), st.integers(-9 * BLOCK, BLOCK)),
)


@pytest.mark.property
@given(
    name=st.sampled_from([name for name in CONTENTS if name != "large"]),
    steps=st.lists(STEPS, max_size=12),
)
def test_any_seeks_and_reads_equal_slicing(
    fs: s3archivefs.SquashFS, name: str, steps: list[tuple[str, int]]
) -> None:
    model = io.BytesIO(CONTENTS[name])
    whences = {"start": os.SEEK_SET, "current": os.SEEK_CUR, "end": os.SEEK_END}
    with fs.open(name) as opened:
        for what, number in steps:
            if what == "read":
                assert opened.read(number) == model.read(number)
            elif what == "readinto":
                ours, theirs = bytearray(number), bytearray(number)
                assert opened.readinto(ours) == model.readinto(theirs)
                assert ours == theirs
            else:
                base = {"start": 0, "current": model.tell(), "end": len(CONTENTS[name])}[what]
                if base + number < 0:
                    with pytest.raises(OSError, match="seek"):
                        opened.seek(number, whences[what])
                else:
                    assert opened.seek(number, whences[what]) == model.seek(number, whences[what])
            assert opened.tell() == model.tell()


@pytest.mark.property
@given(start=st.integers(0, len(CONTENTS["large"])), size=st.integers(0, 6 << 20))
@settings(max_examples=25)
def test_any_range_of_a_file_of_many_runs_equals_slicing(
    fs: s3archivefs.SquashFS, start: int, size: int
) -> None:
    with fs.open("large") as opened:
        opened.seek(start)
        assert opened.read(size) == CONTENTS["large"][start : start + size]


@names
def test_reads_whole_and_in_small_steps_alike(fs: s3archivefs.SquashFS, name: str) -> None:
    whole = CONTENTS[name]
    assert fs.read_bytes(name) == whole
    with fs.open(name) as opened:
        assert opened.readall() == whole
        opened.seek(0)
        steps = iter(lambda: opened.read(1000), b"")
        for number, piece in enumerate(steps):
            assert piece == whole[number * 1000 : number * 1000 + 1000]
        assert opened.tell() == len(whole)


@names
def test_reading_past_the_end_gives_nothing(fs: s3archivefs.SquashFS, name: str) -> None:
    with fs.open(name) as opened:
        size = len(CONTENTS[name])
        assert opened.seek(0, os.SEEK_END) == size
        assert opened.read(1) == opened.read() == opened.readall() == b""
        assert opened.seek(size + 10**12) == size + 10**12
        assert opened.read(1) == opened.read() == b""
        assert opened.readinto(bytearray(5)) == 0
        assert opened.tell() == size + 10**12


def test_reading_nothing_gives_nothing(fs: s3archivefs.SquashFS) -> None:
    with fs.open("mixed") as opened:
        assert opened.read(0) == b""
        assert opened.readinto(bytearray()) == 0
        assert opened.tell() == 0


def test_readinto_fills_any_writable_buffer(fs: s3archivefs.SquashFS) -> None:
    numbers = array("I", bytes(4000))
    with fs.open("blocks") as opened:
        assert opened.readinto(numbers) == 4000
    assert numbers.tobytes() == CONTENTS["blocks"][:4000]


# ---- The file object -----------------------------------------------------------------------------


def test_file_is_a_buffered_stream_for_reading_only(fs: s3archivefs.SquashFS) -> None:
    with fs.open("blocks") as opened:
        assert isinstance(opened, io.BufferedReader)
        assert (opened.readable(), opened.seekable(), opened.writable()) == (True, True, False)
        assert opened.name == "blocks"
        with pytest.raises(io.UnsupportedOperation):
            opened.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            opened.truncate()
        with pytest.raises(OSError, match="fileno"):
            opened.fileno()


def test_closed_file_refuses_everything(fs: s3archivefs.SquashFS) -> None:
    opened = fs.open("blocks")
    opened.close()
    opened.close()
    assert opened.closed
    for call in (
        opened.read,
        opened.readall,
        opened.tell,
        opened.readable,
        opened.seekable,
        lambda: opened.seek(0),
        lambda: opened.read(0),
        lambda: opened.readinto(bytearray(1)),
        opened.__enter__,
    ):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_unknown_whence_is_refused(fs: s3archivefs.SquashFS) -> None:
    with fs.open("blocks") as opened, pytest.raises(ValueError, match="whence"):
        opened.seek(0, 7)


def test_files_of_one_path_have_positions_of_their_own(fs: s3archivefs.SquashFS) -> None:
    with fs.open("blocks") as one, fs.open("blocks") as other:
        one.seek(5000)
        assert other.tell() == 0
        assert other.read(3) == CONTENTS["blocks"][:3]
        assert one.read(3) == CONTENTS["blocks"][5000:5003]


def test_whole_reads_stop_at_the_limit_and_bounded_ones_do_not(image: Path) -> None:
    limits = s3archivefs.Limits(read_all_bytes=1000)
    with s3archivefs.open(image, limits=limits) as limited, limited.open("blocks") as opened:
        for read in (opened.read, opened.readall, lambda: limited.read_bytes("blocks")):
            with pytest.raises(s3archivefs.LimitExceededError, match="read_all_bytes") as caught:
                read()
            assert (caught.value.limit, caught.value.value) == ("read_all_bytes", 3 * BLOCK)
        assert opened.tell() == 0
        assert opened.read(3 * BLOCK) == CONTENTS["blocks"]
        assert limited.read_bytes("fragment") == CONTENTS["fragment"]


# ---- What others build on it ---------------------------------------------------------------------


@names
@pytest.mark.parametrize("size", [16, 1000, BLOCK, 1 << 17])
def test_reads_under_a_buffered_reader(fs: s3archivefs.SquashFS, name: str, size: int) -> None:
    if name == "large" and size < BLOCK:
        name = "mixed"  # half a million buffers of 16 bytes show no more
    with io.BufferedReader(fs.open(name), size) as buffered:
        assert buffered.read(10) == CONTENTS[name][:10]
        assert buffered.peek(1)[:1] == CONTENTS[name][10:11]
        assert buffered.read() == CONTENTS[name][10:]
        buffered.seek(-5, os.SEEK_END) if len(CONTENTS[name]) > 5 else buffered.seek(0)
        assert buffered.read() == CONTENTS[name][-5:]


def test_reads_lines_of_text(fs: s3archivefs.SquashFS) -> None:
    raw = io.BufferedReader(fs.open("UTF-8"))
    with io.TextIOWrapper(raw, encoding="utf-8", newline="") as lines:
        assert list(lines) == CONTENTS["UTF-8"].decode().splitlines(keepends=True)
        lines.seek(0)
        assert lines.readline() == "Zeile für Zeile, 日本\n"


@names
def test_copies_with_shutil(fs: s3archivefs.SquashFS, name: str) -> None:
    target = io.BytesIO()
    with fs.open(name) as opened:
        shutil.copyfileobj(opened, target)
    assert target.getvalue() == CONTENTS[name]


def test_holds_a_zip_archive(fs: s3archivefs.SquashFS) -> None:
    with fs.open("lines.zip") as opened, zipfile.ZipFile(opened) as archive:
        assert archive.testzip() is None
        assert archive.read("lines.txt") == text(30_000)
        assert archive.read("noise.bin") == noise(10_000)


def test_holds_a_tar_archive(fs: s3archivefs.SquashFS) -> None:
    with fs.open("lines.tar.gz") as opened, tarfile.open(fileobj=opened) as archive:
        member = archive.extractfile("lines.txt")
        assert member is not None
        assert member.read() == text(30_000)


# ---- Threads, and what a read costs --------------------------------------------------------------


def test_32_threads_on_one_image_read_what_one_reads(image: Path) -> None:
    start = threading.Barrier(32)

    def read_all(number: int) -> dict[str, bytes]:
        start.wait()
        order = random.Random(number).sample(sorted(CONTENTS), len(CONTENTS))
        found = {}
        for name in order:
            with shared.open(name) as opened:
                found[name] = b"".join(iter(partial(opened.read, 50_000 + number), b""))
        return found

    # A small cache, so that threads also evict what others are about to use.
    limits = s3archivefs.Limits(cache_bytes=64 << 10)
    with s3archivefs.open(image, limits=limits) as shared, ThreadPoolExecutor(32) as pool:
        for found in pool.map(read_all, range(32)):
            assert found == CONTENTS


@pytest.fixture(scope="module")
def device(image: Path) -> CountingDevice:
    return CountingDevice(image.read_bytes())


def test_a_run_of_blocks_is_one_read(device: CountingDevice) -> None:
    with s3archivefs.open(device) as counted, counted.open("raw blocks") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.read(1)  # the tail: what is read from here on are the blocks
        device.forget()
        opened.seek(0)
        assert opened.read(2 * BLOCK) == CONTENTS["raw blocks"][: 2 * BLOCK]
        assert [length for _, length in device.reads] == [2 * BLOCK]


def test_blocks_around_holes_are_one_read(device: CountingDevice) -> None:
    content = CONTENTS["mixed"]
    with s3archivefs.open(device) as counted, counted.open("mixed") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.read(1)
        device.forget()
        opened.seek(10)
        length = len(content) // BLOCK * BLOCK - 20
        assert opened.read(length) == content[10 : 10 + length]
        assert len(device.reads) == 1


def test_pieces_are_blocks_which_nobody_joins(fs: s3archivefs.SquashFS) -> None:
    content = CONTENTS["mixed"]
    with fs.open("mixed") as opened:
        opened.seek(10)
        pieces = list(opened.pieces(3 * BLOCK + 1))
        assert [len(piece) for piece in pieces] == [BLOCK - 10, BLOCK, BLOCK, 1]
        assert b"".join(pieces) == content[10 : 3 * BLOCK + 1]
        assert opened.tell() == 3 * BLOCK + 1
        assert list(opened.pieces(BLOCK)) == []  # all of them are behind
        assert b"".join(opened.pieces(1 << 40)) == content[3 * BLOCK + 1 :]
        assert list(opened.pieces(1 << 40)) == []


def test_no_read_takes_more_than_4_mib(tmp_path: Path) -> None:
    content = noise(9 << 20)
    path = make_image(tmp_path, (file("large", content),), "-b", "128K", "-noD", "-noF")
    device = CountingDevice(path.read_bytes())
    with s3archivefs.open(device) as fs:
        assert fs.read_bytes("large") == content
    assert sorted(length for _, length in device.reads)[-2:] == [4 << 20, 4 << 20]


def test_one_byte_costs_one_block(device: CountingDevice) -> None:
    with s3archivefs.open(device) as counted, counted.open("large") as opened:
        opened.read(1)
        device.forget()
        opened.seek(-BLOCK, os.SEEK_END)
        assert opened.read(1) == CONTENTS["large"][-BLOCK:][:1]
        assert len(device.reads) == 1
        assert device.total <= BLOCK
        assert opened.read(1) == CONTENTS["large"][-BLOCK:][1:2]
        assert len(device.reads) == 1  # the block is kept


def test_holes_cost_no_reads(device: CountingDevice) -> None:
    with s3archivefs.open(device) as counted, counted.open("hole everywhere") as opened:
        opened.read(1)
        device.forget()
        opened.seek(0)
        assert opened.read(4 * BLOCK) == HOLE * 4
        assert device.reads == []
