"""The meaning of the fields of inodes, and the values that they may have."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import BLOCK, HOLE, text
from fixtures.tree import device, fifo, file, hard_link, symlink
from s3archivefs.format import (
    BasicDirectory,
    BasicFile,
    ExtendedDirectory,
    ExtendedFile,
    ExtendedSymlink,
)
from tests.support.images.drafts import STORED, draft
from tests.support.images.fixtures import (
    FIXTURES,
    make_image,
    observe,
    open_fixture,
    record_of,
    split_rdev,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_extended_where_a_basic_one_has_no_field_for_them(tmp_path: Path) -> None:  # D22
    tree = (
        file("attributes", b"x", xattrs={"user.a": b"b"}),
        file("linked", text(BLOCK)),
        file("plain", text(700)),
        file("sparse", HOLE + text(BLOCK)),
        hard_link("z-link", "linked"),
    )
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        kinds = {node.path: type(record_of(fs, node.path)) for node in tree}
        assert kinds.pop("plain") is BasicFile
        assert set(kinds.values()) == {ExtendedFile}
        links = {node.path: fs.stat(node.path).nlink for node in tree}
    # A basic file has no count of links: it is 1.
    assert links == {"attributes": 1, "linked": 2, "plain": 1, "sparse": 1, "z-link": 2}


def test_hard_links_share_reference_and_number(tmp_path: Path) -> None:  # D23, D27
    tree = (
        *(file("d0/file", b"x"), hard_link("link", "d0/file")),
        *(fifo("d1/fifo"), hard_link("d2/fifo", "d1/fifo"), hard_link("z", "d1/fifo")),
    )
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        for paths in (("d0/file", "link"), ("d1/fifo", "d2/fifo", "z")):
            stats = [fs.stat(path) for path in paths]
            assert set(stats) == {stats[0]}
            assert stats[0].nlink == len(paths)
        # The number is no position: five names, and four inodes besides the directories.
        assert fs.superblock.inode_count == 2 + 3 + 1


def test_type_comes_from_the_inode_and_the_mode_keeps_its_special_bits(tmp_path: Path) -> None:
    # D24: the mode holds permissions only; setuid, setgid and sticky are three of them.
    tree = tuple(file(f"{mode:04o}", mode=mode) for mode in (0o7777, 0o4000, 0o2000, 0o1000, 0))
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        for node in tree:
            mode = fs.stat(node.path).mode
            assert stat.S_ISREG(mode)
            assert stat.S_IMODE(mode) == node.mode
            assert record_of(fs, node.path).mode == node.mode


@pytest.mark.parametrize("name", ["sparse", "tar2sqfs"])
def test_sparse_counts_hole_bytes_and_reading_does_not_use_it(name: str) -> None:  # D31
    with open_fixture(FIXTURES[name]) as fs:
        for path, size, holes in (
            ("hole-first", 2 * BLOCK + 100, BLOCK),
            ("hole-middle", 4 * BLOCK, 2 * BLOCK),
            ("holes-alternate", 6 * BLOCK, 3 * BLOCK),
            ("hole-whole", 3 * BLOCK + 5, 3 * BLOCK + 5),
            ("hole-whole-blocks", 3 * BLOCK, 3 * BLOCK),
        ):
            record = record_of(fs, path)
            assert isinstance(record, ExtendedFile)
            assert record.size == size == fs.stat(path).size
            # mksquashfs keeps it below the size, where nothing but holes is left.
            assert record.sparse in {holes, holes - 1}
            content = fs.read_bytes(path)
            record.sparse = 0
            assert fs.read_bytes(path) == content
            assert len(content) == size


def test_sparse_of_any_value_changes_nothing(tmp_path: Path) -> None:  # D31
    image = draft(tmp_path, (file("sparse", HOLE + text(99), mtime=1_234_567_802),))
    inode = image.inode(1_234_567_802)
    assert image.get(inode + 32, "Q") == BLOCK
    for value in (0, 1, 2**64 - 1):
        image.put(inode + 32, "Q", value)
        with image.open() as fs:
            assert fs.read_bytes("sparse") == HOLE + text(99)
            assert list(fs.verify()) == []


@pytest.mark.parametrize(
    ("fixture", "root_links", "links"), [("gzip", 4, 3), ("gensquashfs", None, None)]
)
def test_directory_links_are_passed_through_as_each_writer_counts(
    fixture: str, root_links: int | None, links: int | None
) -> None:  # D32
    with open_fixture(FIXTURES[fixture]) as fs:
        if root_links is None:  # 2 + entries
            root_links, links = 2 + len(fs.listdir("/")), 2 + len(fs.listdir("/docs"))
        assert fs.stat("/").nlink == root_links
        assert fs.stat("/docs").nlink == links


def test_extended_inode_without_attributes_has_none() -> None:  # D33
    with open_fixture(FIXTURES["indexed"]) as fs:
        record = record_of(fs, "/directory")
        assert isinstance(record, ExtendedDirectory)
        assert record.xattr_index == 0xFFFF_FFFF
        assert fs.listxattr("/directory") == []


def test_numbers_run_from_1_to_the_count_and_the_parent_of_the_root_is_not_checked() -> None:
    # D26: mksquashfs gives the root the parent count + 1, squashfs-tools-ng 0.
    for name, parent in (("gzip", lambda count: count + 1), ("gensquashfs", lambda _: 0)):
        with open_fixture(FIXTURES[name]) as fs:
            count = fs.superblock.inode_count
            numbers = {
                fs.stat(each.path, follow_symlinks=False).inode_number for each in observe(fs)
            }
            assert numbers == set(range(1, count + 1))
            root = record_of(fs, "/")
            assert isinstance(root, BasicDirectory)
            assert root.inode_number == count
            assert root.parent_inode == parent(count)


def test_data_of_files_without_blocks_starts_nowhere(tmp_path: Path) -> None:  # D10
    tree = (
        file("1-empty"),
        file("2-tail", text(9)),
        file("3-block", text(BLOCK)),
        file("4-extended", xattrs={"user.a": b"b"}),
    )
    with s3archivefs.open(make_image(tmp_path, tree, *STORED)) as fs:
        starts = {node.path: record_of(fs, node.path).as_dict()["blocks_start"] for node in tree}
        assert starts == {"1-empty": 0, "2-tail": 0, "3-block": 96, "4-extended": 0}
        assert [fs.read_bytes(node.path) for node in tree] == [node.content for node in tree]
        assert list(fs.verify()) == []


def test_target_of_an_extended_symlink_ends_before_its_attributes(tmp_path: Path) -> None:  # D28
    targets = ["t", "\udcff\udc80", "x" * 255, "/".join(["directory"] * 100)]
    tree = tuple(
        symlink(f"{number}", target, xattrs={"trusted.number": b"%d" % number})
        for number, target in enumerate(targets)
    )
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        for node in tree:
            assert isinstance(record_of(fs, node.path), ExtendedSymlink)
            assert fs.readlink(node.path) == node.target
            assert fs.stat(node.path, follow_symlinks=False).size == len(
                node.target.encode("utf-8", "surrogateescape")
            )
            value = fs.getxattr(node.path, "trusted.number", follow_symlinks=False)
            assert value == node.path.encode()


@pytest.mark.parametrize("target", ["a/\udcff", "\udc80", "Ünïcode"])
def test_targets_are_bytes(target: str, tmp_path: Path) -> None:  # D29
    with s3archivefs.open(make_image(tmp_path, (symlink("link", target),))) as fs:
        assert fs.readlink("link") == target
        assert fs.readlink(b"link") == target.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("major", "minor", "rdev"),
    [
        (5, 70000, 0x11100570),
        (4095, 1048575, 0xFFFF_FFFF),
        (0, 0, 0),
        (8, 255, 0x8FF),
        (8, 256, 0x0010_0800),
        (4095, 0, 0xFFF00),
    ],
)
def test_device_numbers_are_in_the_encoding_of_linux(
    major: int, minor: int, rdev: int, tmp_path: Path
) -> None:  # D30
    tree = (device("b", "block_device", major, minor), device("c", "char_device", major, minor))
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        assert fs.stat("b").rdev == fs.stat("c").rdev == rdev
        assert split_rdev(rdev) == (major, minor)


def test_devices_keep_their_numbers() -> None:  # D30
    with open_fixture(FIXTURES["special"]) as fs:
        assert split_rdev(fs.stat("/block-largest").rdev) == (4095, 1048575)
        assert split_rdev(fs.stat("/char-large-minor").rdev) == (5, 70000)
        assert fs.stat("/").rdev == 0
