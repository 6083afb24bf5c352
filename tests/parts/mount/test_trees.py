"""What programs see of a mounted tree is what the image holds."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

import s3archivefs
from fixtures.tree import file
from s3archivefs import FileKind, SquashFS
from tests.support.images import built
from tests.support.images.fixtures import FIXTURES, make_image
from tests.support.mount.mounted import mounted

FROM_THEIR_START = {name: each for name, each in FIXTURES.items() if not each.offset}


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def xattrs_at(at: bytes) -> list[str]:
    try:
        return os.listxattr(at, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []  # in an image that has none at all


def check(fs: SquashFS, path: str, at: bytes, *, numbered: bool) -> None:
    """A path of a mounted tree is that of the image."""
    expected = fs.stat(path, follow_symlinks=False)
    found = os.lstat(at)
    assert (found.st_mode, found.st_uid, found.st_gid) == expected[:3]
    assert (found.st_mtime, found.st_nlink) == (expected.mtime, expected.nlink)
    if numbered:
        assert found.st_ino == expected.inode_number
    if expected.rdev:
        assert found.st_rdev == os.makedev(
            expected.rdev >> 8 & 0xFFF, expected.rdev & 0xFF | expected.rdev >> 12 & 0xFFF00
        )
    xattrs = fs.listxattr(path, follow_symlinks=False)
    assert xattrs_at(at) == xattrs
    for name in xattrs:
        value = fs.getxattr(path, name, follow_symlinks=False)
        assert os.getxattr(at, name, follow_symlinks=False) == value
    match expected.kind:
        case FileKind.SYMLINK:
            assert os.fsdecode(os.readlink(at)) == fs.readlink(path)  # noqa: PTH115 -- unchanged
        case FileKind.FILE:
            assert found.st_size == expected.size
            assert Path(os.fsdecode(at)).read_bytes() == fs.read_bytes(path)
        case FileKind.DIRECTORY:
            with os.scandir(at) as entries:
                found_names = sorted(entry.name for entry in entries)
            assert found_names == [*map(os.fsencode, fs.listdir(path))]


def test_every_fixture_is_there_whole(point: Path) -> None:
    archives = [f"{name}/it={each.image}" for name, each in FROM_THEIR_START.items()]
    with mounted(point, "--allow-other", *archives):
        assert names(point) == sorted(FROM_THEIR_START)
        inodes: set[int] = set()
        for number, (name, fixture) in enumerate(FROM_THEIR_START.items()):
            with s3archivefs.open(fixture.image) as fs:
                for each in fixture.tree:
                    at = os.fsencode(point / name / "it") + os.fsencode(each.path)
                    check(fs, each.path, at, numbered=not number)
            own = {os.lstat(point / name / "it").st_ino, os.lstat(point / name).st_ino}
            assert inodes.isdisjoint(own)
            inodes |= own


def test_an_image_within_a_file_is_mounted_by_its_offset(point: Path) -> None:
    (fixture,) = [each for each in FIXTURES.values() if each.offset]
    with (
        mounted(point, "--offset", fixture.offset, fixture.image),
        s3archivefs.open(fixture.image, offset=fixture.offset) as fs,
    ):
        for each in fixture.tree:
            at = os.fsencode(point) + os.fsencode(each.path.rstrip("/"))
            check(fs, each.path, at, numbered=True)
        assert os.statvfs(point).f_files == fs.superblock.inode_count


def test_nothing_can_be_written_and_no_bits_of_the_image_have_power(point: Path) -> None:
    with mounted(point, FIXTURES["gzip"].image):
        flags = os.statvfs(point).f_flag
        assert flags & os.ST_RDONLY
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV
        for write in ((point / "new").touch, (point / "block.txt").unlink):
            with pytest.raises(OSError, match="Read-only file system"):
                write()


def test_a_mapped_file_and_many_threads_see_the_same_bytes(point: Path, tmp_path: Path) -> None:
    content = Random(5).randbytes(3 << 20)
    image = make_image(tmp_path, (file("big.bin", content), file("small", b"small\n")))
    with mounted(point, image):
        with (
            (point / "big.bin").open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            assert mapped[-5000:] == content[-5000:]
            assert mapped.find(content[12_345:12_400]) == 12_345

        def read(seed: int) -> bool:
            random = Random(seed)
            with (point / "big.bin").open("rb", buffering=0) as opened:
                for _ in range(20):
                    start, size = random.randrange(len(content)), random.randrange(1, 300_000)
                    found = os.pread(opened.fileno(), size, start)
                    if found != content[start : start + size]:
                        return False
            return (point / "small").read_bytes() == b"small\n"

        with ThreadPoolExecutor(32) as threads:
            assert all(threads.map(read, range(32)))


def test_a_long_directory_is_listed_whole_and_again(point: Path, tmp_path: Path) -> None:
    expected = [f"{number:05}" for number in range(5000)]
    image = make_image(tmp_path, tuple(file(name, b"") for name in expected))
    with mounted(point, image):
        assert names(point) == expected
        with os.scandir(point) as entries:
            numbers = {entry.name: entry.inode() for entry in entries}
        assert all(os.lstat(point / name).st_ino == numbers[name] for name in expected[::50])
        assert names(point) == expected


def test_a_tree_listed_by_names_alone_is_there_whole(point: Path, tmp_path: Path) -> None:
    expected = {f"d{at // 3:02}/f{at}": at for at in range(60)}
    directories = sorted({Path(name).parent.name for name in expected})
    image = make_image(tmp_path, tuple(file(name, bytes(size)) for name, size in expected.items()))
    with mounted(point, image):
        for _ in range(2):  # far more directories than it takes to get names alone
            found = [f"{each}/{name}" for each in directories for name in names(point / each)]
            assert sorted(found) == sorted(expected)
        for _ in range(2):
            sizes = {name: (point / name).stat().st_size for name in found}
            assert sizes == expected


def test_damage_costs_one_file(point: Path, tmp_path: Path) -> None:
    image = make_image(tmp_path, (file("bad", b"damaged\n" * 700), file("good", b"")))
    data = bytearray(image.read_bytes())
    data[100:110] = bytes(10)
    image.write_bytes(data)
    with mounted(point, image) as tree:
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output error"):
                (point / "bad").read_bytes()
        assert stat.S_ISREG((point / "good").stat().st_mode)
        tree.process.terminate()
        code, errors = tree.ended()
    assert code == 0
    (line,) = errors.splitlines()
    assert line.startswith(f"s3archivefs: {image}: inode at")


def test_a_hostile_image_costs_one_error_at_a_time(point: Path, tmp_path: Path) -> None:
    loop = built.directory({b"in": built.directory({})})
    loop.children = {b"again": built.Link(loop), **loop.children}
    tree = built.directory(
        {
            b"a long one": built.symlink(b"x" * 4096),
            b"loop": loop,
            b"nowhere": built.Link(loop, {"reference": 0xFFFF0000}),
            b"odd": built.special(5, rdev=0xFFFFFFFF),
        }
    )
    image = tmp_path / "hostile.sqfs"
    image.write_bytes(bytes(built.build(tree)))
    with mounted(point, image) as tree_:
        for path, said in (
            ("a long one", "File name too long"),
            ("loop/again/in", "Too many levels of symbolic links"),
            ("nowhere", "Input/output error"),
        ):
            with pytest.raises(OSError, match=said):
                (point / path).stat()
        assert stat.S_ISCHR((point / "odd").stat().st_mode)
        assert [each.name for each in (point / "loop" / "in").iterdir()] == []
        tree_.process.terminate()
        assert tree_.ended()[0] == 0


class FileHandle(ctypes.Structure):
    """As in open_by_handle_at(2)."""

    _fields_ = (
        ("handle_bytes", ctypes.c_uint),
        ("handle_type", ctypes.c_int),
        ("handle", ctypes.c_char * 128),
    )


def test_a_file_handle_leads_to_its_file_also_in_a_later_mount(point: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = FileHandle(handle_bytes=128)
    path = os.fsencode(point / "docs" / "guide.txt")
    with mounted(point, FIXTURES["gzip"].image):
        content = Path(os.fsdecode(path)).read_bytes()
        mount_id = ctypes.c_int()
        here = -100  # AT_FDCWD
        found = libc.name_to_handle_at(here, path, ctypes.byref(handle), ctypes.byref(mount_id), 0)
        assert found == 0, os.strerror(ctypes.get_errno())
    with mounted(point, FIXTURES["gzip"].image):  # whose kernel knows of no file yet
        directory = os.open(point, os.O_RDONLY)
        opened = libc.open_by_handle_at(directory, ctypes.byref(handle), os.O_RDONLY)
        assert opened >= 0, os.strerror(ctypes.get_errno())
        assert os.read(opened, len(content) + 1) == content
        os.close(opened)
        os.close(directory)
