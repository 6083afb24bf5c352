from __future__ import annotations

import gzip
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import BlockDevice, BytesDevice, FileDevice, OffsetDevice, UnsupportedError
from s3archivefs.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 40


class Slow(io.BytesIO):
    """A file that returns less than was asked for, as sockets and pipes do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "content"
    found.write_bytes(CONTENT)
    return found


DEVICES: dict[str, Callable[[Path], BlockDevice]] = {
    "bytes": lambda _: BytesDevice(CONTENT),
    "path": FileDevice,
    "memory file": lambda _: FileDevice(io.BytesIO(CONTENT)),
    "short reads": lambda _: FileDevice(Slow(CONTENT)),
    "offset": lambda _: OffsetDevice(BytesDevice(b"before" + CONTENT), 6),
}


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, path: Path) -> Iterator[BlockDevice]:
    found = DEVICES[request.param](path)
    yield found
    getattr(found, "close", lambda: None)()


def test_device_has_the_size_of_its_content(device: BlockDevice) -> None:
    assert device.size == len(CONTENT)
    assert isinstance(device, BlockDevice)


@given(start=st.integers(0, len(CONTENT)), length=st.integers(0, len(CONTENT)))
@pytest.mark.parametrize("name", DEVICES)
def test_read_gives_the_bytes_at_the_offset(
    name: str, start: int, length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "device-content"
    path.write_bytes(CONTENT)
    device = DEVICES[name](path)
    length = min(length, len(CONTENT) - start)
    assert device.pread(start, length) == CONTENT[start : start + length]
    getattr(device, "close", lambda: None)()


def test_threads_read_side_by_side(device: BlockDevice) -> None:
    def read(start: int) -> bool:
        return device.pread(start, 100) == CONTENT[start : start + 100]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(0, len(CONTENT) - 100, 13)))


def test_wrapper_that_hands_out_another_files_descriptor_is_read_by_its_own_methods(
    tmp_path: Path,
) -> None:
    with gzip.open(tmp_path / "packed", "wb") as packed:
        packed.write(CONTENT)
    with gzip.open(tmp_path / "packed") as unpacked:
        device = FileDevice(unpacked)  # type: ignore[arg-type]  # a BinaryIO in all but name
        assert device.size == len(CONTENT)
        assert device.pread(5000, 50) == CONTENT[5000:5050]


def test_closing_closes_what_was_opened_and_nothing_of_the_callers(path: Path) -> None:
    opened = FileDevice(path)
    opened.close()
    opened.close()
    with pytest.raises(ValueError, match="closed"):
        opened.pread(0, 1)
    with path.open("rb") as given_file:
        FileDevice(given_file).close()
        assert not given_file.closed


def test_a_read_that_the_closing_overtakes_reads_no_other_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FileDevice(path)
    used: list[int] = []
    pread = os.pread
    (tmp_path / "other").write_bytes(b"other" * 100)

    def overtaken(descriptor: int, length: int, offset: int) -> bytes:
        used.append(descriptor)
        device.close()
        with (tmp_path / "other").open("rb") as other:  # takes the first number that is free
            assert other.fileno() != descriptor
            return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", overtaken)
    assert device.pread(5, 50) == CONTENT[5:55]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(used[0])
    with pytest.raises(ValueError, match="closed"):
        device.pread(5, 50)


def test_fifo_is_refused_at_once_and_closed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 -- no Path
    with pytest.raises(OSError, match="not seekable") as caught:
        FileDevice(fifo)
    assert caught.value.filename == str(fifo)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_device_closed_in_the_midst_of_a_read_is_closed() -> None:
    class Closing(Slow):
        def read(self, size: int | None = -1, /) -> bytes:
            opened.close()
            return super().read(size)

    opened = FileDevice(Closing(CONTENT))
    with pytest.raises(ValueError, match="closed"):
        opened.pread(0, 20)


def test_a_file_of_the_callers_is_used_no_more_once_its_device_is_closed() -> None:
    closed = False

    class Callers(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if not closing.ident:
                closing.start()
                waiting.start()
                closing.join(0.1)  # in vain
                assert not closed
            return super().read(size)

        def seek(self, offset: int, whence: int = 0, /) -> int:
            assert not closed
            return super().seek(offset, whence)

    def close() -> None:
        nonlocal closed
        device.close()
        closed = True

    def read() -> None:
        try:
            results.append(device.pread(3, 4))
        except (ValueError, AssertionError) as error:
            results.append(str(error))

    device = FileDevice(Callers(CONTENT))
    results: list[bytes | str] = []
    closing, waiting = threading.Thread(target=close), threading.Thread(target=read)
    assert device.pread(1, 2) == CONTENT[1:3]
    closing.join()
    waiting.join()
    assert results in ([CONTENT[3:7]], ["read from a closed image"])


@pytest.mark.parametrize("offset", [-1, len(CONTENT) + 1])
def test_offset_outside_the_source_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="outside the source"):
        OffsetDevice(BytesDevice(CONTENT), offset)


def test_bytes_and_numbers_are_no_sources() -> None:
    with pytest.raises(TypeError, match="BytesDevice"):
        open_source(bytearray(CONTENT))
    with pytest.raises(TypeError, match="not int"):
        open_source(3)


def test_url_of_an_unknown_scheme_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="no installed package opens gopher://"):
        open_source("gopher://host/file")


# ---- At hand -------------------------------------------------------------------------------------


def test_what_is_in_memory_is_at_hand(tmp_path: Path) -> None:
    content = bytes(range(256)) * 64
    path = tmp_path / "file"
    path.write_bytes(content)
    assert BytesDevice(content).pread_at_hand(5, 300) == content[5:305]
    assert OffsetDevice(BytesDevice(content), 100).pread_at_hand(5, 300) == content[105:405]
    device = FileDevice(path)
    device.pread(0, len(content))
    # Where the file system cannot tell, nothing is.
    assert device.pread_at_hand(5, 300) in {content[5:305], None}
    device.close()
    assert device.pread_at_hand(5, 300) is None


def test_of_a_file_object_and_of_other_devices_nothing_is_at_hand() -> None:
    class Minimal:
        size = 3

        def pread(self, offset: int, length: int) -> bytes:
            raise AssertionError

    assert FileDevice(io.BytesIO(b"abc")).pread_at_hand(0, 3) is None
    assert OffsetDevice(Minimal(), 1).pread_at_hand(0, 2) is None
