"""What an image that grows keeps, what it leaves out, and what cannot grow."""

from __future__ import annotations

import fcntl
import io
import os
from functools import partial
from pathlib import Path
from random import Random

import pytest

import s3archivefs
from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.format import MAGIC_STREAMED, Superblock
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.extending import ImageExtension, kept_bytes
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.output import FileOutput
from s3archivefs.writer.replacing import FileReplacement, HeldImage
from tests.support.images.fixtures import FIXTURES

LARGE = Random(1).randbytes(20_000)


def file(path: str, content: bytes = b"", **fields: int) -> Entry:
    return Entry(
        path.encode(),
        open=partial(io.BytesIO, content),
        size=len(content),
        **fields,  # type: ignore[arg-type]  # owners and times
    )


def pack(path: Path, *members: Member, **options: object) -> Path:
    manner = PackOptions(block_size=4096, **options)  # type: ignore[arg-type]  # of all types
    with ImageWriter(FileOutput(path), manner) as image:
        for member in members:
            image.add(member)
    return path


def extend(path: Path, *members: Member, remove: tuple[bytes, ...] = ()) -> None:
    with HeldImage(path) as held, ImageExtension(held.image, FileReplacement(held)) as extension:
        for each in remove:
            extension.remove(each)
        for member in members:
            extension.add(member)


def contents(path: Path) -> dict[str, bytes]:
    with s3archivefs.open(path) as fs:
        assert [*fs.verify()] == []
        return {found: content.read() for found, _, content in fs.walk_files()}


