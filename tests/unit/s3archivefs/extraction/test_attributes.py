"""Extended attributes that are asked for: which are set, and what is said of those that are not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import s3archivefs
import s3archivefs.extraction.extraction  # a user who is not root may not be able to
from fixtures.tree import Node, directory, file, symlink
from tests.support.images.extracted import tree_of
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
