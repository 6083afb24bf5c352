"""Extended attributes that are asked for: which are set, and what is said of those that are not."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import s3archivefs
import s3archivefs.extraction.extraction  # a user who is not root may not be able to
from fixtures.tree import Node, directory, file, symlink
from s3archivefs.extraction.folders import located
from tests.support.images import built
from tests.support.images.extracted import mode_of, tree_of
from tests.support.images.fixtures import make_image
from tests.support.processes.as_user import as_user

PAIRS = {"user.one": b"1", "user.empty": b"", "trusted.two": b"two"}
TREE: tuple[Node, ...] = (
    directory("d", mode=0o555, xattrs={"user.of": b"d"}),
    file("d/f", b"f", mode=0o444, xattrs=PAIRS),
    symlink("l", "d", xattrs={"trusted.of": b"l"}),
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_image(tmp_path_factory.mktemp("xattrs"), TREE).read_bytes()


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def extract(image: bytes, **options: object) -> list[str]:
    """Extract the image into `out`; what is said of it."""
    reported: list[str] = []
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        fs.extract("/", "out", on_error=lambda _, error: reported.append(str(error)), **options)  # type: ignore[arg-type]  # of each its own
    return reported


def test_attributes_are_set_where_they_are_asked_for(
    image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert extract(image) == []
    assert attributes(Path("out/d/f")) == {}
    assert extract(image, xattrs=True, existing="replace") == []
    assert attributes(Path("out/d/f")) == {"user.one": b"1", "user.empty": b""}
    assert attributes(Path("out/d")) == {"user.of": b"d"}


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may give a symlink attributes")
@pytest.mark.parametrize("path", ["/l/", "/l/f"])
def test_a_directory_behind_a_symlink_has_its_own(
    image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        assert fs.listxattr("/l", follow_symlinks=False) == ["trusted.of"]
        fs.extract(path, "out", xattrs=True, filter="fully-trusted")
    assert attributes(Path("out/l")) == {"user.of": b"d"}
    assert attributes(Path("out/l/f")) == PAIRS


@pytest.mark.parametrize("trust", ["data", "tar", "fully-trusted"])
def test_a_user_gets_those_of_users(image: bytes, tmp_path: Path, trust: str) -> None:
    def found() -> tuple[list[str], dict[str, bytes], dict[str, bytes]]:
        said = extract(image, xattrs=True, filter=trust)
        return said, attributes(Path("out/d")), attributes(Path("out/d/f"))

    expected = {"user.one": b"1", "user.empty": b""}
    assert as_user(tmp_path, found) == ([], {"user.of": b"d"}, expected)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may set trusted attributes")
@pytest.mark.parametrize(("trust", "is_trusted"), [("tar", False), ("fully-trusted", True)])
def test_root_gets_all_where_the_image_is_trusted(
    image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: str, *, is_trusted: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    assert extract(image, xattrs=True, filter=trust) == []
    assert ("trusted.two" in attributes(Path("out/d/f"))) is is_trusted


def test_what_a_file_system_does_not_take_is_told_and_all_else_is_made(
    image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        # Which ext4 says of a value that is longer than a block: it is no full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "setxattr", refuse)
    assert extract(image, xattrs=True) == [
        "d/f: the extended attribute user.one is not set: No space left on device",
        "d/f: the extended attribute user.empty is not set: No space left on device",
        "d: the extended attribute user.of is not set: No space left on device",
    ]
    assert tree_of(tmp_path / "out") == {"d": None, "d/f": b"f", "l": "d"}


def test_systems_without_attributes_say_so(
    image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "setxattr")
    with (
        s3archivefs.open(s3archivefs.BytesDevice(image)) as fs,
        pytest.raises(s3archivefs.UnsupportedError, match="no extended attributes"),
    ):
        fs.extract("/", tmp_path / "out", xattrs=True)


def crowd(directories: int, value: bytes, content: bytes = b"") -> bytes:
    """An image of directories, each with a file, that share an attribute."""
    pair = struct.pack("<HH", 0, 3) + b"big" + struct.pack("<I", len(value)) + value
    tree: dict[bytes, built.Node] = {
        b"d%02d" % number: built.directory(
            {b"f": built.file(content)}, extended=True, xattr=0, mode=0o775
        )
        for number in range(directories)
    }
    root = built.directory(tree, mode=0o755)
    return bytes(built.build(root, pairs=pair, sets=[(0, 1, len(pair))]))


def test_attributes_of_directories_are_read_when_they_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = 0, 0
    read = s3archivefs.SquashFS.xattr_pairs_of_node

    def reading(fs: s3archivefs.SquashFS, reference: int) -> dict[bytes, bytes]:
        nonlocal held, most
        found = read(fs, reference)
        held += len(found)
        most = max(most, held)
        return found

    def setting(*_: object, **__: object) -> None:
        nonlocal held
        held -= 1

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(s3archivefs.SquashFS, "xattr_pairs_of_node", reading)
    monkeypatch.setattr(os, "setxattr", setting)
    assert extract(crowd(30, b"value"), xattrs=True) == []
    assert (held, most) == (0, 1)


def test_a_directory_whose_attributes_are_damaged_is_reported_and_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = bytearray(crowd(1, b"value"))
    at = image.index(b"big") + 3
    image[at : at + 4] = b"\xff" * 4
    (reported,) = extract(bytes(image), xattrs=True)
    assert "xattr table" in reported
    assert tree_of(tmp_path / "out") == {"d00": None, "d00/f": b""}
    assert mode_of(tmp_path / "out" / "d00") == 0o755


AWAY = ConnectionError("store is away, try later")


class LeavingDevice(s3archivefs.BytesDevice):
    """A device that is away from the first read on that `is_last` knows."""

    def __init__(
        self, image: bytes, is_last: Callable[[bytes], bool], error: Exception = AWAY
    ) -> None:
        super().__init__(image)
        self._error = error
        self._is_last = is_last
        self.is_away = False
        self.refused = 0

    def pread(self, offset: int, length: int) -> bytes:
        found = super().pread(offset, length)
        self.is_away = self.is_away or self._is_last(found)
        if self.is_away:
            self.refused += 1
            raise self._error
        return found


def test_directories_are_left_unfinished_once_the_image_cannot_be_read_and_finished_by_the_next(
    tmp_path: Path,
) -> None:
    image = crowd(30, b"value", b"content")
    device = LeavingDevice(image, lambda found: found.startswith(b"content"))
    with s3archivefs.open(device) as fs, pytest.raises(ConnectionError, match="try later"):
        fs.extract("/", tmp_path, xattrs=True, filter="fully-trusted")
    assert device.refused < 10  # what is away may take long to say so
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        fs.extract("/", tmp_path, xattrs=True, filter="fully-trusted", existing="keep")
    for path in tmp_path.iterdir():
        assert attributes(path) == {"user.big": b"value"}
        assert mode_of(path) == 0o775


@pytest.mark.parametrize(
    "member",
    [built.directory, built.file, partial(built.symlink, b"f")],
    ids=["directory", "file", "symlink"],
)
@pytest.mark.parametrize("number", [None, errno.EIO])
def test_an_error_of_the_device_is_not_taken_for_one_of_the_target(
    tmp_path: Path, member: Callable[..., built.Node], number: int | None
) -> None:
    pair = struct.pack("<HH", 0, 3) + b"big" + struct.pack("<I", 5) + b"value"
    root = built.directory({b"m": member(extended=True, xattr=0)})
    image = bytes(built.build(root, pairs=pair, sets=[(0, 1, len(pair))]))
    away = ConnectionError(*filter(None, [number, "store is away, try later"]))
    reported: list[tuple[str, Exception]] = []
    with s3archivefs.open(LeavingDevice(image, lambda found: pair in found, away)) as fs:
        assert len([*fs.scandir_stats("/")]) == 1
        fs.extract("/", tmp_path, xattrs=True, on_error=lambda *each: reported.append(each))
    ((path, error),) = reported
    assert path.strip("/") == "m"
    assert error is away


def test_an_error_without_a_number_stays_as_it_is() -> None:
    error = OSError("all that is known")
    assert located(error, "path") is error
    assert located(PermissionError(errno.EACCES, "denied"), "path").filename == "path"
