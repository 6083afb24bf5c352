"""Images are what their members are, in any order, and the same for the same members."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Container, Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.writer import listings
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.image_writer import ImageWriter, Packed
from s3archivefs.writer.inode_records import Attributes, Listed, directory_record
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.output import FileOutput, StreamOutput


def file(path: str, content: bytes = b"", **fields: Any) -> Entry:  # noqa: ANN401 -- of all types
    return Entry(
        path.encode(), open=partial(io.BytesIO, content), size=len(content), reopens=True, **fields
    )


def written(
    members: Iterable[Member],
    *,
    repeated_sizes: Container[int] | None = None,
    **options: Any,  # noqa: ANN401 -- likewise
) -> tuple[bytes, Packed]:
    image = io.BytesIO()
    manner = PackOptions(block_size=4096, **options)
    writer = ImageWriter(StreamOutput(image), manner, repeated_sizes=repeated_sizes)
    for member in members:
        writer.add(member)
    packed = writer.finish()
    return image.getvalue(), packed


def write(members: Iterable[Member], path: Path) -> None:
    with ImageWriter(FileOutput(path)) as image:
        for member in members:
            image.add(member)


def opened(members: Iterable[Member], **options: Any) -> s3archivefs.SquashFS:  # noqa: ANN401 -- likewise
    return s3archivefs.open(s3archivefs.BytesDevice(written(members, **options)[0]))


def storage(fs: s3archivefs.SquashFS, path: str) -> tuple[int, int]:
    with fs.open(path) as content:
        place = content.storage
    return place.blocks, place.tail


# ---- What is counted -----------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["file", "link", "symlink"]),
        *(st.sampled_from("abc"), st.sampled_from("abc")),
        st.sampled_from([0, 1, 4096, 5000]),
    ),
    max_size=9,
)


@given(steps=STEPS, checksums=st.booleans())
def test_files_are_counted_that_are_there_at_the_end(
    steps: list[tuple[str, str, str, int]], *, checksums: bool
) -> None:
    members: list[Member] = []
    there: set[str] = set()
    for what, name, other, size in steps:
        if what == "file":
            members.append(file(name, bytes([len(members)]) * size))
        elif what == "symlink":
            members.append(Entry(name.encode(), FileKind.SYMLINK, target=b"a"))
        elif other in there:
            members.append(HardLink(name.encode(), other.encode()))
        else:
            continue
        there.add(name)
    image, packed = written(members, checksums=checksums)
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        stats = {stat.inode_number: stat for _, stat in fs.scandir_stats("/")}
    sizes = [stat.size for stat in stats.values() if stat.kind is FileKind.FILE]
    assert (packed.files, packed.content_bytes) == (len(sizes), sum(sizes))


def test_duplicates_are_counted_that_are_there_at_the_end() -> None:
    members = [file("a", b"same"), file("b", b"same"), file("c", b"same")]
    assert written([*members, file("b", b"other")])[1].duplicates == 1
    link = HardLink(b"d", b"b")
    assert written([*members, link, file("b", b"other")])[1].duplicates == 2
    assert written([*members, link, file("b", b"other"), file("d", b"new")])[1].duplicates == 1
    large = [file(name, bytes(5000)) for name in "abc"]
    assert written([*large, Entry(b"c", FileKind.SYMLINK, target=b"a")])[1].duplicates == 1


# ---- Contents ------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.sampled_from([0, 1, 100, 4095, 4096, 4097, 8192, 12_289]), max_size=8),
    seed=st.integers(0, 3),
    fragments=st.booleans(),
    tail_ends=st.booleans(),
)
def test_contents_are_stored_whole_and_duplicates_once(
    sizes: list[int], seed: int, *, fragments: bool, tail_ends: bool
) -> None:
    def content(number: int) -> bytes:
        # Few different ones, of the same first block, and with holes.
        return (bytes([65 + number % (seed + 1)]) * 4096 + bytes(4096) + b"end" * 2000)[
            : sizes[number]
        ]

    contents = {f"{number:02}": content(number) for number in range(len(sizes))}
    members = [file(name, each) for name, each in contents.items()]
    image, packed = written(members, fragments=fragments, tail_ends=tail_ends)
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        assert {name: fs.read_bytes(name) for name in contents} == contents
        assert [*fs.verify()] == []
    assert packed.duplicates == len([*filter(None, sizes)]) - len({*contents.values()} - {b""})
    assert packed.content_bytes == sum(sizes)
    # The same is found where files are known to be alone with their size.
    repeated = {size for size in sizes if sizes.count(size) > 1}
    again = written(members, repeated_sizes=repeated, fragments=fragments, tail_ends=tail_ends)
    assert again == (image, packed)


def test_duplicates_of_a_content_that_is_read_once_are_found_below_a_block_only() -> None:
    small, large = b"small", b"large" * 2000
    members = [
        file(name, content)._replace(reopens=False)
        for name, content in (("a", small), ("b", small), ("c", large), ("d", large))
    ]
    _, packed = written(members)
    assert packed.duplicates == 1


def test_all_that_is_opened_is_closed() -> None:
    opened: list[io.BytesIO] = []

    def content(end: bytes) -> io.BytesIO:
        opened.append(io.BytesIO(b"x" * 5000 + end))
        return opened[-1]

    # The second is opened twice: the first holds its first block, but not the rest.
    written([Entry(end, open=partial(content, end), reopens=True) for end in (b"a", b"b", b"bc")])
    assert len(opened) == 5
    assert all(each.closed for each in opened)


def test_without_deduplication_each_content_is_stored() -> None:
    members = [file("a", b"x" * 5000), file("b", b"x" * 5000)]
    assert written(members, deduplicate=False)[1].duplicates == 0


@pytest.mark.parametrize("size", [1, 4095, 4096, 9000])
def test_contents_of_sizes_that_are_not_repeated_are_not_compared(size: int) -> None:
    members = [file("a", b"x" * size), file("b", b"x" * size)]
    assert written(members, repeated_sizes={size})[1].duplicates == 1
    assert written(members, repeated_sizes=())[1].duplicates == 0
    # Of an unknown size, each is compared, as it may be any.
    unknown = [member._replace(size=None) for member in members]
    assert written(unknown, repeated_sizes=())[1].duplicates == 1


def test_small_files_share_fragments_and_larger_ones_have_blocks() -> None:
    members = [file("small", b"s"), file("large", b"l" * 5000)]
    with opened(members) as fs:
        assert storage(fs, "small") == (0, 1)
        assert storage(fs, "large") == (2, 0)
    with opened(members, tail_ends=True) as fs:
        assert storage(fs, "large") == (1, 904)
    with opened(members, fragments=False) as fs:
        assert storage(fs, "small") == (1, 0)
        assert fs.superblock.fragment_count == 0


def test_a_fragment_never_lies_between_the_blocks_of_a_file() -> None:
    noise = [hashlib.sha512(bytes([number])).digest() * 40 for number in range(8)]
    members = [
        file(f"{number}{kind}", noise[number] * times)
        for number in range(8)
        for kind, times in (("a", 1), ("b", 3))
    ]
    with opened(members, compressor="none", tail_ends=True) as fs:
        for number in range(8):
            assert fs.read_bytes(f"{number}b") == noise[number] * 3
        assert [*fs.verify()] == []


def test_checksums_are_attributes_of_files_that_are_not_compared_too() -> None:
    contents = {"a": b"", "b": b"small", "c": b"large" * 2000}
    members = [file(name, content) for name, content in contents.items()]
    image, _ = written(members, repeated_sizes=(), checksums=True)
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        for name, content in contents.items():
            found = fs.getxattr(name, "user.sha256").decode()
            assert found == hashlib.sha256(content).hexdigest()


def test_checksums_are_attributes() -> None:
    members = [file("a", b"abc", xattrs=((b"user.sha256", b"old"), (b"user.b", b"c")))]
    with opened(members, checksums=True) as fs:
        assert fs.listxattr("a") == ["user.b", "user.sha256"]
        assert fs.getxattr("a", "user.sha256") == hashlib.sha256(b"abc").hexdigest().encode()


# ---- Trees ---------------------------------------------------------------------------------------


NAMES = st.sampled_from(["a", "b", "c-", "c", "c.d", "\u00fc"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(paths=st.sets(PATHS, max_size=10), order=st.randoms(use_true_random=False))
def test_members_come_in_any_order(paths: set[str], order: Random) -> None:
    leaves = sorted(path for path in paths if not any(o.startswith(path + "/") for o in paths))
    members = [file(path, path.encode(), mtime=7) for path in leaves]
    above = {path.rpartition("/")[0] for path in leaves}
    members += [Entry(path.encode(), FileKind.DIRECTORY, 0o700, mtime=5) for path in above if path]
    order.shuffle(members)
    with opened(members) as fs:
        assert sorted(path for path, _, _ in fs.walk_files()) == [*map("/{}".format, leaves)]
        assert all(fs.read_bytes(path) == path.encode() for path in leaves)
        assert {fs.stat(path).mode for path in above if path} <= {0o40700}
        assert [*fs.verify()] == []


def test_an_index_that_is_thinned_leads_to_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "INDEX_MAX", 3)
    names = [f"{number:0250}" for number in range(400)]
    with opened([file(f"d/{name}") for name in names]) as fs:
        assert fs.listdir("d") == names
        assert [*fs.verify()] == []


def test_a_listing_that_no_directory_holds_is_an_error() -> None:
    listed = Listed(0, 2**32 - 3, 0, b"")
    with pytest.raises(PackingError, match="put its members in several"):
        directory_record(Attributes(0o755, 0, 0, 0), listed, 2, 1, 2)


def test_directories_without_an_entry_have_the_images_time() -> None:
    with opened([file("a/b", mtime=5), file("c", mtime=9)]) as fs:
        assert fs.superblock.mkfs_time == 9
        found = fs.stat("a")
        assert (found.mode, found.uid, found.mtime) == (0o40755, 0, 9)


def test_the_later_of_two_members_of_a_path_counts() -> None:
    members: list[Member] = [
        file("a", b"first"),
        HardLink(b"b", b"a"),
        file("a", b"second" * 1000),
        file("a", b"third"),
    ]
    with opened(members) as fs:
        assert fs.read_bytes("a") == b"third"
        assert fs.read_bytes("b") == b"first"
        assert fs.stat("b").nlink == 1


def test_hard_links_share_an_inode_and_count_their_names() -> None:
    members: list[Member] = [
        file("d/a", b"x" * 9000, mode=0o600),
        HardLink(b"b", b"d/a"),
        HardLink(b"d/e/c", b"b"),
        HardLink(b"b", b"b"),
    ]
    with opened(members) as fs:
        stats = [fs.stat(path) for path in ("d/a", "b", "d/e/c")]
        assert len({each.reference for each in stats}) == 1
        assert {each.nlink for each in stats} == {3}
        assert fs.read_bytes("d/e/c") == b"x" * 9000
        assert fs.superblock.inode_count == 4


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (file("a/x"), "a: a in it is no directory, yet has members; leave one of both out"),
        (file("d"), "d: a directory of that path came before; leave one out"),
        (file("..", b""), "..: a path with b'..' in it cannot be a member's; rename it"),
        (file("d//x"), "d//x: a path with b'' in it cannot be a member's; rename it"),
        (file("/x"), "/x: a path with b'' in it cannot be a member's; rename it"),
        (file("n" * 257), "a name of 257 bytes, where squashfs holds 256"),
        (file(""), "the image's root is a directory: give the member a name"),
        (file("x", uid=2**32), "x: an owner's number of 4294967296"),
        (file("x", xattrs=((b"system.x", b""),)), "x: its attribute system.x of 0 bytes"),
        (Entry(b"x", FileKind.SYMLINK), "x: a symlink's target of 0 bytes"),
        (Entry(b"x", FileKind.CHAR_DEVICE, rdev=2**32), "x: a device number of 4294967296"),
        (HardLink(b"x", b"nothing"), "x: a hard link to nothing, which no member before it is"),
        (HardLink(b"x", b"d"), "x: a hard link to d, which is a directory"),
        (file("x", b"abc")._replace(size=4), "x: changed while it was packed: 3 bytes"),
    ],
)
def test_what_no_image_can_hold_is_one_clear_error(
    member: Member, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.sqfs"
    members = [file("a"), Entry(b"d", FileKind.DIRECTORY), member]
    with pytest.raises(PackingError) as caught:
        write(members, path)
    assert said in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_the_faults_of_attributes_name_their_own_member() -> None:
    noise = b"".join(hashlib.sha512(bytes([number])).digest() for number in range(200))
    members = [file("wrong", noise, xattrs=((b"other.x", b""),)), file("right", noise[1:])]
    with pytest.raises(PackingError, match=r"^wrong: "):
        written(members)


def test_times_outside_of_the_format_become_its_ends() -> None:
    with opened([file("old", mtime=-5), file("new", mtime=2**40)]) as fs:
        assert (fs.stat("old").mtime, fs.stat("new").mtime) == (0, 2**32 - 1)


# ---- Reproducibility -----------------------------------------------------------------------------


def test_the_same_members_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [
        file(f"{number % 7}/{number}", bytes([number]) * (number * 97 % 9000), mtime=number)
        for number in range(60)
    ]
    first = written(members)[0]
    assert written(members)[0] == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    dated = written(members)[0]
    assert dated[:8] == first[:8]
    with s3archivefs.open(s3archivefs.BytesDevice(dated)) as fs:
        assert fs.superblock.mkfs_time == 1234567890


@pytest.mark.parametrize("epoch", ["yesterday", "9" * 5000, "-1", ""])
def test_a_source_date_that_is_none_is_an_error_before_all_work(
    monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(PackingError, match=f"SOURCE_DATE_EPOCH={epoch}"):
        ImageWriter(StreamOutput(io.BytesIO()))
