"""Inodes of all 14 types, with every field, from both writers and wherever blocks end."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.shapes import BLOCK, HOLE, noise, text
from fixtures.tree import Node, device, directory, fifo, file, socket, symlink
from s3archivefs import FileKind
from s3archivefs.format import (
    BasicDevice,
    BasicDirectory,
    BasicFile,
    BasicIpc,
    BasicSymlink,
    ExtendedDevice,
    ExtendedDirectory,
    ExtendedFile,
    ExtendedIpc,
    ExtendedSymlink,
)
from tests.support.images.drafts import STORED, Draft
from tests.support.images.fixtures import FIXTURES, make_image, open_fixture, record_of, split_rdev

if TYPE_CHECKING:
    from pathlib import Path

NONE = 0xFFFF_FFFF
"""No fragment, no attributes."""

KINDS = {
    "directory": (FileKind.DIRECTORY, stat.S_IFDIR),
    "file": (FileKind.FILE, stat.S_IFREG),
    "symlink": (FileKind.SYMLINK, stat.S_IFLNK),
    "block_device": (FileKind.BLOCK_DEVICE, stat.S_IFBLK),
    "char_device": (FileKind.CHAR_DEVICE, stat.S_IFCHR),
    "fifo": (FileKind.FIFO, stat.S_IFIFO),
    "socket": (FileKind.SOCKET, stat.S_IFSOCK),
}
RDEV = 8 << 8 | 300 & 0xFF | (300 & ~0xFF) << 12

SEVEN = (
    device("block", "block_device", 8, 300, mode=0o660),
    device("char", "char_device", 5, 1, mode=0o620),
    directory("directory", mode=0o1751, uid=1, gid=2),
    file("directory/file", noise(2 * BLOCK + 100), mode=0o6640, uid=3, gid=4),
    fifo("fifo", mode=0o600),
    socket("socket", mode=0o755),
    symlink("symlink", "its target"),
)


def assert_stats_as(fs: s3archivefs.SquashFS, node: Node, nlink: int = 1) -> None:
    """Every field of `stat` is what the node says, but for numbers that the writer chose."""
    kind, format_bits = KINDS[node.kind]
    found = fs.stat(node.path, follow_symlinks=False)
    size = {"file": len(node.content), "symlink": len(node.target)}.get(node.kind, 0)
    assert found.mode == format_bits | node.mode
    assert (found.uid, found.gid, found.mtime) == (node.uid, node.gid, node.mtime)
    assert (found.kind, found.size, found.nlink) == (kind, size, nlink)
    assert split_rdev(found.rdev) == (node.rdev or (0, 0))


# ---- The 14 types --------------------------------------------------------------------------------


def make_both(directory: Path, *, labelled: bool) -> Path:
    """gensquashfs's image of SEVEN; a label on each inode makes them extended."""
    options = ["-c", "gzip", "-e", "-d", "mtime=1234567890"]
    if labelled:
        (directory / "labels").write_text("/.* label\n")
        options += ["-s", str(directory / "labels")]
    image = directory / "t.sqfs"
    build(Recipe(name="t", shape="", tool="gensquashfs", options=tuple(options), tree=SEVEN), image)
    return image


def test_seven_basic_types_have_every_field(tmp_path: Path) -> None:  # D21, D26, D32
    records = {
        "block": BasicDevice(4, 0o660, 2, 2, 1234567890, 2, 1, RDEV),
        "char": BasicDevice(5, 0o620, 2, 2, 1234567890, 3, 1, 5 << 8 | 1),
        "directory": BasicDirectory(1, 0o1751, 3, 4, 1234567890, 4, 0, 3, 3 + 12 + 8 + 4, 0, 8),
        "directory/file": BasicFile(2, 0o6640, 0, 1, 1234567890, 1, 96, 0, 0, 2 * BLOCK + 100),
        "fifo": BasicIpc(6, 0o600, 2, 2, 1234567890, 5, 1),
        "socket": BasicIpc(7, 0o755, 2, 2, 1234567890, 6, 1),
        "symlink": BasicSymlink(3, 0o777, 2, 2, 1234567890, 7, 1, len("its target")),
        # nlink counts all entries here; the root's parent is 0.
        "/": BasicDirectory(1, 0o755, 2, 2, 1234567890, 8, 0, 2 + 6, 3 + 12 + 6 * 8 + 35, 24, 0),
    }
    with s3archivefs.open(make_both(tmp_path, labelled=False)) as fs:
        assert {path: record_of(fs, path) for path in records} == records
        for node in SEVEN:
            links = 3 if node.kind == "directory" else 1
            assert_stats_as(fs, replace(node, mtime=1234567890), nlink=links)
        assert list(fs.verify()) == []


