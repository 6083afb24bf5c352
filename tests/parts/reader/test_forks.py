"""A forked child can read, whatever its parent's threads were doing."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import file, symlink
from s3archivefs.cache import WeightedCache, kept_property
from s3archivefs.content import Content
from tests.support.images.fixtures import make_image
from tests.support.processes.forked import Child, Gate, amid, in_child

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 4096
FILES = {f"/{number}": text(number * 777) for number in range(1, 40)} | {"/big": noise(40 * BLOCK)}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = [file(name[1:], content) for name, content in FILES.items()]
    tree.append(symlink("link", "big"))
    return make_image(tmp_path_factory.mktemp("forks"), tuple(tree), "-b", str(BLOCK))


# ---- Caches --------------------------------------------------------------------------------------


def test_a_child_loads_what_a_thread_of_its_parent_was_loading() -> None:
    cache: WeightedCache[bytes] = WeightedCache(9, len)

    def load(gate: Gate) -> bytes:
        gate.wait()
        return b"parent"

    with amid(lambda gate: cache.get("key", lambda: load(gate))):
        assert in_child(lambda: cache.get("key", lambda: b"child")) == b"child"
    assert cache.peek("key") == b"parent"


def test_a_child_uses_a_cache_that_a_thread_of_its_parent_had_locked() -> None:
    gates: list[Gate] = []

    def weigh(value: bytes) -> int:
        if gates:
            gates[0].wait()  # amid the change of the cache, under its lock
        return len(value)

    cache: WeightedCache[bytes] = WeightedCache(4, weigh)
    cache.put("old", b"old")

    def put(gate: Gate) -> None:
        gates.append(gate)
        cache.put("new", b"new")

    def uses_it() -> list[bytes | None]:
        gates.clear()
        for key in range(9):
            cache.put(key, b"xx")
        return [cache.peek(key) for key in ("old", "new", 6, 7, 8)]

    with amid(put):
        assert in_child(uses_it) == [None, None, None, b"xx", b"xx"]
    gates.clear()
    assert cache.peek("new") == b"new"


def test_a_child_keeps_what_is_cached() -> None:
    cache: WeightedCache[bytes] = WeightedCache(9, len)
    cache.put("key", b"value")
    assert in_child(lambda: cache.peek("key")) == b"value"


def test_a_load_that_forks_ends_in_both_processes() -> None:
    cache: WeightedCache[bytes] = WeightedCache(9, len)
    children = []

    def load() -> bytes:
        children.append(in_child(lambda: cache.get("key", lambda: b"child")))
        return b"parent"

    assert cache.get("key", load) == b"parent"
    assert children == [b"child"]


def test_an_attribute_that_a_thread_makes_holds_up_neither_a_child_nor_another_object() -> None:
    class Table:
        def __init__(self, gate: Gate | None) -> None:
            self._gate = gate

        @kept_property
        def rows(self) -> int:
            if self._gate is not None:
                self._gate.wait()
            return 7

    def makes(gate: Gate) -> int:
        return Table(gate).rows

    with amid(makes):
        assert Table(None).rows == 7
        assert in_child(lambda: Table(None).rows) == 7


# ---- Devices -------------------------------------------------------------------------------------


class SlowFile(io.BytesIO):
    """A file object whose reads come to a gate."""

    gate: Gate | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.gate is not None:
            self.gate.wait()
        return super().read(size)


def test_a_child_reads_through_a_file_object_that_a_thread_of_its_parent_was_reading() -> None:
    source = SlowFile(b"0123456789")
    device = s3archivefs.FileDevice(source)

    def read(gate: Gate) -> None:
        source.gate = gate
        assert device.pread(2, 3) == b"234"

    def reads() -> bytes:
        source.gate = None
        return device.pread(4, 3)

    with amid(read):
        assert in_child(reads) == b"456"


def test_a_child_refuses_a_file_object_whose_position_is_its_parents_too(tmp_path: Path) -> None:
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(b"0123456789"))
    with gzip.open(packed) as opened:
        device = s3archivefs.FileDevice(cast("BinaryIO", opened))

        def refuses() -> str:
            with pytest.raises(io.UnsupportedOperation) as caught:
                device.pread(0, 1)
            return str(caught.value)

        assert in_child(refuses) == (
            "a forked child shares the position of its parent's GzipFile: open the image anew, or"
            " give its path"
        )
        assert device.pread(3, 4) == b"3456"


def test_a_child_reads_a_plain_file_beside_its_parent(path: Path) -> None:
    content = path.read_bytes()
    with path.open("rb") as opened:
        device = s3archivefs.FileDevice(cast("BinaryIO", opened))
        child = Child(lambda: [device.pread(at, 7) for at in range(0, 4000, 7)])
        pieces = [content[at : at + 7] for at in range(0, 4000, 7)]
        assert [device.pread(at, 7) for at in range(0, 4000, 7)] == pieces
        assert child.result() == pieces


# ---- Images --------------------------------------------------------------------------------------


class GatedDevice(s3archivefs.BytesDevice):
    """Reads come to a gate in the process that set it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.gate: Gate | None = None
        self._process = os.getpid()

    def pread(self, offset: int, length: int) -> bytes:
        if self.gate is not None and os.getpid() == self._process:
            self.gate.wait()
        return super().pread(offset, length)


