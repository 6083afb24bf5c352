"""Extended attributes: every prefix, shared values, many sets."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.tree import Node, device, directory, fifo, file, symlink
from tests.support.images.drafts import ABSENT, Draft, draft
from tests.support.images.fixtures import FIXTURES, make_image, observe, open_fixture, run_tool

if TYPE_CHECKING:
    from pathlib import Path


def attributes(fs: s3archivefs.SquashFS, path: str) -> dict[str, bytes]:
    """All attributes of the path itself."""
    names = fs.listxattr(path, follow_symlinks=False)
    return {name: fs.getxattr(path, name, follow_symlinks=False) for name in names}


def make(directory: Path, tool: str, tree: tuple[Node, ...]) -> Path:
    """An image of `tree` from a tar stream, by either writer."""
    options = ("-c", "gzip") if tool == "tar2sqfs" else ()
    image = directory / "t.sqfs"
    build(Recipe(name="t", shape="", tool=tool, options=options, tree=tree), image)
    return image


either_tool = pytest.mark.parametrize("tool", ["mksquashfs", "tar2sqfs"])

# ---- Names and values ----------------------------------------------------------------------------

EVERY = {"user.one": b"1", "trusted.two": b"22", "security.three": b"333"}


@either_tool
def test_every_prefix_is_read(tool: str, tmp_path: Path) -> None:  # D55
    tree = (
        file("all", xattrs=EVERY),
        *(file(name, xattrs={name: value}) for name, value in EVERY.items()),
    )
    with s3archivefs.open(make(tmp_path, tool, tree)) as fs:
        assert attributes(fs, "all") == EVERY
        for name, value in EVERY.items():
            assert attributes(fs, name) == {name: value}


@either_tool
def test_every_kind_of_file_may_have_attributes(tool: str, tmp_path: Path) -> None:  # D21, D28
    tree = tuple(
        replace(node, xattrs={"trusted.kind": node.kind.encode()})
        for node in (
            device("block", "block_device", 8, 1),
            device("char", "char_device", 5, 1),
            directory("directory"),
            fifo("fifo"),
            file("file", b"content"),
            symlink("link", "file"),
        )
    )
    with s3archivefs.open(make(tmp_path, tool, tree)) as fs:
        for node in tree:
            assert attributes(fs, node.path) == node.xattrs
            assert attributes(fs, "/" + node.path) == node.xattrs
        assert attributes(fs, "/") == {}


@either_tool
@pytest.mark.parametrize(
    "value",
    [b"", b"\x01", b"line\nline", "Grüße".encode(), b"v" * 8192, b"long " * 13_000],
    ids=len,
)
def test_values_of_any_length_are_read_whole(tool: str, value: bytes, tmp_path: Path) -> None:
    tree = (
        file("a", xattrs={"user.before": b"b", "user.value": value}),
        file("b", xattrs={"user.value": value, "user.z-after": b"a"}),
    )
    with s3archivefs.open(make(tmp_path, tool, tree)) as fs:
        for node in tree:
            assert attributes(fs, node.path) == node.xattrs


def test_names_may_be_long_and_come_as_text_or_bytes(tmp_path: Path) -> None:
    long = "user." + "n" * 250
    xattrs = {long: b"1", "user.Schlüssel": b"2", "user.a.b c": b"3"}
    with s3archivefs.open(make_image(tmp_path, (file("a", xattrs=xattrs),))) as fs:
        assert attributes(fs, "a") == xattrs
        for name, value in xattrs.items():
            assert fs.getxattr(b"a", name.encode()) == value


def test_names_come_in_the_order_of_the_image(tmp_path: Path) -> None:
    image = draft(tmp_path, (file("a", xattrs=EVERY),))
    stored = sorted(EVERY, key=lambda name: image.find(name.partition(".")[2].encode()))
    with image.open() as fs:
        assert fs.listxattr("a") == stored


def test_symlinks_are_followed_unless_told_not_to() -> None:
    with open_fixture(FIXTURES["xattrs"]) as fs:
        assert fs.listxattr("link") == fs.listxattr("file.txt") == ["user.kind", "security.label"]
        assert fs.getxattr("link", "user.kind") == b"a file"
        assert fs.listxattr("link", follow_symlinks=False) == ["trusted.kind"]
        assert fs.getxattr("link", "trusted.kind", follow_symlinks=False) == b"a symlink"


@pytest.mark.parametrize(
    ("path", "name", "follow"),
    [
        ("file.txt", "user.missing", True),
        ("file.txt", "kind", True),
        ("file.txt", "", True),
        ("file.txt", "trusted.kind", True),
        ("link", "trusted.kind", True),
        ("link", "user.kind", False),
        ("directory/plain.txt", "user.kind", True),
        ("/", b"user.kind", True),
    ],
)
def test_missing_attribute_is_enodata(path: str, name: str | bytes, *, follow: bool) -> None:
    with open_fixture(FIXTURES["xattrs"]) as fs:
        with pytest.raises(OSError, match=os.strerror(errno.ENODATA)) as caught:
            fs.getxattr(path, name, follow_symlinks=follow)
        assert caught.value.errno == errno.ENODATA
        assert caught.value.filename == path


def test_missing_path_is_file_not_found() -> None:
    with open_fixture(FIXTURES["xattrs"]) as fs:
        with pytest.raises(FileNotFoundError):
            fs.listxattr("missing")
        with pytest.raises(FileNotFoundError):
            fs.getxattr("missing", "user.kind")


# ---- Sharing, and many sets ----------------------------------------------------------------------


def test_value_that_repeats_is_stored_once_even_across_prefixes(tmp_path: Path) -> None:  # D56
    value = b"repeated" * 20
    tree = (
        file("1", xattrs={"trusted.t": value, "user.own": b"1"}),
        file("2", xattrs={"security.s": value, "user.own": b"2"}),
        file("3", xattrs={"user.u": value, "user.own": b"3"}),
    )
    image = draft(tmp_path, tree)
    assert image.data.count(value) == 1
    start, end = image.get(image["xattr_table_start"], "Q"), image["xattr_table_start"]
    types = {
        name: image.get(image.find(struct.pack("<H", 1) + name, start, end) - 2, "H")
        for name in (b"s", b"t", b"u")
    }
    assert types[b"s"] & 0xFF == 2
    assert types[b"t"] & 0xFF == 1
    assert types[b"u"] & 0xFF == 0
    assert sum(bool(kind & 0x0100) for kind in types.values()) >= 2
    with image.open() as fs:
        for node in tree:
            assert attributes(fs, node.path) == node.xattrs


@either_tool
@pytest.mark.parametrize("count", [1, 511, 512, 513, 600])
def test_sets_of_attributes_may_need_several_blocks_of_ids(
    tool: str, count: int, tmp_path: Path
) -> None:  # D53, D54
    tree = tuple(
        file(f"{number:03d}", xattrs={"user.a": b"%d" % number, "user.shared": b"shared" * 9})
        for number in range(count)
    )
    image = make(tmp_path, tool, tree)
    raw = Draft(image.read_bytes())
    assert raw.get(raw["xattr_table_start"] + 8, "I") == count
    with s3archivefs.open(image) as fs:
        for node in reversed(tree):
            assert attributes(fs, node.path) == node.xattrs
        assert list(fs.verify()) == []


def test_files_with_equal_attributes_share_a_set(tmp_path: Path) -> None:
    tree = tuple(file(f"{number}", xattrs={"user.a": b"same"}) for number in range(20))
    image = draft(tmp_path, tree)
    assert image.get(image["xattr_table_start"] + 8, "I") == 1
    with image.open() as fs:
        assert all(attributes(fs, node.path) == node.xattrs for node in tree)


def test_other_readers_say_the_same(tmp_path: Path) -> None:
    image = FIXTURES["xattrs"].image
    with open_fixture(FIXTURES["xattrs"]) as fs:
        for path in ("/directory", "/file.txt", "/link", "/repeated.txt"):
            said = run_tool("rdsquashfs", "-x", path, str(image)).stdout.decode().splitlines()
            ours = [f"{name}={value.decode()}" for name, value in attributes(fs, path).items()]
            assert sorted(said) == sorted(ours) != []


# ---- Whether there are any -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gzip", "xattrs-dropped", "tar2sqfs", "gensquashfs"])
def test_start_of_the_table_shows_whether_there_are_any_not_the_flag(name: str) -> None:  # D7
    image = Draft(FIXTURES[name].image.read_bytes())
    assert image["xattr_table_start"] == ABSENT
    assert bool(image["flags"] & 0x0200) is (name != "gzip")
    for flag in (0, 0x0200):
        image["flags"] = image["flags"] & ~0x0200 | flag
        with image.open() as fs:
            for each in observe(fs):
                assert fs.listxattr(each.path, follow_symlinks=False) == []


def test_flag_that_there_are_none_hides_none() -> None:  # D7, D8
    image = Draft(FIXTURES["xattrs"].image.read_bytes())
    image["flags"] |= 0x0200
    with image.open() as fs:
        assert fs.getxattr("file.txt", "user.kind") == b"a file"


def test_index_without_a_table_means_no_attributes() -> None:  # D57
    image = Draft(FIXTURES["xattrs"].image.read_bytes())
    image["xattr_table_start"] = ABSENT
    with image.open() as fs:
        assert fs.listxattr("file.txt") == []
        with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
            fs.getxattr("file.txt", "user.kind")
        assert observe(fs) == FIXTURES["xattrs"].tree
        assert list(fs.verify()) == []
