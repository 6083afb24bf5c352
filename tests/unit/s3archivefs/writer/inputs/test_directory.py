"""The members of a directory are what the system says of it."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Entry, HardLink
from s3archivefs.writer.inputs.directory import DirectoryInput, FileInput


def entries_of(top: Path, **options: object) -> dict[bytes, Entry]:
    found = DirectoryInput(top, **options)  # type: ignore[arg-type]  # of several types
    return {each.path: each for each in found if isinstance(each, Entry)}


def content_of(entry: Entry) -> bytes | None:
    assert entry.open is not None
    file = entry.open()
    content = file.read(1 << 20)
    file.close()
    return content


def read_whole(entry: Entry, size: int) -> bytes:
    """Read so many bytes at a time, until there are none."""
    assert entry.open is not None
    with closing(entry.open()) as file:
        return b"".join(iter(lambda: file.read(size) or b"", b""))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "d" / "e").mkdir(parents=True)
    (top / "file").write_bytes(b"content")
    (top / "d" / "inner").write_bytes(b"inner")
    (top / "link").symlink_to("d/nowhere")
    os.mkfifo(top / "fifo")
    return top


def test_members_have_the_attributes_of_their_files(top: Path) -> None:
    os.chmod(top / "file", 0o4751)  # noqa: PTH101, S103 -- with setuid
    os.utime(top / "file", ns=(0, 1_600_000_000_999_999_999))
    found = entries_of(top)
    assert [*found] == [b"", b"d", b"fifo", b"file", b"link", b"d/e", b"d/inner"]
    kinds = {path: entry.kind for path, entry in found.items()}
    assert kinds[b""] is kinds[b"d"] is FileKind.DIRECTORY
    assert (kinds[b"fifo"], kinds[b"link"]) == (FileKind.FIFO, FileKind.SYMLINK)
    file = found[b"file"]
    assert (stat.S_IMODE(file.mode), file.mtime, file.size) == (0o4751, 1_600_000_000, 7)
    assert (file.uid, file.gid) == (os.getuid(), os.getgid())
    assert content_of(file) == content_of(file) == b"content"
    assert found[b"link"].target == b"d/nowhere"


def test_times_before_the_epoch_are_rounded_down(top: Path) -> None:
    os.utime(top / "file", ns=(0, -1))
    assert entries_of(top)[b"file"].mtime == -1


def test_sockets_are_members(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
    assert entries_of(top)[b"s"].kind is FileKind.SOCKET


def test_names_of_one_inode_are_hard_links(top: Path) -> None:
    (top / "d" / "other").hardlink_to(top / "file")
    assert HardLink(b"d/other", b"file") in [*DirectoryInput(top)]
    assert HardLink(b"d/other", b"file") in [*DirectoryInput(top)]  # asked again


def test_what_is_not_taken_is_not_entered(top: Path) -> None:
    asked = []

    def takes(path: bytes, *, is_directory: bool) -> bool:
        asked.append((path, is_directory))
        return path != b"d"

    assert b"d/inner" not in entries_of(top, takes=takes)
    assert (b"d", True) in asked
    assert (b"d/inner", False) not in asked

    asked.clear()
    assert DirectoryInput(top, takes=takes).size() == 7
    assert (b"d", True) in asked
    assert (b"d/inner", False) not in asked


def test_the_image_itself_is_left_out(top: Path) -> None:
    found = (top / "file").stat()
    itself = {(found.st_dev, found.st_ino)}
    assert b"file" not in entries_of(top, without=itself)
    assert DirectoryInput(top, without=itself).size() == 5


def test_sizes_are_those_of_files_and_of_several_names_once(top: Path) -> None:
    (top / "d" / "other").hardlink_to(top / "file")
    found = DirectoryInput(top)
    assert found.size() == len(b"contentinner")
    assert found.repeated_sizes() == set()
    (top / "d" / "e" / "more").write_bytes(b"other i")
    found = DirectoryInput(top)
    assert (found.size(), found.repeated_sizes()) == (19, {7})


def test_small_files_are_not_looked_at_first(top: Path) -> None:
    for number in range(1022):
        (top / "d" / f"{number}").write_bytes(b"small")
    assert DirectoryInput(top).repeated_sizes() is None
    found = DirectoryInput(top)
    assert found.size() == 12 + 5 * 1022
    assert found.repeated_sizes() == {5}  # by the walk for their size
    (top / "d" / "large").write_bytes(bytes(1026 * 8192))
    assert DirectoryInput(top).repeated_sizes() == {5}


def test_sizes_are_found_by_one_walk(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    scandir = os.scandir

    def counted(directory: bytes) -> object:
        listed.append(directory)
        return scandir(directory)

    monkeypatch.setattr(os, "scandir", counted)
    found = DirectoryInput(top)
    assert (found.size(), found.repeated_sizes()) == (12, set())
    assert len(listed) == len(["top", "d", "e"])


def test_attributes_that_the_format_holds_are_taken(top: Path) -> None:
    try:
        os.setxattr(top / "file", "user.kind", b"odd\0")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    assert entries_of(top)[b"file"].xattrs == ((b"user.kind", b"odd\0"),)
    assert entries_of(top, xattrs=False)[b"file"].xattrs == ()


def test_what_takes_a_files_place_is_not_read(top: Path) -> None:
    entry = entries_of(top)[b"file"]
    (top / "file").unlink()
    (top / "file").symlink_to("d/inner")
    with pytest.raises(PackingError, match=r"file: cannot be read: "):
        content_of(entry)


def test_a_file_as_it_was_listed_takes_one_read(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    read = os.read

    def counted(descriptor: int, size: int) -> bytes:
        calls.append(size)
        return read(descriptor, size)

    entry = entries_of(top)[b"file"]
    monkeypatch.setattr(os, "read", counted)
    assert read_whole(entry, 4096) == b"content"
    assert len(calls) == 1


@pytest.mark.parametrize("now", [b"", b"shrunk", b"content", b"grown, by some bytes"])
@pytest.mark.parametrize("size", [1, 7, 8, 4096])
def test_a_file_is_read_to_the_end_that_it_has_now(top: Path, now: bytes, size: int) -> None:
    entry = entries_of(top)[b"file"]
    (top / "file").write_bytes(now)
    assert read_whole(entry, size) == now


def test_a_directory_that_is_none_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(PackingError, match=r"nothing: cannot be read: No such file"):
        DirectoryInput(tmp_path / "nothing").size()
    with pytest.raises(PackingError, match=r"nothing: cannot be read: No such file"):
        [*DirectoryInput(tmp_path / "nothing")]


def test_a_file_is_a_member_of_its_name(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top / "d")
    for path in (top / "file", "../file"):
        (entry,) = FileInput(path)
        assert isinstance(entry, Entry)
        assert (entry.path, content_of(entry)) == (b"file", b"content")