WORK: dict[str, Callable[[s3archivefs.SquashFS], object]] = {
    "stat": lambda fs: fs.stat("/7"),
    "listdir": lambda fs: fs.listdir("/"),
    "readlink": lambda fs: fs.readlink("/link"),
    "small file": lambda fs: fs.read_bytes("/3"),
    "blocks": lambda fs: fs.read_bytes("/big"),
    "walk": lambda fs: list(fs.walk("/")),
    "verify": lambda fs: list(fs.verify()),
    "export table": lambda fs: fs.stat_inode(3),
}


@pytest.mark.parametrize("opened_by", ["parent", "child"])
@pytest.mark.parametrize("name", WORK)
def test_a_child_reads_on_while_a_thread_of_its_parent_waits_for_the_device(
    name: str, opened_by: str, path: Path
) -> None:
    device = GatedDevice(path.read_bytes())
    work = WORK[name]
    with s3archivefs.open(path) as fs:
        expected = work(fs)
    with s3archivefs.open(device) as fs:

        def read(gate: Gate) -> None:
            device.gate = gate
            assert work(fs) == expected

        def reads() -> bool:
            image = fs if opened_by == "parent" else s3archivefs.open(device)
            return work(image) == expected

        with amid(read):
            assert in_child(reads)


def test_a_child_reads_the_file_that_a_thread_of_its_parent_was_reading(path: Path) -> None:
    device = GatedDevice(path.read_bytes())
    with s3archivefs.open(device) as fs, fs.open("/big") as opened:
        opened.readline()
        opened.seek(20 * BLOCK + 1)

        def read(gate: Gate) -> None:
            device.gate = gate
            opened.peek()

        def reads() -> tuple[int, bytes]:
            return opened.tell(), opened.readline() + opened.read()

        with amid(read):
            assert in_child(reads) == (20 * BLOCK + 1, FILES["/big"][20 * BLOCK + 1 :])
        assert opened.read() == FILES["/big"][20 * BLOCK + 1 :]


class HeldContent(Content):
    """A content whose file's methods come to a gate where they ask for what `held` names."""

    held = ""
    gate: Gate | None = None

    def __getattribute__(self, name: str) -> object:
        if name == HeldContent.held and threading.current_thread() is not threading.main_thread():
            assert HeldContent.gate is not None
            HeldContent.gate.wait()
        return super().__getattribute__(name)


AMID: dict[str, tuple[str, Callable[[Any], object]]] = {
    "seek": ("size", lambda opened: opened.seek(0, os.SEEK_END)),
    "close": ("close", lambda opened: opened.close()),
    "line": ("left_of_block", lambda opened: opened.readline()),
}


@pytest.mark.parametrize("mode", ["rb", "r"])
@pytest.mark.parametrize("name", AMID)
def test_a_child_uses_and_closes_a_file_that_a_thread_of_its_parent_is_amid(
    name: str, mode: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, work = AMID[name]
    monkeypatch.setattr("s3archivefs.opening.Content", HeldContent)
    monkeypatch.setattr(HeldContent, "held", held)
    fs = s3archivefs.open(path)
    opened: Any = fs.open("/7", mode)

    def amid_work(gate: Gate) -> None:
        HeldContent.gate = gate
        work(opened)

    def uses_and_closes() -> object:
        read = None if opened.closed else opened.seek(0) or opened.read()
        opened.close()
        fs.close()
        return read

    with amid(amid_work):
        read = in_child(uses_and_closes)
    content = FILES["/7"]
    if name == "close":
        assert read is None
        assert opened.closed
    else:
        assert read == (content if mode == "rb" else content.decode())
    fs.close()


def test_children_forked_among_threads_that_use_open_files_close_them(path: Path) -> None:
    stop = threading.Event()

    def used_until_stopped(fs: s3archivefs.SquashFS, opened: s3archivefs.SquashFile) -> None:
        while not stop.is_set():
            opened.seek(0)
            opened.readline()
            opened.seek(20 * BLOCK)
            fs.open("/7").close()

    with s3archivefs.open(path) as fs, ThreadPoolExecutor(2) as pool:
        files = [fs.open("/big") for _ in range(2)]

        def uses_and_closes() -> bytes:
            for file in files:
                file.seek(0)
            lines = [file.readline() for file in files]
            fs.close()
            return lines[0]

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        threads = [pool.submit(used_until_stopped, fs, opened) for opened in files]
        try:
            children = [Child(uses_and_closes) for _ in range(25)]
        finally:
            stop.set()
            sys.setswitchinterval(before)
        for thread in threads:
            thread.result()
        line, _, _ = FILES["/big"].partition(b"\n")
        for child in children:
            assert child.result() == line + b"\n"


def test_children_forked_among_reading_threads_read_on(path: Path) -> None:
    stop = threading.Event()

    def reads(fs: s3archivefs.SquashFS) -> int:
        return sum(fs.read_bytes(name) == content for name, content in FILES.items())

    with (
        s3archivefs.open(path, limits=s3archivefs.Limits(cache_bytes=1 << 14)) as fs,
        ThreadPoolExecutor(3) as pool,
    ):

        def read_until_stopped() -> None:
            for name in cycle(FILES):
                assert fs.read_bytes(name) == FILES[name]
                if stop.is_set():
                    return

        threads = [pool.submit(read_until_stopped) for _ in range(3)]
        try:
            children = [Child(lambda: reads(fs)) for _ in range(10)]
        finally:
            stop.set()
        for thread in threads:
            thread.result()
        for child in children:
            assert child.result() == len(FILES)
