"""Files that `SquashFS.open` returns read as local files do."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import directory, fifo, file
from s3archivefs.content import Content
from s3archivefs.data import DataReader
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.processes.memory import growth

BLOCK = 4096
LINES = b"".join(b"line %d\n" % number + b"\n" * (number % 3) for number in range(3000))
NAIVE = "Zeile für Zeile\r\n日本\rend\n\n".encode() * 700
CONTENTS = {
    "lines": LINES,
    "noise": noise(9 * BLOCK + 77),
    "holes": noise(BLOCK) + bytes(3 * BLOCK) + b"\nend",
    "small": b"one\ntwo\nthree",
    "empty": b"",
    "text": NAIVE,
    "large": noise(200_000),
}
LIMITS = s3archivefs.Limits(read_all_bytes=1 << 18)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tuple(file(name, content) for name, content in CONTENTS.items())
    tree += (directory("directory"), fifo("fifo"))
    return make_image(tmp_path_factory.mktemp("file-object"), tree, "-b", str(BLOCK))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files on disk."""
    place = tmp_path_factory.mktemp("local")
    for name, content in CONTENTS.items():
        (place / name).write_bytes(content)
    return place


@pytest.fixture(scope="module")
def fs(path: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(path, limits=LIMITS) as opened:
        yield opened


# ---- As a local file -----------------------------------------------------------------------------

SIZES = st.one_of(
    st.integers(-1, 60), st.sampled_from([4095, 4096, 4097, 8192, 65536, 65537, 10**6])
)
STEPS: st.SearchStrategy[tuple[str, int]] = st.one_of(
    st.tuples(
        st.sampled_from(
            ["read", "readline", "lines", "readlines", "readinto", "peek", "next", "pieces"]
        ),
        SIZES,
    ),
    st.tuples(st.sampled_from(["seek", "forward", "from the end"]), st.integers(-5000, 50_000)),
    st.tuples(st.sampled_from(["tell", "read1", "readinto1"]), SIZES),
)


def does(stream: Any, step: str, number: int) -> object:  # noqa: ANN401 -- either kind of file
    """What one step gives, or the kind of its error."""
    size = abs(number)
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: stream.read(number),
        "readline": lambda: stream.readline(number),
        "lines": lambda: list(islice(stream, size % 7)),
        "readlines": lambda: stream.readlines(size),
        "readinto": lambda: filled(stream.readinto, size),
        "next": lambda: next(stream, None),
        "pieces": lambda: all_pieces(stream, size),
        "seek": lambda: stream.seek(number),
        "forward": lambda: stream.seek(number, 1),
        "from the end": lambda: stream.seek(-number, 2),
        "tell": stream.tell,
        # How much of it comes is the buffer's to say: it is the content's, and not nothing.
        "peek": lambda: stream.peek(size)[:1],
        "read1": lambda: some(stream, stream.read1(number), number),
        "readinto1": lambda: some(stream, filled(stream.readinto1, size), size),
    }
    try:
        return calls[step]()
    except (ValueError, OSError):
        return "refused"


def filled(readinto: Callable[[bytearray], int], size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: readinto(buffer)])


def all_pieces(stream: Any, size: int) -> bytes:  # noqa: ANN401 -- likewise
    if isinstance(stream, s3archivefs.SquashFile):
        return b"".join(stream.pieces(stream.tell() + size))
    content: bytes = stream.read(size)
    return content


def some(stream: io.BufferedIOBase, piece: bytes, size: int) -> tuple[bool, int]:
    """Whether a piece is what stands before the position; back to where it began."""
    begin = stream.tell() - len(piece)
    assert size < 0 or len(piece) <= size
    stream.seek(begin)
    assert stream.read(len(piece)) == piece
    stream.seek(begin)
    return bool(piece), begin


@pytest.mark.property
@given(name=st.sampled_from(sorted(CONTENTS)), steps=st.lists(STEPS, max_size=12))
def test_any_steps_give_what_a_local_file_gives(
    fs: s3archivefs.SquashFS, local: Path, name: str, steps: list[tuple[str, int]]
) -> None:
    with fs.open(f"/{name}") as ours, (local / name).open("rb") as theirs:
        for step, number in steps:
            expected = does(theirs, step, number)
            assert does(ours, step, number) == expected, (step, number)
            assert ours.tell() == theirs.tell()
        assert ours.read() == theirs.read()


