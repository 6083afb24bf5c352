"""The sources that an image can be opened by, and the errors for others."""

from __future__ import annotations

import array
import io
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import pytest

import s3archivefs
from fixtures.tree import file
from tests.support.images.fixtures import make_image

CONTENT = b"content of the file\n"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("sources"), (file("a", CONTENT),))


class Named:
    """Some other path-like object."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> bytes:
        return bytes(self._path)


class WithoutTell:
    """A file object that says where it stands by `seek` alone."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.read, self.seek = self._file.read, self._file.seek


def opened(stack: ExitStack, path: Path) -> io.BufferedReader:
    return stack.enter_context(path.open("rb"))


def mapped(stack: ExitStack, path: Path) -> mmap.mmap:
    descriptor = opened(stack, path).fileno()
    return stack.enter_context(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


TAKEN: dict[str, Callable[[ExitStack, Path], object]] = {
    "str": lambda _, path: str(path),
    "bytes": lambda _, path: bytes(path),
    "Path": lambda _, path: path,
    "PurePosixPath": lambda _, path: PurePosixPath(path),
    "another PathLike": lambda _, path: Named(path),
    "file": opened,
    "file without a buffer": lambda stack, path: stack.enter_context(path.open("rb", 0)),
    "BytesIO": lambda _, path: io.BytesIO(path.read_bytes()),
    "file without tell": lambda _, path: WithoutTell(path.read_bytes()),
    "mmap": mapped,
    "BytesDevice": lambda _, path: s3archivefs.BytesDevice(path.read_bytes()),
    "BytesDevice of a bytearray": lambda _, path: s3archivefs.BytesDevice(
        bytearray(path.read_bytes())
    ),
    "BytesDevice of an array": lambda _, path: s3archivefs.BytesDevice(
        array.array("I", path.read_bytes())
    ),
    "FileDevice": lambda stack, path: s3archivefs.FileDevice(opened(stack, path)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_source_is_taken(name: str, path: Path) -> None:
    with ExitStack() as stack:
        source = TAKEN[name](stack, path)
        assert s3archivefs.is_squashfs(source)
        with s3archivefs.open(source) as fs:
            assert fs.read_bytes("a") == CONTENT


def test_closing_leaves_the_callers_mapping_open_and_free_to_be_closed(path: Path) -> None:
    with ExitStack() as stack:
        mapping = mapped(stack, path)
        fs = s3archivefs.open(mapping)
        fs.close()
        assert not mapping.closed
        other = s3archivefs.open(mapping)
        mapping.close()
        with pytest.raises(ValueError, match="mmap closed"):
            other.read_bytes("a")


TAKEN_SOURCES = "an image is a path, a URL, a seekable binary file or a block device"
NOT_TAKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "bytearray": (
        lambda path: bytearray(path.read_bytes()),
        f"{TAKEN_SOURCES}, not bytearray; wrap content in BytesDevice",
    ),
    "memoryview": (
        lambda path: memoryview(path.read_bytes()),
        f"{TAKEN_SOURCES}, not memoryview; wrap content in BytesDevice",
    ),
    "content": (
        lambda path: path.read_bytes(),
        f"{TAKEN_SOURCES}; bytes are taken for a path: wrap content in BytesDevice",
    ),
    "long content": (
        lambda _: b"hsqs" * 2000,
        f"{TAKEN_SOURCES}; bytes are taken for a path: wrap content in BytesDevice",
    ),
    "None": (lambda _: None, f"{TAKEN_SOURCES}, not NoneType; wrap content in BytesDevice"),
    "descriptor": (lambda _: 0, f"{TAKEN_SOURCES}, not int; wrap content in BytesDevice"),
    "class": (lambda _: s3archivefs.BytesDevice, f"{TAKEN_SOURCES}, not the class BytesDevice"),
    "text": (
        lambda _: io.StringIO("text"),
        "the file is open as text; open it in binary mode: 'rb'",
    ),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_other_source_is_told_what_is_taken(name: str, path: Path) -> None:
    make, message = NOT_TAKEN[name]
    for take in (s3archivefs.open, s3archivefs.is_squashfs):
        with pytest.raises(TypeError) as caught:
            take(make(path))
        assert str(caught.value) == message


def test_path_in_an_image_names_no_local_file(path: Path) -> None:
    with s3archivefs.open(path) as fs:
        with pytest.raises(TypeError) as caught:
            s3archivefs.open(fs.path("/a"))
        assert str(caught.value) == (
            f"{TAKEN_SOURCES}, not Path; which names no local file: give what its open('rb')"
            " returns"
        )
        with pytest.raises(TypeError):
            open(fs.path(str(path)))  # type: ignore[call-overload]  # noqa: PTH123, SIM115 -- refused


def test_image_within_an_image_opens(path: Path, tmp_path: Path) -> None:
    outer = make_image(tmp_path, (file("inner.sqfs", path.read_bytes()),))
    with (
        s3archivefs.open(outer) as fs,
        fs.path("/inner.sqfs").open("rb") as inner,
        s3archivefs.open(inner) as within,
    ):
        assert within.read_bytes("a") == CONTENT


def test_pipe_is_told_to_become_a_file() -> None:
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb") as pipe, os.fdopen(writes, "wb"):
        for take in (s3archivefs.open, s3archivefs.is_squashfs):
            with pytest.raises(OSError, match=r"not seekable, like a pipe.* BytesDevice") as caught:
                take(pipe)
            assert "\n" not in str(caught.value)
    one, two = socket.socketpair()
    with one, two, one.makefile("rb") as stream, pytest.raises(OSError, match="not seekable"):
        s3archivefs.open(stream)


def test_standard_input_from_a_pipe_is_told_the_same(path: Path) -> None:
    program = "import sys, s3archivefs; s3archivefs.open(sys.stdin.buffer)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=path.read_bytes(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"not seekable" in done.stderr.splitlines()[-1]


def test_directory_is_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        s3archivefs.open(tmp_path)
    assert not s3archivefs.is_squashfs(tmp_path)


ELF = b"\x7fELF\x02\x01\x01\x00"
HOLDERS = {
    "ELF": (ELF + bytes(4000), "ELF program"),
    "AppImage": (ELF + b"AI\x02" + bytes(4000), "--appimage-offset"),
    "SIF": (
        b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\x0001\0" + bytes(4000),
        "apptainer sif list",
    ),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_what_holds_an_image_further_in_is_told_of_the_offset(name: str, path: Path) -> None:
    before, hint = HOLDERS[name]
    device = s3archivefs.BytesDevice(before + path.read_bytes())
    with pytest.raises(s3archivefs.NotSquashfsError) as caught:
        s3archivefs.open(device)
    assert hint in str(caught.value)
    assert "say at which byte it starts, as `offset`" in str(caught.value)
    with s3archivefs.open(device, offset=len(before)) as fs:
        assert fs.read_bytes("a") == CONTENT


# ---- After closing -------------------------------------------------------------------------------


def test_what_an_image_handed_out_ends_with_it(path: Path) -> None:
    fs = s3archivefs.open(path)
    entry = next(fs.scandir("/"))
    going: list[Iterator[object]] = [fs.scandir("/"), fs.walk("/"), fs.path("/").walk()]
    for each in going:
        next(each)
    fs.close()
    for each in going:
        with pytest.raises(ValueError, match="the image is closed"):
            next(each)
    with pytest.raises(ValueError, match="the image is closed"):
        entry.stat()
