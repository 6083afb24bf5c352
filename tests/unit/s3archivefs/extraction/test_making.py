"""How members come to be on file systems of all kinds: whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs.extraction.folders import Existing
from tests.support.images.built import build, directory, file, special, symlink
from tests.support.images.extracted import mode_of, opened, tree_of

WHOLE = {"a": b"a" * 5000, "d": None, "d/b": b"b", "d/l": "b"}


@pytest.fixture(scope="module")
def fs() -> s3archivefs.SquashFS:
    inner = directory({b"b": file(b"b", mode=0o751), b"l": symlink(b"b")})
    return opened(build(directory({b"a": file(b"a" * 5000, mtime=5), b"d": inner})))


def without_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS, and systems other than Linux."""
    real = os.open

    def open_named(
        path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_named)


def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a chroot without /proc."""
    real = os.open

    def open_but_proc(
        path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if path == "/proc/self/fd":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_but_proc)


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As FAT."""
    without_unnamed_files(monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def without_unnamed_files_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another file system is mounted below the target."""
    real, opened_once = os.open, list[object]()

    def open_once(
        path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            if opened_once:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            opened_once.append(path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_once)


def as_it_is(_: pytest.MonkeyPatch) -> None:
    """The file system that the tests run on."""


KINDS = [as_it_is, without_unnamed_files, without_proc, without_links, without_unnamed_files_below]
Kind = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_made_on_file_systems_of_all_kinds(
    kind: Kind, fs: s3archivefs.SquashFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind(monkeypatch)
    fs.extract("/", tmp_path)
    assert tree_of(tmp_path) == WHOLE
    assert mode_of(tmp_path / "d/b") == 0o751
    assert (tmp_path / "a").stat().st_mtime == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("existing", ["error", "keep", "replace"])
def test_what_stands_there_is_treated_alike_everywhere(
    kind: Kind,
    existing: Existing,
    fs: s3archivefs.SquashFS,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it comes between the look at what stands there and the making of a member."""
    kind(monkeypatch)
    target = tmp_path / "target"

    def standing(member: s3archivefs.Member, _: str) -> s3archivefs.Member:
        if member.name == "d/b":  # whose directory is new, so that no one looks
            (target / "d/b").symlink_to("../../outside")
        return member

    (tmp_path / "outside").write_bytes(b"precious")
    reported: list[type[Exception]] = []
    fs.extract(
        "/",
        target,
        filter=standing,
        existing=existing,
        on_error=lambda _, error: reported.append(type(error)),
    )
    assert reported == ([FileExistsError] if existing == "error" else [])
    replaced = WHOLE if existing == "replace" else WHOLE | {"d/b": "../../outside"}
    assert tree_of(target) == replaced
    assert (tmp_path / "outside").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", KINDS)
def test_hard_links_become_files_where_there_are_none(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind(monkeypatch)
    node = file(b"once", extended=True, nlink=2)
    opened(build(directory({b"x": node, b"y": node}))).extract("/", tmp_path)
    assert tree_of(tmp_path) == {"x": b"once", "y": b"once"}
    assert (tmp_path / "x").stat().st_nlink == (1 if kind is without_links else 2)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_file_that_is_not_written_whole(
    kind: Kind, fs: s3archivefs.SquashFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind(monkeypatch)
    real = os.write

    def write_some(handle: int, piece: bytes) -> int:
        if len(piece) == 4096:
            return real(handle, piece[:100])
        if len(piece) == 3996:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return real(handle, piece)

    monkeypatch.setattr(os, "write", write_some)
    reported: list[object] = []
    fs.extract("/", tmp_path, on_error=lambda path, error: reported.append((path, str(error))))
    assert reported == [("/a", f"[Errno {errno.EFBIG}] File too large: '{tmp_path}/a'")]
    assert tree_of(tmp_path) == {name: made for name, made in WHOLE.items() if name != "a"}


def test_names_that_a_target_takes_for_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def stat_folding(
        path: str | bytes, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        if isinstance(path, bytes) and path.endswith(b"-aA"):  # the look for a file made as -Aa
            path = path.swapcase()
        return real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", stat_folding)
    names = ["E", "e", "other", "u\u0308", "\u00fc"]
    children = {name.encode(): file(name.encode()) for name in sorted(names, key=str.encode)}
    top = {b"A": directory({b"x": file(b"x")}), b"a": directory({b"X": file(b"X")}), **children}
    built = build(directory(dict(sorted(top.items()))))
    reported: list[str] = []
    opened(built).extract("/", tmp_path, on_error=lambda _, error: reported.append(str(error)))
    assert tree_of(tmp_path).keys() == {"A", "A/x", "E", "other", "u\u0308"}
    assert [line.split(";")[0] for line in reported] == [
        "a: the target takes the name for that of A, since it ignores case",
        "e: the target takes the name for that of E, since it ignores case",
        "\u00fc: the target takes the name for that of u\u0308, since it ignores case",
    ]


def test_nothing_is_left_of_what_is_tried_beforehand(tmp_path: Path) -> None:
    opened(build(directory())).extract("/", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may make devices")
def test_special_files_are_made_as_they_were(tmp_path: Path) -> None:
    children = {
        b"disk": special(4, rdev=0x0801, mode=0o660, mtime=3, uid=1),
        b"fifo": special(6, mode=0o622),
        b"null": special(5, rdev=0x0103, mode=0o666),
        b"socket": special(7, mode=0o777),
    }
    built = build(directory(children), ids=(0, 77))
    umask = os.umask(0o077)
    try:
        opened(built).extract("/", tmp_path, filter="fully-trusted", owner=True)
    finally:
        os.umask(umask)
    found = {path.name: path.lstat() for path in tmp_path.iterdir()}
    assert {name: each.st_mode for name, each in found.items()} == {
        "disk": stat.S_IFBLK | 0o660,
        "fifo": stat.S_IFIFO | 0o622,
        "null": stat.S_IFCHR | 0o666,
        "socket": stat.S_IFSOCK | 0o777,
    }
    assert (found["disk"].st_rdev, found["null"].st_rdev) == (os.makedev(8, 1), os.makedev(1, 3))
    assert (found["disk"].st_uid, found["disk"].st_mtime) == (77, 3)