def test_a_file_is_not_detached_from_its_content(fs: s3archivefs.SquashFS) -> None:
    with fs.open("/small") as opened:
        with pytest.raises(io.UnsupportedOperation, match="detach"):
            opened.detach()
        assert opened.read() == CONTENTS["small"]


def test_only_regular_files_open(fs: s3archivefs.SquashFS) -> None:
    for mode in ("r", "rb"):
        with pytest.raises(IsADirectoryError):
            fs.open("/directory", mode)
        with pytest.raises(OSError, match="'/fifo'"):
            fs.open("/fifo", mode)
        with pytest.raises(FileNotFoundError):
            fs.open("/missing", mode)


# ---- What it costs -------------------------------------------------------------------------------


def python_calls(work: Callable[[], object]) -> int:
    """Functions written in Python that the work calls."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_lines_cost_no_more_python_than_their_bytes(
    fs: s3archivefs.SquashFS, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    block = DataReader.block

    def noted(*arguments: Any) -> bytes:  # noqa: ANN401 -- passed on
        decoded.append(arguments)
        return block(*arguments)

    monkeypatch.setattr(DataReader, "block", noted)

    def reads(how: Callable[[Any], object]) -> Callable[[], object]:
        def work() -> None:
            with fs.open("/lines", mode) as opened:
                how(opened)

        return work

    lines = LINES.count(b"\n")
    for how in (
        list,
        lambda opened: opened.readlines(),
        lambda opened: list(iter(opened.readline, opened.readline(0))),
    ):
        decoded.clear()
        calls = python_calls(reads(how))
        assert calls < lines / 2
        assert len(decoded) <= len(LINES) // BLOCK + 2


def test_small_read_asks_for_no_byte_of_another_block(path: Path) -> None:
    device = CountingDevice(path.read_bytes())
    with s3archivefs.open(device) as fs, fs.open("/noise") as opened:
        opened.read(1)  # its block list too
        for position in (5 * BLOCK, 3 * BLOCK + 4000, 7 * BLOCK - 1):
            device.forget()
            opened.seek(position)
            assert opened.read(1) == CONTENTS["noise"][position : position + 1]
            assert len(device.reads) == 1
            assert device.reads[0][1] <= BLOCK


@pytest.mark.parametrize("size", [10, BLOCK, 3 * BLOCK])
def test_read_over_the_end_of_a_block_is_one_read_of_the_device(path: Path, size: int) -> None:
    device = CountingDevice(path.read_bytes())
    with s3archivefs.open(device) as fs, fs.open("/noise") as opened:
        opened.read(1)
        device.forget()
        opened.seek(3 * BLOCK - 5)
        assert opened.read(size) == CONTENTS["noise"][3 * BLOCK - 5 :][:size]
        opened.seek(6 * BLOCK - 5)
        buffer = bytearray(size)
        assert opened.readinto(buffer) == size
        assert buffer == CONTENTS["noise"][6 * BLOCK - 5 :][:size]
        assert len(device.reads) <= 2


def test_read_behind_lines_goes_on_where_the_buffer_ends(
    fs: s3archivefs.SquashFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    pieces = Content.pieces

    def noted(self: Content, start: int, stop: int) -> Iterator[bytes | memoryview]:
        asked.append((start, stop))
        return pieces(self, start, stop)

    monkeypatch.setattr(Content, "pieces", noted)
    with fs.open("/lines") as opened:
        opened.readline()
        opened.read(3 * BLOCK)
        opened.read()
    assert [start for start, _ in asked] == [0, *(stop for _, stop in asked[:-1])]


def test_small_reads_fill_the_buffer_only_where_they_follow_each_other(
    fs: s3archivefs.SquashFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    pieces = Content.pieces

    def noted(self: Content, start: int, stop: int) -> Iterator[bytes | memoryview]:
        asked.append(stop - start)
        return pieces(self, start, stop)

    monkeypatch.setattr(Content, "pieces", noted)
    content = CONTENTS["noise"]
    with fs.open("/noise") as opened:
        for position in range(len(content) - 99, 0, -99):
            opened.seek(position)
            assert opened.read(16) == content[position : position + 16]
            opened.seek(position)
            assert filled(opened.readinto, 16) == content[position : position + 16]
        assert set(asked) == {16}
        asked.clear()
        opened.seek(1)
        assert b"".join(iter(lambda: opened.read(16), b"")) == content[1:]
    fills = [size for size in asked if size > 16]
    assert len(fills) <= len(content) // BLOCK + 1


def test_whole_file_is_handed_out_without_a_copy(fs: s3archivefs.SquashFS) -> None:
    with fs.open("/small") as opened:
        opened.read()
        first = opened.seek(0) or opened.read()
    assert isinstance(first, bytes)
    assert first == CONTENTS["small"]


# ---- A device that fails -------------------------------------------------------------------------


class FailingDevice(s3archivefs.BytesDevice):
    """Fails once, at the read that is so many reads away."""

    left = -1

    def pread(self, offset: int, length: int) -> bytes:
        self.left -= 1
        if self.left == -1:
            raise OSError("lost")
        return super().pread(offset, length)


READS: dict[str, Callable[[Any, int], object]] = {
    "read": lambda opened, size: opened.read(size),
    "readinto": lambda opened, size: filled(opened.readinto, size),
    "peek": lambda opened, size: opened.peek(size)[:1],
    "all": lambda opened, _size: opened.read(),
}


@pytest.mark.property
@given(
    reads=st.lists(
        st.tuples(st.sampled_from(sorted(READS)), st.integers(0, 5 * BLOCK)), min_size=1, max_size=6
    ),
    name=st.sampled_from(["noise", "holes", "lines"]),
    away=st.integers(0, 5),
)
def test_a_read_that_fails_moves_nothing(
    path: Path, reads: list[tuple[str, int]], name: str, away: int
) -> None:
    device = FailingDevice(path.read_bytes())
    with (
        s3archivefs.open(device, limits=s3archivefs.Limits(cache_bytes=1 << 13)) as fs,
        fs.open(f"/{name}") as opened,
    ):
        expected = io.BufferedReader(io.BytesIO(CONTENTS[name]))
        device.left = away
        for how, size in reads:
            try:
                got = READS[how](opened, size)
            except OSError:
                assert opened.tell() == expected.tell()
                got = READS[how](opened, size)
            assert got == READS[how](expected, size)
            assert opened.tell() == expected.tell()


@pytest.mark.property
@given(away=st.integers(0, 5), start=st.integers(0, 3 * BLOCK), lines=st.integers(0, 2))
def test_pieces_that_fail_go_on_behind_those_that_came(
    path: Path, away: int, start: int, lines: int
) -> None:
    device = FailingDevice(path.read_bytes())
    with (
        s3archivefs.open(device, limits=s3archivefs.Limits(cache_bytes=1 << 13)) as fs,
        fs.open("/lines") as opened,
    ):
        opened.seek(start)
        opened.readlines(lines)  # some of what follows is buffered
        start, came = opened.tell(), b""
        device.left = away
        while opened.tell() < len(LINES):
            with suppress(OSError):
                for piece in opened.pieces(len(LINES)):
                    came += piece
                    assert opened.tell() == start + len(came)
        assert came == LINES[start:]


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_no_line_is_read_on_from_its_middle_where_its_begin_was_lost(path: Path, mode: str) -> None:
    content: Any = LINES if mode == "rb" else LINES.decode()
    expected = content.splitlines(keepends=True)
    ways: list[Callable[[Any], object]] = [
        lambda opened: opened.readline(),
        next,
        lambda opened: opened.readlines(),
        lambda opened: opened.read(10),
    ]
    for retry in ways:
        device = FailingDevice(path.read_bytes())
        with (
            s3archivefs.open(device, limits=s3archivefs.Limits(cache_bytes=0)) as fs,
            fs.open("/lines", mode) as opened,
        ):
            assert opened.readline() == expected[0]
            device.left = 1
            with pytest.raises(OSError, match="lost"):
                opened.readlines()
            for _ in range(2):
                with pytest.raises(OSError, match="'/lines' failed: seek before the next read"):
                    retry(opened)
            opened.seek(0)
            assert list(opened) == expected


# ---- Limits --------------------------------------------------------------------------------------


@pytest.fixture
def tight(path: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(path, limits=s3archivefs.Limits(read_all_bytes=9000)) as opened:
        yield opened


LONG = max(len(line) for line in CONTENTS["large"].split(b"\n")) + 1


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_line_longer_than_may_be_read_at_once_is_refused(path: Path, mode: str) -> None:
    most = 500  # shorter than the longest line
    text = {} if mode == "rb" else {"encoding": "latin-1", "newline": "\n"}
    assert most < LONG
    with s3archivefs.open(path, limits=s3archivefs.Limits(read_all_bytes=most)) as fs:
        ways: list[Callable[[Any], object]] = [
            list,
            lambda opened: [opened.readline() for _ in range(5000)],
            lambda opened: [next(opened) for _ in range(5000)],
            lambda opened: opened.readlines(),
        ]
        for way in ways:
            with (
                fs.open("/large", mode, **text) as opened,  # type: ignore[call-overload]
                pytest.raises(s3archivefs.LimitExceededError, match="read_all_bytes"),
            ):
                way(opened)
        with fs.open("/large", mode, **text) as opened:  # type: ignore[call-overload]
            assert all(len(opened.readline(80)) <= 80 for _ in range(99))


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_lines_of_a_file_larger_than_may_be_read_at_once(
    tight: s3archivefs.SquashFS, mode: str
) -> None:
    with tight.open("/lines", mode) as opened:
        lines = list(opened)
        assert lines == (LINES if mode == "rb" else LINES.decode()).splitlines(keepends=True)
        opened.seek(0)
        assert next(opened) == lines[0]
        assert opened.readline() == lines[1]
        assert opened.readlines(1) == lines[2:4]
    with tight.open("/lines", mode) as opened:
        for call in (opened.read, opened.readlines):
            with pytest.raises(s3archivefs.LimitExceededError, match="read_all_bytes"):
                call()
        assert len(opened.readlines(100)) < 30


# ---- Closing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_file_ends_with_its_image(path: Path, mode: str) -> None:
    with s3archivefs.open(path) as fs:
        opened: Any = fs.open("/lines", mode)
        going = iter(opened)
        assert next(going)
        assert opened.readline()
    assert opened.closed
    for call in (opened.read, opened.readline, opened.tell, lambda: opened.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(ValueError, match="closed"):
        next(going)
    opened.close()


def test_closing_an_image_waits_for_no_reader(path: Path) -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(s3archivefs.BytesDevice):
        slow = False

        def pread(self, offset: int, length: int) -> bytes:
            if self.slow:
                reading.set()
                assert go_on.wait(60)
            return super().pread(offset, length)

    device = Slow(path.read_bytes())
    fs = s3archivefs.open(device)
    opened = fs.open("/noise")
    with ThreadPoolExecutor(1) as pool:
        device.slow = True
        line = pool.submit(opened.readline)
        assert reading.wait(60)
        fs.close()  # with the file's lock held
        go_on.set()
        assert line.exception() is None or isinstance(line.exception(), ValueError)
    with pytest.raises(ValueError, match="closed"):
        opened.readline()


def test_a_file_whose_closing_fails_leaves_nothing_else_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_content: Content) -> None:
        raise OSError("lost")

    closed: list[s3archivefs.FileDevice] = []
    close = s3archivefs.FileDevice.close

    def noted(device: s3archivefs.FileDevice) -> None:
        closed.append(device)
        close(device)

    monkeypatch.setattr(s3archivefs.FileDevice, "close", noted)
    fs = s3archivefs.open(path)
    files = [fs.open("/lines"), fs.open("/small")]
    monkeypatch.setattr(Content, "close", fails)
    with pytest.raises(OSError, match="lost"):
        fs.close()
    assert len(closed) == 1
    assert all(file.closed for file in files)


def test_nothing_is_kept_of_files_that_are_gone(fs: s3archivefs.SquashFS) -> None:
    def read(times: int) -> None:
        for _ in range(times):
            fs.open("/small").read()

    read(9)
    assert growth(lambda: read(1000)) < 20_000
