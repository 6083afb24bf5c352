"""The operations of a mount: the tree is that of the image, by nodes, at every place and offset."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import file
from s3archivefs import BytesDevice, FileKind, SquashFS, Stat
from s3archivefs.mount.branches import DIRECTORY, Found, StaleNodeError, Wanted
from s3archivefs.mount.operations import ROOT_NODE, Operations
from tests.support.distant_device import DistantDevice
from tests.support.images.fixtures import FIXTURES, Fixture, make_image, open_fixture
from tests.support.images.trees import around_blocks, sparse


def found_at(operations: Operations, path: bytes) -> Found:
    """What a path leads to, looked up name by name as the kernel does."""
    found = operations.attributes(ROOT_NODE)
    for name in filter(None, path.split(b"/")):
        below = operations.look_up(found.node, name)
        assert below is not None
        found = below
    return found


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_the_tree_is_that_of_the_image(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        operations = Operations({b"": fs})
        for each in fixture.tree:
            expected = fs.stat(each.path, follow_symlinks=False)
            found = found_at(operations, os.fsencode(each.path))
            assert found.stat == expected
            assert found.inode_number == expected.inode_number
            assert operations.attributes(found.node).stat == expected
            names = [*map(os.fsencode, fs.listxattr(each.path, follow_symlinks=False))]
            assert operations.xattrs(found.node) == names
            for name in names:
                value = fs.getxattr(each.path, name, follow_symlinks=False)
                assert operations.xattr(found.node, name) == value
            if expected.kind is FileKind.SYMLINK:
                assert operations.target(found.node) == os.fsencode(fs.readlink(each.path))
            elif expected.kind is FileKind.FILE:
                content = operations.read(found.node, 0, expected.size + 1)
                assert b"".join(content) == fs.read_bytes(each.path)
            elif expected.kind is FileKind.DIRECTORY:
                check_listing(operations, fs, found, each.path)


class Listed(NamedTuple):
    """A name in a directory."""

    name: bytes
    type: int
    inode_number: int
    node: int
    stat: Stat | None
    following: int


def listed(
    operations: Operations, directory: int, place: int = 0, wanted: Wanted = Wanted.NONE
) -> list[Listed]:
    """The names of a directory, one by one."""
    return [
        Listed(*fields, batch.place + index + 1)
        for batch in operations.listed(directory, place, wanted)
        for index, fields in enumerate(
            zip(
                *(batch.names, batch.types, batch.inode_numbers, batch.nodes),
                batch.stats or [None] * len(batch.names),
                strict=True,
            )
        )
    ]


def check_listing(operations: Operations, fs: SquashFS, found: Found, path: str) -> None:
    every = listed(operations, found.node, wanted=Wanted.ALL)
    assert [each.name for each in every[:2]] == [b".", b".."]
    expected = [*fs.scandir_stats(os.fsencode(path))]
    assert [each.name for each in every[2:]] == [name for name, _ in expected]
    for each, (_, attributes) in zip(every[2:], expected, strict=True):
        assert each.stat == attributes
        assert each.inode_number == attributes.inode_number
        assert each.type == stat.S_IFMT(attributes.mode) >> 12
        assert operations.attributes(each.node).stat == attributes
    plain = listed(operations, found.node)
    assert plain == [each._replace(stat=None) for each in every]
    some = listed(operations, found.node, wanted=Wanted.DIRECTORIES)
    assert [each._replace(stat=None) for each in some] == plain
    for each, whole in zip(some, every, strict=True):
        assert each.stat == whole.stat or (each.type != DIRECTORY and each.stat is None)


def test_hard_links_are_one_node() -> None:
    with open_fixture(FIXTURES["hard-links"]) as fs:
        operations = Operations({b"": fs})
        groups = [each for each in FIXTURES["hard-links"].tree if len(each.same_inode) > 1]
        assert groups
        for each in groups:
            nodes = {found_at(operations, path.encode()).node for path in each.same_inode}
            assert len(nodes) == 1


def test_missing_names_and_attributes_are_answers() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        operations = Operations({b"": fs})
        assert operations.look_up(ROOT_NODE, b"missing") is None
        with pytest.raises(OSError, match="No data") as raised:
            operations.xattr(ROOT_NODE, b"user.none")
        assert raised.value.errno == errno.ENODATA


def test_a_node_of_no_archive_is_stale() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs, pytest.raises(OSError, match="node") as raised:
        Operations({b"": fs}).attributes(77 << 48)
    assert raised.value.errno == errno.ESTALE


# ---- listings ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    names = (f"{'n' * (number % 40)}{number:04}" for number in range(1500))
    image = make_image(tmp_path_factory.mktemp("long"), tuple(file(name, b"") for name in names))
    with s3archivefs.open(image) as fs:
        yield Operations({b"": fs})


@given(cut=st.integers(0, 1501), wanted=st.sampled_from(Wanted))
def test_a_listing_is_read_on_behind_any_name(long: Operations, cut: int, wanted: Wanted) -> None:
    every = listed(long, ROOT_NODE, wanted=wanted)
    assert len(every) == 1502
    assert listed(long, ROOT_NODE, every[cut].following, wanted) == every[cut + 1 :]


# ---- contents ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SquashFS]:
    tree = (*around_blocks(4096), *sparse(4096))
    with s3archivefs.open(make_image(tmp_path_factory.mktemp("files"), tree)) as fs:
        yield fs


@pytest.mark.parametrize("distant", [False, True])
@given(data=st.data())
def test_any_part_of_a_file_is_read(files: SquashFS, data: st.DataObject, *, distant: bool) -> None:
    paths = [f"{top}/{name}" for top, _, names in files.walk("/") for name in names]
    path = data.draw(st.sampled_from(paths))
    content = files.read_bytes(path)
    operations = Operations({b"": files})
    node = found_at(operations, path.encode()).node
    handle = operations.open(node) if distant else 0
    for _ in range(3):
        start = data.draw(st.integers(0, len(content) + 10))
        size = data.draw(st.integers(1, 3 * 4096))
        pieces = operations.read(node, start, size, handle)
        assert b"".join(pieces) == content[start : start + size]
    operations.close(handle)


def test_a_distant_image_is_read_ahead_for_each_reader(tmp_path: Path) -> None:
    content = b"".join(b"%06d\n" % number for number in range(10_000))
    image = make_image(tmp_path, (file("long.txt", content),)).read_bytes()
    device = DistantDevice(image)
    with s3archivefs.open(device) as fs:
        operations = Operations({b"": fs})
        assert operations.is_distant
        device.forget()
        node = found_at(operations, b"long.txt").node
        first, second = operations.open(node), operations.open(node)
        for start in range(0, len(content), 8192):
            for handle in (first, second):
                pieces = operations.read(node, start, 8192, handle)
                assert b"".join(pieces) == content[start : start + 8192]
        assert len([each for each in device.handles if each.reads]) == 2
        operations.close(first)
        operations.close(second)
        assert all(each.is_closed for each in device.handles)


def test_a_local_image_needs_no_handles() -> None:
    with s3archivefs.open(BytesDevice(FIXTURES["gzip"].image.read_bytes())) as fs:
        assert not Operations({b"": fs}).is_distant


# ---- several archives ----------------------------------------------------------------------------


def test_several_archives_lie_below_made_directories() -> None:
    with open_fixture(FIXTURES["gzip"]) as one, open_fixture(FIXTURES["xz"]) as two:
        operations = Operations({b"a": one, b"b/c": two})
        root = operations.attributes(ROOT_NODE)
        assert stat.S_ISDIR(root.stat.mode)
        assert [each.name for each in listed(operations, ROOT_NODE)] == [b".", b"..", b"a", b"b"]
        for path, fs in ((b"a", one), (b"b/c", two)):
            assert found_at(operations, path).stat == fs.stat("/")
            guide = found_at(operations, path + b"/docs/guide.txt")
            assert guide.stat == fs.stat("/docs/guide.txt")
            content = operations.read(guide.node, 0, 1 << 20)
            assert b"".join(content) == fs.read_bytes("/docs/guide.txt")
        inode_count = one.superblock.inode_count + two.superblock.inode_count
        assert operations.statistics().files == inode_count


def test_no_two_files_of_several_archives_share_an_inode_number() -> None:
    with open_fixture(FIXTURES["gzip"]) as one, open_fixture(FIXTURES["xz"]) as two:
        operations = Operations({b"a": one, b"b/c": two})
        numbers: list[int] = []
        todo = [operations.attributes(ROOT_NODE)]
        while todo:
            found = todo.pop()
            numbers.append(found.inode_number)
            if found.stat.kind is FileKind.DIRECTORY:
                for each in listed(operations, found.node)[2:]:
                    below = operations.attributes(each.node)
                    assert below.inode_number == each.inode_number
                    todo.append(below)
        assert len(numbers) == len(set(numbers))


def test_made_directories_are_no_files_and_have_no_attributes() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        operations = Operations({b"a/b": fs})
        assert operations.look_up(ROOT_NODE, b"missing") is None
        assert operations.xattrs(ROOT_NODE) == []
        for call, number in (
            (lambda: operations.xattr(ROOT_NODE, b"user.none"), errno.ENODATA),
            (lambda: operations.target(ROOT_NODE), errno.EINVAL),
            (lambda: operations.open(ROOT_NODE), errno.EISDIR),
            (lambda: operations.attributes(99), errno.ESTALE),
        ):
            with pytest.raises(
                OSError, match=r"above the archives|user\.none|no archive"
            ) as raised:
                call()
            assert raised.value.errno == number


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ((b"a", b"a/b"), "within another"),
        ((b"a/b", b"a"), "above one"),
        ((b"a/../b", b"c"), "no path"),
        ((b"a//b", b"c"), "no path"),
        ((b"", b"c"), "no path"),
    ],
)
def test_paths_that_collide_are_refused(paths: tuple[bytes, bytes], said: str) -> None:
    with open_fixture(FIXTURES["gzip"]) as fs, pytest.raises(ValueError, match=said):
        Operations(dict.fromkeys(paths, fs))


def test_a_message_names_archive_and_inode() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        operations = Operations({b"": fs})
        node = found_at(operations, b"block.txt").node
        place = f"inode at {node & (1 << 48) - 1:#x}"
        assert str(operations.name_of(node)) == f"{fs.origin.source}: {place}"


# ---- replaced archives ---------------------------------------------------------------------------


def test_what_was_found_in_a_replaced_archive_is_stale() -> None:
    with open_fixture(FIXTURES["gzip"]) as old, open_fixture(FIXTURES["hard-links"]) as new:
        operations = Operations({b"": old})
        node = found_at(operations, b"block.txt").node
        replaced = operations.replace(0, new)
        assert (replaced.image, replaced.directory) == (old, ROOT_NODE)
        assert {*replaced.names} == {*map(str.encode, old.listdir("/") + new.listdir("/"))}
        for call in (operations.attributes, lambda node: operations.read(node, 0, 1)):
            with pytest.raises(StaleNodeError):
                call(node)
        names = [each.name.decode() for each in listed(operations, ROOT_NODE)]
        assert names[2:] == new.listdir("/")


def test_an_archive_below_made_directories_is_replaced_by_its_name() -> None:
    with open_fixture(FIXTURES["gzip"]) as old, open_fixture(FIXTURES["xz"]) as new:
        operations = Operations({b"a": old, b"b/c": old})
        before = found_at(operations, b"b/c")
        replaced = operations.replace(1, new)
        assert replaced.directory == found_at(operations, b"b").node
        assert [*replaced.names] == [b"c"]
        after = found_at(operations, b"b/c")
        assert after.node != before.node
        assert found_at(operations, b"a").stat == old.stat("/")


def test_a_file_that_is_open_while_its_archive_is_replaced_is_stale() -> None:
    with open_fixture(FIXTURES["gzip"]) as old, open_fixture(FIXTURES["xz"]) as new:
        operations = Operations({b"": old})
        node = found_at(operations, b"block.txt").node
        handle = operations.open(node)
        operations.replace(0, new)
        with pytest.raises(StaleNodeError):
            operations.read(node, 0, 1, handle)
        operations.close(handle)


def test_numbers_of_replaced_archives_are_used_again_and_no_others() -> None:
    with open_fixture(FIXTURES["gzip"]) as one, open_fixture(FIXTURES["xz"]) as two:
        operations = Operations({b"a": one, b"b": two}, branch_numbers=range(65_533, 65_536))
        for _ in range(7):
            stays, goes = found_at(operations, b"a").node, found_at(operations, b"b").node
            operations.replace(1, two)
            assert found_at(operations, b"a").node == stays
            assert found_at(operations, b"b").node not in {stays, goes}
            assert found_at(operations, b"b").node < 1 << 64


def test_more_archives_than_node_ids_have_room_for_are_refused() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs, pytest.raises(ValueError, match="more than"):
        Operations(dict.fromkeys((b"a", b"b"), fs), branch_numbers=range(1, 3))


def test_an_archive_to_come_may_have_attributes(tmp_path: Path) -> None:
    marked = make_image(tmp_path, (file("a", b"", xattrs={"user.kind": b"odd"}),))
    with open_fixture(FIXTURES["gzip"]) as old, s3archivefs.open(marked) as new:
        assert not Operations({b"": old}).has_xattrs
        operations = Operations({b"": old}, is_followed=True)
        assert operations.has_xattrs
        assert operations.xattrs(ROOT_NODE) == []
        operations.replace(0, new)
        assert operations.xattrs(found_at(operations, b"a").node) == [b"user.kind"]
