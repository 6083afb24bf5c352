"""The members of a zip archive are what zipfile put there."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.format import SYMLINK_MAX
from s3archivefs.writer.entries import Entry
from s3archivefs.writer.inputs.arranged import Exclusion
from s3archivefs.writer.inputs.zip import ZipInput


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name, (2020, 9, 13, 12, 26, 40))
    found.create_system = 3
    found.external_attr = mode << 16
    return found


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info("d/", stat.S_IFDIR | 0o750), b"")
        archive.writestr(info("d/\u00fc", stat.S_IFREG | 0o600), b"content" * 1000)
        archive.writestr(info("link", stat.S_IFLNK | 0o777), b"d/target")
        plain = info("plain")
        plain.create_system = 0
        plain.extra = b"UT\x05\x00\x01" + (1_500_000_000).to_bytes(4, "little")
        archive.writestr(plain, b"")
    return path


def members_of(path: Path) -> dict[bytes, Entry]:
    return {each.path: each for each in ZipInput(path) if isinstance(each, Entry)}


def test_members_are_what_the_archive_says(archive: Path) -> None:
    found = members_of(archive)
    assert [*found] == [b"d", "d/\u00fc".encode(), b"link", b"plain"]
    directory, file, link, plain = found.values()
    assert (directory.kind, directory.mode) == (FileKind.DIRECTORY, 0o750)
    assert (file.mode, file.size, file.mtime) == (0o600, 7000, 1_600_000_000)
    assert (link.kind, link.target) == (FileKind.SYMLINK, b"d/target")
    assert (plain.mode, plain.mtime) == (0o644, 1_500_000_000)


@pytest.mark.parametrize(
    ("seconds", "year", "expected"),
    [(-1, 1980, -1), (-(1 << 31), 1980, -(1 << 31)), ((1 << 31) + 5, 2038, (1 << 31) + 5)],
)
def test_times_before_1970_and_after_2037_are_told_apart_by_the_date(
    tmp_path: Path, seconds: int, year: int, expected: int
) -> None:
    each = zipfile.ZipInfo("a", (year, 1, 19, 3, 14, 8))
    each.extra = b"UT\x05\x00\x01" + (seconds & 0xFFFFFFFF).to_bytes(4, "little")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(each, b"")
    assert members_of(tmp_path / "a.zip")[b"a"].mtime == expected


def test_contents_are_read_in_turn(archive: Path) -> None:
    found = {}
    for member in ZipInput(archive):
        assert isinstance(member, Entry)
        if member.open is not None:
            found[member.path] = member.open().read(1 << 20)
    assert found == {"d/\u00fc".encode(): b"content" * 1000, b"plain": b""}
    assert ZipInput(archive).size() == 7000


def test_damage_is_one_error(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.index("\u00fc".encode()) + 2
    data[at : at + 8] = b"\xff" * 8
    archive.write_bytes(data)

    def read() -> None:
        for member in ZipInput(archive):
            if isinstance(member, Entry) and member.open is not None:
                member.open().read(1 << 20)

    with pytest.raises(PackingError, match=r"a\.zip: d/\u00fc: cannot be read: "):
        read()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(PackingError, match="is no zip archive, or a damaged one"):
        read()


def test_encrypted_members_are_named(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(PackingError, match=r"a\.zip: plain: is encrypted; leave it out"):
        members_of(archive)
    found = ZipInput(archive, takes=Exclusion(["plain"]).takes)
    assert [each.path for each in found] == [b"d", "d/\u00fc".encode(), b"link"]


def test_backslashes_between_names_are_slashes_as_programs_of_windows_mean_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, system in ((r"d\e\f", 0), ("g\\", 0), (r"h/i\j", 0), (r"k\l", 3)):
            each = info(name)
            each.create_system = system
            archive.writestr(each, b"")
    found = members_of(path)
    assert [*found] == [b"d/e/f", b"g", rb"h/i\j", rb"k\l"]
    assert found[b"g"].kind is FileKind.DIRECTORY


def test_a_month_of_zero_which_writers_put_for_no_date_is_the_first(archive: Path) -> None:
    data = archive.read_bytes()
    for magic, offset in ((b"PK\x03\x04", 12), (b"PK\x01\x02", 14)):
        at = data.index(magic) + offset
        data = data[:at] + b"\0\0" + data[at + 2 :]
    archive.write_bytes(data)
    last_of_1979 = 315_532_800 - 86_400
    assert members_of(archive)[b"d"].mtime == last_of_1979 + 12 * 3600 + 26 * 60 + 40


def test_a_symlinks_target_is_read_up_to_what_an_image_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info("link", stat.S_IFLNK | 0o777), b"t" * (1 << 20))
    assert len(members_of(path)[b"link"].target) == SYMLINK_MAX + 1


def test_a_name_that_is_not_in_its_encoding_is_damage(archive: Path) -> None:
    data = archive.read_bytes().replace("\u00fc".encode(), b"\xff\xff")
    archive.write_bytes(data)
    with pytest.raises(PackingError, match=r"a\.zip: is no zip archive, or a damaged one: 'utf-8'"):
        members_of(archive)


def test_a_symlink_whose_target_is_damaged_is_named(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes().replace(b"d/target", b"d/TARGET"))
    archive.write_bytes(archive.read_bytes().replace(b"\x4b\xd1\x2f", b"\xff\xff\xff"))
    with pytest.raises(PackingError, match=r"a\.zip: link: cannot be read: "):
        members_of(archive)
