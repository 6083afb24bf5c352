"""This reader agrees with squashfs-tools and squashfs-tools-ng on the same images.

It agrees on every fixture, field by field and byte by byte, and on a tree of thousands of files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import s3archivefs
from tests.support.images.fixtures import (
    FIXTURES,
    Fixture,
    Observed,
    as_listing,
    observe,
    open_fixture,
    run_tool,
    split_rdev,
    unsquashfs_listing,
)
from tests.support.images.trees import pack, sample_tree, standard_library_tree, write_tree

# squashfs-tools-ng 1.2.0 keeps an id table that lz4 made longer; unsquashfs 4.5.1 refuses that.
FOR_UNSQUASHFS = {name: each for name, each in FIXTURES.items() if name != "tar2sqfs-lz4"}

for_unsquashfs = pytest.mark.parametrize("fixture", FOR_UNSQUASHFS.values(), ids=FOR_UNSQUASHFS)
for_rdsquashfs = pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)


@for_unsquashfs
def test_listing_is_that_of_unsquashfs(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        assert as_listing(observe(fs)) == unsquashfs_listing(fixture.image, fixture.offset)


@for_unsquashfs
def test_contents_are_those_of_unsquashfs(fixture: Fixture) -> None:
    source = ("-no-wildcards", "-o", str(fixture.offset), "-cat", str(fixture.image))
    with open_fixture(fixture) as fs:
        for path in paths_of(fixture, "file"):
            assert fs.read_bytes(path) == run_tool("unsquashfs", *source, path).stdout


@for_rdsquashfs
def test_attributes_are_those_of_rdsquashfs(fixture: Fixture, tmp_path: Path) -> None:
    image = without_offset(fixture, tmp_path)
    with open_fixture(fixture) as fs:
        for path in paths_of(fixture):
            assert fields(fs, path) == rdsquashfs_fields(image, path)


@for_rdsquashfs
def test_contents_are_those_of_rdsquashfs(fixture: Fixture, tmp_path: Path) -> None:
    image = without_offset(fixture, tmp_path)
    with open_fixture(fixture) as fs:
        for path in paths_of(fixture, "file"):
            assert fs.read_bytes(path) == run_tool("rdsquashfs", "-c", path, str(image)).stdout


@for_rdsquashfs
def test_xattrs_are_those_of_rdsquashfs(fixture: Fixture, tmp_path: Path) -> None:
    image = without_offset(fixture, tmp_path)
    with open_fixture(fixture) as fs:
        for path in paths_of(fixture):
            lines = [
                name.encode() + b"=" + fs.getxattr(path, name, follow_symlinks=False) + b"\n"
                for name in fs.listxattr(path, follow_symlinks=False)
            ]
            # Values of fixtures are printable; of others rdsquashfs shows the hexadecimal digits.
            assert b"".join(lines) == run_tool("rdsquashfs", "-x", path, str(image)).stdout


# ---- A real tree ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regular_files() -> int:
    """How many files the tree holds at least; tests/nightly has more."""
    return 2_000


@pytest.fixture(scope="module")
def large_image(tmp_path_factory: pytest.TempPathFactory, regular_files: int) -> Path:
    """An image of the standard library, whole and in copies cut short, and of all odd shapes."""
    image = tmp_path_factory.mktemp("large") / "large.sqfs"
    with TemporaryDirectory() as name:  # pytest would keep the tree, hundreds of MB, for days
        top = Path(name, "tree")
        library = standard_library_tree(top / "library")
        files = [path for path in library.rglob("*") if path.is_file() and not path.is_symlink()]
        for number in range(len(files), regular_files):
            copy, path = divmod(number, len(files))
            target = top / f"copy-{copy}" / files[path].relative_to(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Unlike all others, so that each has its own place in the image.
            target.write_bytes(b"%d\n" % number + files[path].read_bytes()[: 6 << 10])
        write_tree(sample_tree(), top / "shapes")
        return pack(top, image, compressor="zstd", extra=("-Xcompression-level", "1"))


@pytest.fixture(scope="module")
def large_tree(large_image: Path) -> list[Observed]:
    """What this reader finds in the image."""
    with s3archivefs.open(large_image) as fs:
        return observe(fs)


def test_listing_of_a_large_tree_is_that_of_unsquashfs(
    large_image: Path, large_tree: list[Observed], regular_files: int
) -> None:
    assert sum(each.kind == "file" for each in large_tree) >= regular_files
    assert as_listing(large_tree) == unsquashfs_listing(large_image)


def test_walk_of_a_large_tree_finds_what_unsquashfs_lists(large_image: Path) -> None:
    with s3archivefs.open(large_image) as fs:
        walked = {"/", *walk(fs)}
    assert walked == {row[4] for row in unsquashfs_listing(large_image)}


def test_contents_of_a_large_tree_are_those_that_unsquashfs_extracts(
    large_image: Path, large_tree: list[Observed]
) -> None:
    ours = {each.path: each.sha256 for each in large_tree if each.kind == "file"}
    with TemporaryDirectory() as name:
        top = Path(name, "extracted")
        run_tool("unsquashfs", "-quiet", "-no-progress", "-d", str(top), str(large_image))
        theirs = {
            path: hashlib.sha256((top / path.lstrip("/")).read_bytes()).hexdigest() for path in ours
        }
    assert ours == theirs


# ---- Both sides ----------------------------------------------------------------------------------


def paths_of(fixture: Fixture, kind: str | None = None) -> list[str]:
    """The paths of a fixture, or those of one kind."""
    return [each.path for each in fixture.tree if kind in {None, each.kind}]


def without_offset(fixture: Fixture, directory: Path) -> Path:
    """The fixture's image at the start of a file, for rdsquashfs knows no offsets."""
    if not fixture.offset:
        return fixture.image
    image = directory / "moved.sqfs"
    image.write_bytes(fixture.image.read_bytes()[fixture.offset :])
    return image