def test_seven_extended_types_have_every_field(tmp_path: Path) -> None:  # D21, D26, D33
    records = {
        "block": ExtendedDevice(11, 0o660, 2, 2, 1234567890, 2, 1, RDEV, 0),
        "char": ExtendedDevice(12, 0o620, 2, 2, 1234567890, 3, 1, 5 << 8 | 1, 0),
        "directory": ExtendedDirectory(8, 0o1751, 3, 4, 1234567890, 4, 3, 27, 0, 8, 1, 0, 0),
        "directory/file": ExtendedFile(
            9, 0o6640, 0, 1, 1234567890, 1, 96, 2 * BLOCK + 100, 0, 1, 0, 0, 0
        ),
        "fifo": ExtendedIpc(13, 0o600, 2, 2, 1234567890, 5, 1, 0),
        "socket": ExtendedIpc(14, 0o755, 2, 2, 1234567890, 6, 1, 0),
        "symlink": ExtendedSymlink(10, 0o777, 2, 2, 1234567890, 7, 1, len("its target")),
        "/": ExtendedDirectory(8, 0o755, 2, 2, 1234567890, 8, 8, 98, 0, 0, 1, 24, 0),
    }
    with s3archivefs.open(make_both(tmp_path, labelled=True)) as fs:
        assert {path: record_of(fs, path) for path in records} == records
        for node in SEVEN:
            links = 3 if node.kind == "directory" else 1
            assert_stats_as(fs, replace(node, mtime=1234567890), nlink=links)
            assert fs.listxattr(node.path, follow_symlinks=False) == ["security.selinux"]
        assert fs.readlink("symlink") == "its target"
        assert fs.read_bytes("directory/file") == noise(2 * BLOCK + 100)
        assert list(fs.verify()) == []


def test_types_and_fields_of_the_first_writer(tmp_path: Path) -> None:  # D21, D22, D26, D32
    attribute = {"trusted.x": b"value"}
    basic = [node for node in SEVEN if node.kind != "socket"]  # no tar stream holds one
    nodes = [
        *(replace(node, path=f"basic/{node.path}") for node in basic),
        *(replace(node, path=f"extended/{node.path}", xattrs=attribute) for node in basic),
    ]
    tops = (directory("basic", mtime=7), directory("extended", mtime=8))
    nodes = [replace(node, mtime=1000 + number) for number, node in enumerate(nodes)]
    size = 2 * BLOCK + 100
    with s3archivefs.open(make_image(tmp_path, (*tops, *nodes), *STORED)) as fs:
        paths = ("/", *(node.path for node in (*tops, *nodes)))
        n = {path: fs.stat(path, follow_symlinks=False).inode_number for path in paths}
        assert sorted(n.values()) == list(range(1, 16))
        records = {
            # The kind of record, mode, ids, time and number; then what the kind has.
            "basic/block": BasicDevice(4, 0o660, 0, 0, 1000, n["basic/block"], 1, RDEV),
            "basic/char": BasicDevice(5, 0o620, 0, 0, 1001, n["basic/char"], 1, 1281),
            "basic/directory": BasicDirectory(
                1, 0o1751, 3, 4, 1002, n["basic/directory"], 0, 2, 27, 0, n["basic"]
            ),
            "basic/directory/file": BasicFile(
                2, 0o6640, 1, 2, 1003, n["basic/directory/file"], 96, NONE, 0, size
            ),
            "basic/fifo": BasicIpc(6, 0o600, 0, 0, 1004, n["basic/fifo"], 1),
            "basic/symlink": BasicSymlink(3, 0o777, 0, 0, 1005, n["basic/symlink"], 1, 10),
            "basic": BasicDirectory(1, 0o755, 0, 0, 7, n["basic"], 0, 3, 84, 24, n["/"]),
            "extended/block": ExtendedDevice(
                11, 0o660, 0, 0, 1006, n["extended/block"], 1, RDEV, 0
            ),
            "extended/char": ExtendedDevice(12, 0o620, 0, 0, 1007, n["extended/char"], 1, 1281, 0),
            "extended/directory": ExtendedDirectory(
                *(8, 0o1751, 3, 4, 1008, n["extended/directory"]),
                *(2, 27, 0, n["extended"], 0, 105, 0),
            ),
            "extended/directory/file": ExtendedFile(
                *(9, 0o6640, 1, 2, 1009, n["extended/directory/file"]),
                *(96, size, 0, 1, NONE, 0, 0),  # the blocks are the other file's
            ),
            "extended/fifo": ExtendedIpc(13, 0o600, 0, 0, 1010, n["extended/fifo"], 1, 0),
            "extended/symlink": ExtendedSymlink(
                10, 0o777, 0, 0, 1011, n["extended/symlink"], 1, 10
            ),
            "extended": BasicDirectory(1, 0o755, 0, 0, 8, n["extended"], 0, 3, 84, 129, n["/"]),
            # nlink counts subdirectories; the root's parent is one more than there are inodes.
            "/": BasicDirectory(1, 0o755, 0, 0, 1_600_000_000, n["/"], 0, 4, 44, 210, 16),
        }
        assert {path: record_of(fs, path) for path in records} == records
        for node in nodes:
            assert_stats_as(fs, node, nlink=2 if node.kind == "directory" else 1)
            assert fs.listxattr(node.path, follow_symlinks=False) == list(node.xattrs)


