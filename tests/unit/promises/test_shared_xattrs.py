"""Many attributes, in sets that inodes share, cost what they hold, counted in metadata taken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs import BytesDevice, SquashFS
from s3archivefs.metadata import MetadataCursor
from s3archivefs.writer import Entry, FileReplacement, HeldImage, ImageExtension, ImageInput
from tests.support.command_line import run
from tests.support.images.built import build, directory, file

MANY = 400


def crowd(files: int, attributes: int) -> bytes:
    """An image of files that share one set, the last of whose attributes is the checksum."""
    names = [*(b"a%04d" % number for number in range(attributes - 1)), b"sha256"]
    pairs = b"".join(
        struct.pack("<HH", 0, len(name)) + name + struct.pack("<I", 5) + b"value" for name in names
    )
    tree = {
        b"f%03d" % number: file(b"content", extended=True, xattr=0, in_fragment=True)
        for number in range(files)
    }
    sets = [(0, attributes, len(pairs))]
    return bytes(build(directory(tree, mode=0o755), pairs=pairs, sets=sets))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often bytes were taken of metadata, in its one element."""
    taken = [0]
    take = MetadataCursor.take

    def counting(cursor: MetadataCursor, length: int) -> bytes:
        taken[0] += 1
        return take(cursor, length)

    monkeypatch.setattr(MetadataCursor, "take", counting)
    return taken


def verify(fs: SquashFS, _: Path) -> None:
    assert [*fs.verify()] == []


def ask_for_each(fs: SquashFS, _: Path) -> None:
    for path, __, files in fs.walk("/"):
        for name in files:
            for each in fs.listxattr(path + name):
                fs.getxattr(path + name, each)


def ask_as_a_mount(fs: SquashFS, _: Path) -> None:
    for __, stat in fs.scandir_stats("/"):
        for each in fs.xattrs_of_node(stat.reference):
            fs.xattr_of_node(stat.reference, each)


def extract(fs: SquashFS, folder: Path) -> None:
    fs.extract("/", folder / "out", xattrs=True, on_error=lambda *_: None)


def pack(fs: SquashFS, _: Path) -> None:
    assert sum(len(each.xattrs) for each in ImageInput(fs) if isinstance(each, Entry))


def append(_: SquashFS, folder: Path) -> None:
    with HeldImage(folder / "image") as held:
        extension = ImageExtension(held.image, FileReplacement(held))
        extension.add(Entry(b"new", mtime=1))
        extension.finish()


def show(_: SquashFS, folder: Path) -> None:
    assert run("stat", folder / "image", "/f000").code == 0


def compare(_: SquashFS, folder: Path) -> None:
    assert run("diff", folder / "image", folder / "image").code == 0


def find(_: SquashFS, folder: Path) -> None:
    run("find", "--xattr", "user.none", folder / "image")


def find_checksums(fs: SquashFS, _: Path) -> None:
    for __, stat in fs.scandir_stats("/"):
        fs.checksum_of_node(stat.reference)


READING = (
    verify,
    ask_for_each,
    ask_as_a_mount,
    extract,
    pack,
    append,
    show,
    compare,
    find,
    find_checksums,
)


@pytest.mark.parametrize("use", READING, ids=lambda use: use.__name__)
def test_attributes_cost_in_proportion_to_their_number(
    use: Callable[[SquashFS, Path], None], work: list[int], tmp_path: Path
) -> None:
    costs = []
    for count in (MANY, 2 * MANY):
        folder = tmp_path / str(count)
        folder.mkdir()
        image = crowd(2, count)
        (folder / "image").write_bytes(image)
        work[0] = 0
        with s3archivefs.open(BytesDevice(image)) as fs:
            use(fs, folder)
        costs.append(work[0])
    assert costs[1] <= 2.2 * costs[0]


@pytest.mark.parametrize("use", [verify, find, find_checksums], ids=lambda use: use.__name__)
def test_a_set_that_many_files_share_is_read_once(
    use: Callable[[SquashFS, Path], None], work: list[int], tmp_path: Path
) -> None:
    costs = []
    for files in (1, 21):
        image = crowd(files, MANY)
        (tmp_path / "image").write_bytes(image)
        work[0] = 0
        with s3archivefs.open(BytesDevice(image)) as fs:
            use(fs, tmp_path)
        costs.append(work[0])
    assert costs[1] - costs[0] < MANY


def test_a_damaged_set_is_read_once_and_reported_of_each_file(work: list[int]) -> None:
    costs = []
    for files in (1, 21):
        image = bytearray(crowd(files, MANY))
        at = image.index(b"sha256")
        image[at - 2 : at] = (300).to_bytes(2, "little")  # the size of the set's last name
        work[0] = 0
        with s3archivefs.open(BytesDevice(bytes(image))) as fs:
            assert len([*fs.verify()]) == files
        costs.append(work[0])
    assert costs[1] - costs[0] < MANY


def test_one_attribute_of_a_small_set_is_read_without_those_behind_it(work: list[int]) -> None:
    costs = []
    for count in (2, 16):
        with s3archivefs.open(BytesDevice(crowd(1, count))) as fs:
            fs.stat("/f000")
            work[0] = 0
            assert fs.getxattr("/f000", "user.a0000") == b"value"
        costs.append(work[0])
    assert costs[0] == costs[1]