def test_members_are_added_and_take_the_place_of_others(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", b"old"), file("b", LARGE), HardLink(b"c", b"b"))
    extend(image, file("a", b"new"), file("d/e", LARGE), HardLink(b"d/f", b"b"))
    assert contents(image) == {
        "/a": b"new",
        "/b": LARGE,
        "/c": LARGE,
        "/d/e": LARGE,
        "/d/f": LARGE,
    }
    with s3archivefs.open(image) as fs:
        assert fs.stat("/b").nlink == 3
        assert fs.stat("/d/f").inode_number == fs.stat("/b").inode_number


def test_what_is_counted_was_added_and_is_there_at_the_end(tmp_path: Path) -> None:
    old = (file("a", b"old"), file("b", LARGE), HardLink(b"c", b"b"), file("d/e", b"e"))
    image = pack(tmp_path / "a", *old)
    with HeldImage(image) as held:
        extension = ImageExtension(held.image, FileReplacement(held))
        for path in (b"b", b"c"):
            extension.remove(path)
        for content in (b"first", b"second", b"third"):
            extension.add(file("a", content))
        extension.add(file("new/x", LARGE))
        extension.add(file("new/y", LARGE))
        extension.add(HardLink(b"new/z", b"new/y"))
        extension.add(HardLink(b"new/y", b"d/e"))
        extension.add(file("gone/f", b"gone"))
        extension.remove(b"gone")
        packed = extension.finish()
    assert (packed.files, packed.content_bytes) == (3, len(b"third") + 2 * len(LARGE))
    assert contents(image).keys() == {"/a", "/d/e", "/new/x", "/new/y", "/new/z"}


def test_an_image_that_grows_many_times_stays_sound(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", LARGE))
    expected = {"/a": LARGE}
    for number in range(30):
        content = LARGE[: number * 300]
        owner = {"uid": number, "gid": 100 + number}
        extend(image, file(f"in/{number}", content, **owner), file("again", content, **owner))
        expected |= {f"/in/{number}": content, "/again": content}
    assert contents(image) == expected
    assert image.stat().st_size < 3 * sum(map(len, expected.values()))


def test_owners_and_fragments_that_nothing_names_leave_their_tables(tmp_path: Path) -> None:
    members = [file(f"{each}", LARGE[each * 3000 :][:3000], uid=each) for each in range(6)]
    image = pack(tmp_path / "a", *members)
    with s3archivefs.open(image) as fs:
        assert (fs.superblock.fragment_count, fs.superblock.id_count) == (6, 6)
    extend(image, remove=(b"0", b"1", b"2", b"4", b"5"))
    with s3archivefs.open(image) as fs:
        assert (fs.superblock.fragment_count, fs.superblock.id_count) == (1, 2)
        assert fs.stat("/3").uid == 3
    assert contents(image) == {"/3": LARGE[9000:12000]}


def test_attributes_and_times_go_with_what_is_removed(tmp_path: Path) -> None:
    secret = ((b"user.a", b"secret"),)
    root = Entry(b"", FileKind.DIRECTORY, mtime=1)
    members = [root, Entry(b"a", mtime=5), Entry(b"b", mtime=9, xattrs=secret)]
    image = pack(tmp_path / "a", *members, compressor="none")
    assert b"secret" in image.read_bytes()
    extend(image, remove=(b"b",))
    assert b"secret" not in image.read_bytes()
    with s3archivefs.open(image) as fs:
        assert fs.superblock.mkfs_time == 5


def test_a_directory_is_removed_with_all_below_it(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("in/a", b"a"), file("in/b/c", b"c"), HardLink(b"d", b"in/a"))
    extend(image, remove=(b"in",))
    assert contents(image) == {"/d": b"a"}
    with s3archivefs.open(image) as fs:
        assert fs.stat("/d").nlink == 1


@pytest.mark.parametrize("path", [b"b", b"a/b", b"in/a/b"])
def test_only_what_is_there_is_removed(path: bytes, tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", b"a"), file("in/a", b"a"))
    before = image.read_bytes()
    with pytest.raises(FileNotFoundError):
        extend(image, remove=(path,))
    with pytest.raises(PackingError, match="root stays"):
        extend(image, remove=(b"",))
    assert image.read_bytes() == before
    assert [*tmp_path.iterdir()] == [image]


def test_the_manner_of_packing_is_kept(tmp_path: Path) -> None:
    manners: tuple[dict[str, object], ...] = (
        {"compressor": "none"},
        {"compressor": "gzip", "level": 3},
        {"compressor": "lz4", "level": 12},
        {"fragments": False, "exportable": False},
        {"tail_ends": True},
    )
    for number, options in enumerate(manners):
        image = pack(tmp_path / f"{number}", file("a", LARGE), **options)
        with s3archivefs.open(image) as fs:
            before, stored = fs.superblock, fs.compressor_options
        extend(image, file("b", LARGE + b"b"))
        with s3archivefs.open(image) as fs:
            assert fs.superblock.flags == before.flags, options
            assert fs.superblock.compression == before.compression, options
            assert fs.compressor_options == stored, options


# ---- What cannot grow ----------------------------------------------------------------------------


def test_images_that_cannot_grow_are_refused(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", LARGE))
    content = image.read_bytes()
    behind = tmp_path / "behind"
    behind.write_bytes(bytes(512) + content)
    with (
        s3archivefs.open(behind, offset=512) as fs,
        pytest.raises(PackingError, match="behind other bytes"),
    ):
        kept_bytes(fs)
    with s3archivefs.open(FIXTURES["lzma"].image) as fs, pytest.raises(PackingError, match="lzma"):
        kept_bytes(fs)
    streamed = tmp_path / "streamed"
    magic = MAGIC_STREAMED[0].to_bytes(4, "little")
    streamed.write_bytes(magic + content[4:] + content[:96])
    with s3archivefs.open(streamed) as fs, pytest.raises(PackingError, match="streamed"):
        kept_bytes(fs)


def test_an_image_with_data_behind_its_tables_is_refused(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", LARGE), compressor="none")
    content = bytearray(image.read_bytes())
    superblock = Superblock.decode(bytes(content))
    place = (
        superblock.inode_table_start
        + 2
        + content[superblock.inode_table_start + 2 :].index(bytes([2, 0, 0o644 & 0xFF, 0o644 >> 8]))
    )
    content[place + 16 : place + 20] = (superblock.inode_table_start - 1).to_bytes(4, "little")
    image.write_bytes(content)
    with pytest.raises(PackingError, match="behind the start of its tables"):
        extend(image, file("b"))
    assert [*tmp_path.iterdir()] == [image]


# ---- Files that are replaced ---------------------------------------------------------------------


def test_permissions_and_a_symlink_stay(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", b"a"))
    image.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to("a")
    extend(link, file("b", b"b"))
    assert link.is_symlink()
    assert image.stat().st_mode & 0o777 == 0o640
    assert contents(image) == {"/a": b"a", "/b": b"b"}


def test_of_two_at_once_the_second_is_told(tmp_path: Path) -> None:
    image = pack(tmp_path / "a", file("a", b"a"))
    with (
        HeldImage(image) as held,
        ImageExtension(held.image, FileReplacement(held)) as extension,
    ):
        link = tmp_path / "link"
        link.symlink_to("a")
        with pytest.raises(PackingError, match=f"^{link}: another program is replacing it"):
            extend(link, file("c", b"c"))
        extension.add(file("b", b"b"))
    assert contents(image) == {"/a": b"a", "/b": b"b"}


@pytest.mark.parametrize("replaced", [True, False])
def test_an_image_that_changes_meanwhile_is_kept(tmp_path: Path, *, replaced: bool) -> None:
    image = pack(tmp_path / "a", file("a", b"a"))
    other = pack(tmp_path / "b", file("other", b"other"))
    with (  # noqa: PT012 -- it is the end of the block that raises
        pytest.raises(PackingError, match="changed it meanwhile"),
        HeldImage(image) as held,
        ImageExtension(held.image, FileReplacement(held)) as extension,
    ):
        extension.add(file("b", b"b"))
        if replaced:
            os.replace(other, image)  # noqa: PTH105 -- as another program does
        else:
            image.write_bytes(other.read_bytes() + b"more")
            other.unlink()
    assert contents(image) == {"/other": b"other"}
    assert [*tmp_path.iterdir()] == [image]


def test_where_nothing_can_be_locked_changes_are_noticed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.delattr(os, "copy_file_range")
    image = pack(tmp_path / "a", file("a", LARGE))
    extend(image, file("b", b"b"))
    assert contents(image) == {"/a": LARGE, "/b": b"b"}