def test_socket_of_the_first_writer() -> None:
    with open_fixture(FIXTURES["special"]) as fs:
        assert record_of(fs, "/directory/socket").as_dict()["type"] == 7
        assert fs.stat("/directory/socket").nlink == 1


# ---- Records that lie across metadata blocks -----------------------------------------------------


def group(number: int, padding: int) -> list[Node]:
    """One inode of each type that a tar stream can hold, behind `padding` bytes of targets."""
    attribute = {"trusted.group": b"%d" % number}
    blocks = text(2 * BLOCK) + HOLE
    nodes = [
        symlink("0", "p" * (padding // 2)),
        symlink("1", "p" * (padding - padding // 2)),
        symlink("a", "odd"),  # 3 bytes, so that what follows lies at odd places too
        symlink("b", "other", xattrs=attribute),
        directory("c"),
        directory("d", xattrs=attribute),
        file("e", text(3 * BLOCK)),
        file("f", blocks, xattrs=attribute),
        device("g", "block_device", number, 2),
        replace(device("h", "char_device", 3, number), xattrs=attribute),
        fifo("i"),
        replace(fifo("j"), xattrs=attribute),
    ]
    return [
        replace(
            node,
            path=f"{number:03d}{node.path}",
            mode=node.mode if node.kind == "symlink" else node.mode ^ number & 0o777,
            uid=number % 7,
            gid=number % 11,
            mtime=number * len(nodes) + position,
        )
        for position, node in enumerate(nodes)
    ]


def test_every_field_may_lie_across_two_metadata_blocks(tmp_path: Path) -> None:  # D16, D17, D19
    symlink_size, group_size = 24, 340
    tree = [
        node
        for number in range(group_size)
        # Each group of inodes starts one byte earlier in its metadata block than the last one.
        for node in group(number, 8192 - (number > 0) * (group_size + 1) - 2 * symlink_size)
    ]
    ends = set()
    with s3archivefs.open(make_image(tmp_path, tuple(tree), *STORED)) as fs:
        for node in tree:
            assert_stats_as(fs, node, nlink=2 if node.kind == "directory" else 1)
            if node.kind == "file":
                assert fs.read_bytes(node.path) == node.content
            elif node.kind == "symlink":
                assert fs.readlink(node.path) == node.target
            for name, value in node.xattrs.items():
                assert fs.getxattr(node.path, name, follow_symlinks=False) == value
            found = fs.stat(node.path, follow_symlinks=False)
            if node.path[3] == "a":
                assert fs.superblock.inode_table_start < found.reference
                ends.add(-(found.reference & 0xFFFF) % 8192)
        assert list(fs.verify()) == []
    assert ends == set(range(group_size))  # so the blocks ended at each byte of a group


def test_extended_inode_may_be_the_last_of_the_table(tmp_path: Path) -> None:  # D19
    tree = tuple(file(f"{number:03d}-{'n' * 200}") for number in range(100))
    image = Draft(make_image(tmp_path, tree, *STORED).read_bytes())
    with image.open() as fs:
        root = record_of(fs, "/")
        assert isinstance(root, ExtendedDirectory)  # for its index, which ends the table
        index = root.index_count * (12 + 204)
        start, end = fs.superblock.inode_table_start, fs.superblock.directory_table_start
        at = fs.superblock.root_inode
        assert start + (at >> 16) + 2 + (at & 0xFFFF) + 40 + index == end
        assert fs.listdir("/") == [node.path for node in tree]

    label = tmp_path / "labelled"
    label.mkdir()
    with s3archivefs.open(make_both(label, labelled=True)) as fs:
        assert fs.stat("/").inode_number == fs.superblock.inode_count
        assert isinstance(record_of(fs, "/"), ExtendedDirectory)
