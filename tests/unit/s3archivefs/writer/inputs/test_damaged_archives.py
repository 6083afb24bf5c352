"""Tar and zip archives with damage are read as they were, or are one error."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Entry, Member
from s3archivefs.writer.inputs.tar import TarInput
from s3archivefs.writer.inputs.zip import ZipInput

Found = list[tuple[Member, bytes | None]]
FILES = {"a": b"hello " * 30, "d/" + "long" * 60: b"x" * 700}
LARGE = 1 << 20  # more than any file has
CHECKSUM = slice(148, 156)  # of a header


def tar_of(members: Iterable[tuple[tarfile.TarInfo, bytes]], kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def ordinary(kind: int) -> bytes:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "target" * 20
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "a"
    device = tarfile.TarInfo("device")
    device.type, device.devmajor = tarfile.CHRTYPE, 5
    files = [(tarfile.TarInfo(name), content) for name, content in FILES.items()]
    if kind == tarfile.PAX_FORMAT:
        for member, _ in files:
            member.mtime, member.pax_headers = 1.5, {"SCHILY.xattr.user.k": "v\u00fc"}
    return tar_of([*files, (link, b""), (hard, b""), (device, b"")], kind)


def sparse(headers: dict[str, str], content: bytes) -> bytes:
    """A file of 9,000 bytes, with 4 at 0 and 5 at 8,000, as GNU tar has it in pax headers."""
    member = tarfile.TarInfo("GNUSparseFile.0/s")
    member.pax_headers = {"GNU.sparse.name": "s"} | headers
    return tar_of([(member, content)], tarfile.PAX_FORMAT)


def old_sparse() -> bytes:
    """The same in the older format, with one more block of the map."""
    member = tarfile.TarInfo("s")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 9
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 4)
    header[482:495] = b"\x01%011o\0" % 9000
    more = (b"%011o\0%011o\0" % (8000, 5)).ljust(512, b"\0")
    return with_checksums(bytes(header)) + more + b"dataafter".ljust(512, b"\0") + bytes(1024)


def with_checksums(archive: bytes) -> bytes:
    """Make the checksums of all headers right."""
    blocks = [bytearray(archive[at : at + 512]) for at in range(0, len(archive), 512)]
    for block in blocks:
        if block[257:262] == b"ustar":
            block[CHECKSUM] = b" " * 8
            block[CHECKSUM] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


FIRST_MAP = b"2\n0\n4\n8000\n5\n".ljust(512, b"\0")
VERSION_1 = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000"}
TARS = {
    "GNU": ordinary(tarfile.GNU_FORMAT),
    "pax": ordinary(tarfile.PAX_FORMAT),
    "sparse, old": old_sparse(),
    "sparse 0.1": sparse({"GNU.sparse.size": "9000", "GNU.sparse.map": "0,4,8000,5"}, b"dataafter"),
    "sparse 1.0": sparse(VERSION_1, FIRST_MAP + b"dataafter"),
}
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip, stored": lambda data: gzip.compress(data, 0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def zip_archive() -> bytes:
    file = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(file, "w") as archive:
        for number, kind in enumerate(kinds):
            member = zipfile.ZipInfo(f"\u00fc{number}", (2020, 1, 1, 0, 0, 0))
            member.compress_type, member.create_system = kind, 3
            member.extra = b"UT\x05\x00\x01" + bytes(4)
            archive.writestr(member, b"content" * 40)
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"target")
    return file.getvalue()


ZIP = zip_archive()


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What changes a few places of an archive, or ends it early."""
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
    kind = draw(st.sampled_from(["put", "put", "put", "insert", "remove", "end"]))
    piece = draw(
        st.binary(min_size=1, max_size=12)
        | st.sampled_from([b"\xff" * 12, b"\0" * 12, b"\x80" + b"\0" * 11, b"9" * 12, b"-1"])
    )
    removed = draw(st.sampled_from([1, 512]))

    def damaged(archive: bytes) -> bytes:
        for place in places:
            at = int(place * len(archive))
            if kind == "put":
                archive = archive[:at] + piece + archive[at + len(piece) :]
            elif kind == "insert":
                archive = archive[:at] + piece + archive[at:]
            else:
                archive = archive[:at] + (archive[at + removed :] if kind == "remove" else b"")
        return archive

    return damaged


def read(members: Iterable[Member]) -> Found:
    """Read each member as far as any of these is long."""
    found: Found = []
    for member in members:
        if isinstance(member, Entry) and member.open is not None:
            with closing(member.open()) as file:
                found.append((member._replace(open=None), file.read(LARGE)))
        else:
            found.append((member, None))
    return found


def read_tar(stream: bytes) -> Found:
    return read(TarInput(io.BytesIO(stream), "it"))


def test_the_archives_here_are_sound(folder: Path) -> None:
    for name, archive in TARS.items():
        found = read_tar(archive)
        if "sparse" in name:
            assert [content for _, content in found] == [
                b"data" + bytes(7996) + b"after" + bytes(995)
            ]
        else:
            assert {c for _, c in found} == {*FILES.values(), None}
    (folder / "a.zip").write_bytes(ZIP)
    assert len(read(ZipInput(folder / "a.zip"))) == 5


@given(st.sampled_from([*TARS.values()]), damage(), st.sampled_from([bytes, with_checksums]))
def test_any_damage_to_a_tar_archive_is_one_kind_of_error(
    archive: bytes, damaged: Callable[[bytes], bytes], mend: Callable[[bytes], bytes]
) -> None:
    stream = mend(damaged(archive))
    with suppress(PackingError):  # and nothing else
        read_tar(stream)
    TarInput(io.BytesIO(stream), "it").starts_well()  # either answer, and no error


@given(st.sampled_from([*TARS.values()]), st.sampled_from([*COMPRESSORS]), damage())
def test_a_damaged_compressed_tar_archive_gives_nothing_else(
    archive: bytes, compressor: str, damaged: Callable[[bytes], bytes]
) -> None:
    stream = COMPRESSORS[compressor](archive)
    with suppress(PackingError):
        assert read_tar(damaged(stream)) == read_tar(archive)


@given(st.sampled_from([*TARS.values()]), st.sampled_from([*COMPRESSORS]), damage())
def test_any_damage_below_compression_is_one_kind_of_error(
    archive: bytes, compressor: str, damaged: Callable[[bytes], bytes]
) -> None:
    with suppress(PackingError):
        read_tar(COMPRESSORS[compressor](with_checksums(damaged(archive))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.filterwarnings("ignore:Overlapped entries:UserWarning")  # of zipfile, since 3.15
@given(damaged=damage())
def test_any_damage_to_a_zip_archive_is_one_kind_of_error(
    folder: Path, damaged: Callable[[bytes], bytes]
) -> None:
    path = folder / "a.zip"
    path.write_bytes(damaged(ZIP))
    with suppress(PackingError):
        for member, content in read(ZipInput(path)):
            assert isinstance(member, Entry)
            assert content in {b"content" * 40, b"target", None}