def walk(fs: s3archivefs.SquashFS) -> Iterator[str]:
    for top, directories, others in fs.walk("/"):
        for name in (*directories, *others):
            yield f"{top.rstrip('/')}/{name}"


def fields(fs: s3archivefs.SquashFS, path: str) -> dict[str, str]:
    """The reader's answer in the words of rdsquashfs."""
    found = fs.stat(path, follow_symlinks=False)
    kinds = {"symlink": "symbolic link", "char_device": "character device", "fifo": "named pipe"}
    kind = found.kind.name.lower()
    said = {
        "Inode type": kinds.get(kind, kind.replace("_", " ")),
        "Inode number": str(found.inode_number),
        "Access": f"0{found.mode & 0o7777:o}",
        "UID": str(found.uid),
        "GID": str(found.gid),
        "Last modified": str(found.mtime),
        "Hard link count": str(found.nlink),
    }
    if kind == "file":
        said["File size"] = str(found.size)
    elif kind == "symlink":
        said["Link target"] = fs.readlink(path)
    elif kind.endswith("device"):
        said["Device number"] = "{}:{} ({})".format(*split_rdev(found.rdev), found.rdev)
    return said


def rdsquashfs_fields(image: Path, path: str) -> dict[str, str]:
    """What `rdsquashfs --stat` says of a path, but for where its parts lie in the image."""
    output = run_tool("rdsquashfs", "-s", path, str(image)).stdout
    text = output.decode("utf-8", "surrogateescape")
    said = {"Hard link count": "1"}  # a basic inode of a file has none
    patterns = {
        "Inode type": r"(?:extended )?(.*)",
        "Inode number": r"(\d+)",
        "Access": r"(0[0-7]*)",
        "UID": r"(\d+) .*",
        "GID": r"(\d+) .*",
        "Last modified": r".*\((\d+)\)",
        "Hard link count": r"(\d+)",
        "File size": r"(\d+)",
        "Link target": r"([\s\S]*)",  # the last line, or lines
        "Device number": r"(.*)",
    }
    for name, pattern in patterns.items():
        if match := re.search(rf"^{name}: {pattern}$", text, re.MULTILINE):
            said[name] = match[1].removesuffix("\n") if name == "Link target" else match[1]
    return said
