"""The members of a tar stream are what tarfile put there."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.inputs.arranged import Exclusion
from s3archivefs.writer.inputs.tar import TarFileInput, TarInput, is_tar, plain_path
from tests.support.images.standard_zstd import use_standard_zstd


def tar_of(*members: tarfile.TarInfo, content: bytes = b"", **options: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:  # type: ignore[call-overload]
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def read(data: bytes) -> list[tuple[Member, bytes | None]]:
    """Members, each with its content, which must be read in turn."""
    found = []
    for member in TarInput(io.BytesIO(data), "it"):
        content = None
        if isinstance(member, Entry) and member.open is not None:
            content = member.open().read(1 << 20)
        found.append((member, content))
    return found


def test_members_are_what_the_stream_says() -> None:
    data = tar_of(
        info("./", tarfile.DIRTYPE, mode=0o750),
        info("./a/b.txt", mode=0o4640, uid=1000, gid=100, mtime=1_600_000_000),
        info("/absolute/link", tarfile.SYMTYPE, linkname="../a"),
        info("a/hard", tarfile.LNKTYPE, linkname="./a/b.txt"),
        info("dev", tarfile.BLKTYPE, devmajor=5, devminor=70_000),
        content=b"content",
    )
    (root, _), (file, content), (link, _), (hard, _), (device, _) = read(data)
    assert isinstance(root, Entry)
    assert isinstance(file, Entry)
    assert isinstance(link, Entry)
    assert isinstance(device, Entry)
    assert (root.path, root.kind, root.mode) == (b"", FileKind.DIRECTORY, 0o750)
    assert file[:6] == (b"a/b.txt", FileKind.FILE, 0o4640, 1000, 100, 1_600_000_000)
    assert content == b"content"
    assert (link.path, link.target) == (b"absolute/link", b"../a")
    assert hard == HardLink(b"a/hard", b"a/b.txt")
    assert device.rdev == (70_000 & 0xFF) | 5 << 8 | (70_000 & ~0xFF) << 12


def test_names_and_attributes_of_any_bytes_survive() -> None:
    member = info("d\udcff/n", pax_headers={"SCHILY.xattr.user.k": "v\u00fc", "other": "x"})
    ((found, _),) = read(tar_of(member, format=tarfile.PAX_FORMAT))
    assert isinstance(found, Entry)
    assert found.path == b"d\xff/n"
    assert found.xattrs == ((b"user.k", "v\u00fc".encode()),)


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
def test_streams_may_be_compressed(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    data = compress(tar_of(info("a"), info("b"), content=b"x" * 100_000))
    assert [content for _, content in read(data)] == [b"x" * 100_000] * 2
    path = tmp_path / "file"
    path.write_bytes(data)
    assert is_tar(path)
    for _ in range(2):
        assert [each.path for each in TarFileInput(path)] == [b"a", b"b"]


@pytest.mark.parametrize("data", [b"", b"no tar stream", b"\x28\xb5\x2f\xfd rest", b"\x1f\x8b"])
def test_what_is_no_tar_stream_is_one_error(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(PackingError, match=r"^it: is no tar stream, or a damaged one: "):
        read(data)
    (tmp_path / "file").write_bytes(data)
    assert not is_tar(tmp_path / "file")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_a_stream_that_breaks_off_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    noise = bytes(range(256)) * 400
    data = compress(tar_of(info("a"), content=noise))
    for length in (len(data) // 2, len(data) * 9 // 10):
        try:
            found = read(data[:length])
        except PackingError:
            continue
        assert [content for _, content in found] != [noise]  # the writer compares lengths


def test_a_member_of_an_unknown_type_is_named() -> None:
    with pytest.raises(PackingError, match=r"^it: odd: a member of type b'Z'"):
        read(tar_of(info("odd", b"Z")))


@pytest.mark.parametrize("odd", [info("x", b"Z"), info("x", pax_headers={"mtime": "nan"})])
def test_a_member_that_no_image_can_hold_may_be_left_out(odd: tarfile.TarInfo) -> None:
    data = tar_of(info("a"), odd, info("b"))
    found = TarInput(io.BytesIO(data), "it", takes=Exclusion(["x"]).takes)
    assert [each.path for each in found] == [b"a", b"b"]


def test_what_gnu_tar_adds_of_its_own_is_read_as_it_does() -> None:
    """The name of a volume, of `tar -V`, and directories of incremental archives."""
    data = tar_of(info("volume", b"V"), info("d", b"D", mode=0o750), info("d/a"))
    (directory, _), (file, _) = read(data)
    assert isinstance(directory, Entry)
    assert (directory.path, directory.kind, directory.mode) == (b"d", FileKind.DIRECTORY, 0o750)
    assert file.path == b"d/a"


@pytest.mark.parametrize(
    ("path", "plain"),
    [(b"./a//b/", b"a/b"), (b"/", b""), (b".", b""), (b"../a", b"../a"), (b"a/./b", b"a/b")],
)
def test_paths_lose_what_says_nothing(path: bytes, plain: bytes) -> None:
    assert plain_path(path) == plain


def test_the_time_of_a_hard_link_is_of_no_use() -> None:
    odd = {"mtime": "inf"}
    data = tar_of(info("a"), info("b", tarfile.LNKTYPE, linkname="a", pax_headers=odd))
    assert [member.path for member, _ in read(data)] == [b"a", b"b"]


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf"])
def test_a_time_that_is_none_is_that_members_fault(mtime: str) -> None:
    data = tar_of(info("a", pax_headers={"mtime": mtime}))
    with pytest.raises(PackingError, match=rf"^it: a: a time of {mtime}"):
        read(data)


def test_a_size_below_zero_is_that_members_fault() -> None:
    data = tar_of(info("a", pax_headers={"size": "-5"}))
    # tarfile refuses it too where CVE-2025-8194 is mended.
    with pytest.raises(
        PackingError, match=r"^it: (a: a size of -5 bytes|.*header: invalid offset)"
    ):
        read(data)


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_header_that_would_fill_the_memory_is_not_read(kind: bytes) -> None:
    header = info("a", kind)
    header.size = 1 << 33
    data = header.tobuf(tarfile.GNU_FORMAT) + b"x" * (1 << 20)
    stream = io.BufferedReader(io.BytesIO(data))
    with pytest.raises(PackingError, match=r"^it: .*a header of 8589934592 bytes"):
        [*TarInput(stream, "it")]
    assert stream.tell() < 1 << 20


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_members_of_all_compressed_parts_are_read(compress: Callable[[bytes], bytes]) -> None:
    data = tar_of(info("a"), info("b"), info("c"), content=b"x" * 700)
    for length in (512, 700, 1536):  # of a part: within a member, and from one to the next
        parts = [data[at : at + length] for at in range(0, len(data), length)]
        found = read(b"".join(map(compress, parts)))
        assert [(each.path, content) for each, content in found] == [
            (b"a", b"x" * 700),
            (b"b", b"x" * 700),
            (b"c", b"x" * 700),
        ]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_damage_at_the_end_of_what_is_compressed_is_an_error(
    compress: Callable[[bytes], bytes],
) -> None:
    # What decompresses first would pass: the end is long, and has but zeros and a checksum.
    data = compress(tar_of(info("a"), content=b"x" * 700) + bytes(1 << 20))
    read(data)
    for damaged in (data[:-8], data[:-1], data[:-5] + b"\xff" * 5):
        with pytest.raises(PackingError, match=r"^it: is no tar stream, or a damaged one: \S"):
            read(damaged)


def test_content_that_gzip_only_stores_is_held_against_its_checksum() -> None:
    data = bytearray(gzip.compress(tar_of(info("a"), content=b"content"), compresslevel=0))
    data[data.index(b"content")] ^= 1
    with pytest.raises(PackingError, match="incorrect data check"):
        read(bytes(data))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("rest", [bytes(100_000), b"no archive" * 10_000])
def test_what_follows_an_archive_is_read_and_left(
    compress: Callable[[bytes], bytes], rest: bytes
) -> None:
    data = tar_of(info("a"), content=b"x")
    for stream in (compress(data) + rest, compress(data + rest)):
        assert [content for _, content in read(stream)] == [b"x"]
    file = io.BytesIO(compress(data + rest))
    assert len([*TarInput(file, "it")]) == 1
    assert file.read() == b""  # else who writes it into a pipe would fail


@pytest.mark.parametrize("compress", [bytes, zstandard.compress])
def test_an_archive_without_its_end_mark_may_be_cut_short(
    compress: Callable[[bytes], bytes],
) -> None:
    data = tar_of(info("a"), info("b"), content=b"x" * 700)
    size = 512 + 1024  # of each member
    for cut in (data[:size], data[: 2 * size]):
        with pytest.raises(PackingError, match=r"^it: ends without its end-of-archive mark: cut"):
            read(compress(cut))
    for zeros in (512, 1024):
        assert len(read(compress(data[:size] + bytes(zeros)))) == 1


def test_a_zstd_stream_that_is_cut_short_at_a_header_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, rest = (data := tar_of(info("a"), info("b"), content=b"x" * 700))[:1536], data[1536:]
    stream = zstandard.compress(first) + zstandard.compress(rest)
    cut = stream[: len(zstandard.compress(first))]
    for _ in range(2):  # with each library
        with pytest.raises(PackingError, match=r"^it: ends without its end-of-archive mark"):
            read(cut)
        use_standard_zstd(monkeypatch)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_needs_no_end_mark_where_its_compression_tells_the_end(
    compress: Callable[[bytes], bytes],
) -> None:
    data = compress(tar_of(info("a"), content=b"x" * 700)[:1536])
    assert [content for _, content in read(data)] == [b"x" * 700]
    with pytest.raises(PackingError):
        read(data[:-1])


def test_a_size_far_past_the_end_ends_at_once() -> None:
    member = info("a")
    member.size = 1 << 60
    data = member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    with pytest.raises(PackingError, match=r"^it: .*unexpected end of data"):
        [*TarInput(io.BytesIO(data), "it")]  # which skips the content


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b", "GNU.sparse.size": "9"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"},
        {"size": "9" * 25},
    ],
)
def test_a_header_that_cannot_be_understood_is_damage(headers: dict[str, str]) -> None:
    with pytest.raises(PackingError, match=r"^it: (is no tar stream, or a damaged one|a\\x0a): \S"):
        read(tar_of(info("a\n", pax_headers=headers), content=b"content"))


def test_a_header_of_less_than_no_bytes_is_damage() -> None:
    header = info("././@Pax\nHeader", tarfile.XHDTYPE)
    header.size = -(1 << 70)
    with pytest.raises(PackingError, match=r"damaged one: \./\./@Pax\\x0aHeader: a header of -"):
        read(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
