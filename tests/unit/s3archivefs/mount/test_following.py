"""Archives that are replaced while they are mounted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs import BytesDevice, SquashFS
from s3archivefs.mount.following import Follower
from s3archivefs.mount.operations import ROOT_NODE, Operations
from tests.support.images.fixtures import FIXTURES


class Told:
    """What a session was told to have the kernel forget."""

    def __init__(self) -> None:
        self.names: list[tuple[int, bytes]] = []
        self.nodes: list[int] = []
        self.is_told = threading.Event()

    def forget_name(self, directory: int, name: bytes) -> None:
        self.names.append((directory, name))

    def forget_node(self, node: int) -> None:
        self.nodes.append(node)
        self.is_told.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    shutil.copy(FIXTURES["gzip"].image, tmp_path / "a.sqfs")
    return tmp_path / "a.sqfs"


def put(image: Path, at: Path) -> None:
    """Replace a file as a careful program does."""
    shutil.copy(image, at.with_suffix(".new"))
    at.with_suffix(".new").replace(at)


def made(path: Path, lines: list[str]) -> tuple[Operations, Follower]:
    operations = Operations({b"": s3archivefs.open(path)})
    return operations, Follower(operations, s3archivefs.open, lines.append, 60)


def names(operations: Operations) -> list[str]:
    return [name.decode() for each in operations.listed(ROOT_NODE) for name in each.names][2:]


def test_the_new_archive_is_shown_and_the_kernel_told(path: Path) -> None:
    lines: list[str] = []
    told = Told()
    operations, follower = made(path, lines)
    (old,) = operations.images
    before = names(operations)
    follower.follow(told)
    assert (operations.images, lines, told.names) == ([old], [], [])
    put(FIXTURES["hard-links"].image, path)
    follower.follow(told)
    assert names(operations) != before
    assert {*told.names} == {(ROOT_NODE, n.encode()) for n in before + names(operations)}
    assert told.nodes == [ROOT_NODE]
    assert lines == [f"{path}: the archive was replaced, and the new one is shown"]
    assert old.exists("/block.txt")  # a read in flight may still need it
    follower.follow(told)
    assert old.closed
    follower.close()
    assert all(image.closed for image in operations.images)


@pytest.mark.parametrize("ending", ["damaged", "missing"])
def test_the_old_archive_stays_until_there_is_a_sound_one(path: Path, ending: str) -> None:
    lines: list[str] = []
    told = Told()
    operations, follower = made(path, lines)
    before = names(operations)
    put(Path(__file__), path)
    if ending == "missing":
        path.unlink()
    follower.follow(told)
    assert names(operations) == before
    assert told.names == []
    assert str(path) in lines[0]
    follower.follow(told)
    assert len(lines) == 1  # until something else is wrong, or nothing
    put(FIXTURES["hard-links"].image, path)
    follower.follow(told)
    assert names(operations) != before
    follower.close()


class Versioned(BytesDevice):
    """A device that knows its version."""

    def __init__(self, data: bytes, identity: str) -> None:
        super().__init__(data)
        self.identity = identity


def test_a_device_tells_versions_apart_that_look_alike() -> None:
    data = FIXTURES["gzip"].image.read_bytes()
    versions: Iterator[str] = iter(["one", "two"])

    def open_image(_: str) -> SquashFS:
        return s3archivefs.open(Versioned(data, next(versions)))

    lines: list[str] = []
    operations = Operations({b"": s3archivefs.open(Versioned(data, "one"))})
    follower = Follower(operations, open_image, lines.append, 60)
    (first,) = operations.images
    follower.follow(Told())
    assert operations.images == [first]
    follower.follow(Told())
    assert operations.images != [first]
    follower.close()


class Asked(BytesDevice):
    """A device that can ask whether it is current."""

    is_now = True

    def is_current(self) -> bool:
        return self.is_now


def test_an_archive_that_is_current_is_not_opened_again() -> None:
    device = Asked(FIXTURES["gzip"].image.read_bytes())
    opened: list[str] = []

    def open_image(source: str) -> SquashFS:
        opened.append(source)
        return s3archivefs.open(FIXTURES["hard-links"].image)

    operations = Operations({b"": s3archivefs.open(device)})
    follower = Follower(operations, open_image, print, 60)
    told = Told()
    follower.follow(told)
    assert (opened, told.nodes) == ([], [])
    device.is_now = False
    follower.follow(told)
    assert (len(opened), told.nodes) == (1, [ROOT_NODE])
    follower.close()


def test_a_look_is_taken_when_it_is_asked_for(path: Path) -> None:
    lines: list[str] = []
    operations = Operations({b"": s3archivefs.open(path)})
    follower = Follower(operations, s3archivefs.open, lines.append, seconds=0.01)
    told = Told()
    put(FIXTURES["hard-links"].image, path)
    follower.look()
    follower.start(told)
    assert told.is_told.wait(60)
    follower.close()
    assert lines
    assert all(image.closed for image in operations.images)
