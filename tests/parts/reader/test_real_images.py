"""Images that the real tools make of a directory read back byte for byte.

What is expected comes from `os.lstat`, `os.readlink` and the files; what `unsquashfs -lls` lists is
a second opinion on each image.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import pytest

import s3archivefs
from fixtures.build import build
from fixtures.recipes import RECIPES, Recipe
from fixtures.shapes import noise, text
from fixtures.tree import Node, file, hard_link
from tests.support.images.fixtures import (
    FIXTURES,
    Fixture,
    Observed,
    as_listing,
    observe,
    unsquashfs_listing,
)
from tests.support.images.trees import empties, links, odd_names, pack, write_tree

Tool = Literal["mksquashfs", "gensquashfs"]

COMPRESSORS = ("gzip", "lzma", "lzo", "xz", "lz4", "zstd")
BLOCK_SIZES = (4 << 10, 128 << 10, 1 << 20)
DEVICE = Observed(
    path="/pseudo-device",
    kind="char_device",
    mode=stat.S_IFCHR | 0o620,
    uid=3,
    gid=4,
    mtime=1_234_567_890,
    nlink=1,
    size=0,
    rdev=(5, 70000),
)
PSEUDO = ("-p", "pseudo-device C 1234567890 620 3 4 5 70000")


@dataclass(frozen=True, slots=True)
class Case:
    """One image of the matrix."""

    tool: Tool
    compressor: str
    block_size: int
    options: tuple[str, ...]

    def __str__(self) -> str:
        options = "".join(option for option in self.options if not option.isdigit())
        return f"{self.tool}-{self.compressor}-{self.block_size >> 10}K{options}"


OPTIONS: dict[Tool, tuple[tuple[str, ...], ...]] = {
    "mksquashfs": (
        (),
        ("-no-fragments", "-nopad"),
        ("-always-use-fragments", "-noI"),
        ("-tailends", "-noD"),
        ("-noF", "-offset", "4096"),
        ("-noI", "-noId", "-noD", "-noF", "-noX", "-no-exports"),
        ("-no-sparse", "-no-duplicates", "-offset", "1000", "-nopad"),
        ("-no-exports", "-no-xattrs", "-always-use-fragments"),
        ("-noId", "-no-fragments"),
    ),
    "gensquashfs": ((), ("-e", "-T")),
}


def cases() -> list[Case]:
    """All pairs of compressor, block size and row of options, not the full product."""
    return [
        Case(tool, compressor, BLOCK_SIZES[(number + row) % 3], options)
        for tool in OPTIONS
        for number, compressor in enumerate(COMPRESSORS)
        for row, options in enumerate(OPTIONS[tool])
    ]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, list[Observed]]]:
    """For each block size a directory with files of all sizes around it, and what it holds."""
    made = {}
    for block_size in BLOCK_SIZES:
        top = tmp_path_factory.mktemp(f"tree-{block_size >> 10}K")
        write_shapes(top, block_size)
        made[block_size] = (top, on_disk(top))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_reads_back_what_the_tool_packed(
    case: Case, trees: dict[int, tuple[Path, list[Observed]]], tmp_path: Path
) -> None:
    top, expected = trees[case.block_size]
    pseudo = PSEUDO if case.tool == "mksquashfs" else ()
    image = pack(
        top,
        tmp_path / "t.sqfs",
        tool=case.tool,
        compressor=case.compressor,
        block_size=case.block_size,
        extra=(*pseudo, *case.options),
    )
    if pseudo:
        expected = sorted([*expected, DEVICE], key=path_bytes)
    else:
        expected = as_gensquashfs_sees(expected)
    offset = 0
    if "-offset" in case.options:
        offset = int(case.options[case.options.index("-offset") + 1])

    with s3archivefs.open(image, offset=offset) as fs:
        assert fs.superblock.block_size == case.block_size
        assert fs.superblock.compression.name.lower() == case.compressor
        assert observe(fs) == expected
        for directory, names in names_by_directory(expected).items():
            assert fs.listdir(os.fsencode(directory)) == sorted(map(os.fsencode, names))
    if (case.tool, case.compressor) != ("gensquashfs", "lz4"):  # see LISTED_FIXTURES
        assert unsquashfs_listing(image, offset) == as_listing(expected)


# squashfs-tools-ng 1.2.0 keeps an id table that lz4 made longer; unsquashfs 4.5.1 refuses that.
LISTED_FIXTURES = [each for each in FIXTURES.values() if each.name != "tar2sqfs-lz4"]


@pytest.mark.parametrize("fixture", LISTED_FIXTURES, ids=lambda fixture: fixture.name)
def test_manifest_agrees_with_unsquashfs(fixture: Fixture) -> None:
    assert unsquashfs_listing(fixture.image, fixture.offset) == as_listing(fixture.tree)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipe_makes_what_the_manifest_says(recipe: Recipe, tmp_path: Path) -> None:
    # Whatever the versions of the tools here; the bytes themselves are `fixtures.build --check`'s.
    image = tmp_path / "t.sqfs"
    build(recipe, image)
    with s3archivefs.open(image, offset=recipe.offset) as fs:
        assert observe(fs) == FIXTURES[recipe.name].tree


# ---- The tree, and what the operating system says of it ------------------------------------------


def lines(size: int) -> bytes:
    """So many bytes that no compressor takes long over, though it be a megabyte for each block."""
    count = size // 2000 + 1
    return b"".join((b"line %05d" % number).ljust(1999, b".") + b"\n" for number in range(count))[
        :size
    ]


def shapes(block_size: int) -> tuple[Node, ...]:
    """Sizes around the block size, holes, a long listing, a deep path, links and odd names."""
    sizes = (0, 1, block_size - 1, block_size, block_size + 1, 2 * block_size + 1)
    data, hole = lines(block_size), bytes(block_size)
    holes = {
        "first": hole + text(99),
        "middle": data + hole * 2 + text(99),
        "last": data + hole + bytes(7),
        "everywhere": hole * 3 + bytes(7),
    }
    return (
        *odd_names(),
        *links(),
        *empties(),
        *(file(f"sizes/{size}", lines(size)) for size in sizes),
        *(file(f"holes/{name}", content) for name, content in holes.items()),
        # More than one directory header and more than one metadata block.
        *(file(f"many/{number:03d}-of-a-directory", b"%d" % number) for number in range(340)),
        file("/".join(["deep"] * 12), text(100)),
        file("noise", noise(block_size + 5000)),
        hard_link("000-another-name", "noise"),
    )


def write_shapes(top: Path, block_size: int) -> None:
    """Write `shapes` and a socket; each path gets a mode, a time and, if it may be, an owner."""
    write_tree(shapes(block_size), top)
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(top):
        listener.bind("socket")  # the whole path may be longer than a socket's may
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        if os.geteuid() == 0:
            os.chown(path, number % 5 * 1000, 4_000_000_000 + number % 3, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod((0o700 if path.is_dir() else 0o400) | (number * 0o111) % 0o7777)
        os.utime(path, (0, 1_000_000_000 + number * 1001), follow_symlinks=False)
    top.chmod(0o755)  # as gensquashfs makes the root
    os.utime(top, (0, 1_100_000_000))


def on_disk(top: Path) -> list[Observed]:
    """What the operating system says of a tree; `nlink` of directories is as mksquashfs counts."""
    paths = {"/" + path.relative_to(top).as_posix(): path for path in top.rglob("*")}
    paths["/"] = top
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symlink",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
    }
    same: dict[int, set[str]] = defaultdict(set)
    for name, path in paths.items():
        same[path.lstat().st_ino].add(name)
    observed = []
    for name, path in paths.items():
        found = path.lstat()
        kind = kinds[stat.S_IFMT(found.st_mode)]
        links = found.st_nlink
        if kind == "directory":
            links = 2 + sum(child.is_dir() and not child.is_symlink() for child in path.iterdir())
        observed.append(
            Observed(
                path=name,
                kind=kind,
                mode=found.st_mode,
                uid=found.st_uid,
                gid=found.st_gid,
                mtime=int(found.st_mtime),
                nlink=links,
                size=found.st_size if kind in {"file", "symlink"} else 0,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest() if kind == "file" else None,
                target=str(path.readlink()) if kind == "symlink" else None,
                same_inode=frozenset(same[found.st_ino] if len(same[found.st_ino]) > 1 else ()),
            )
        )
    return sorted(observed, key=path_bytes)


def as_gensquashfs_sees(tree: list[Observed]) -> list[Observed]:
    """gensquashfs 1.2.0 makes a file of each hard link, and counts all entries in `nlink`."""
    entries = names_by_directory(tree)
    return [
        replace(
            each,
            same_inode=frozenset(),
            nlink=2 + len(entries[each.path]) if each.kind == "directory" else 1,
        )
        for each in tree
    ]


def names_by_directory(tree: list[Observed]) -> dict[str, list[str]]:
    """The names in each directory of a tree."""
    names: dict[str, list[str]] = {each.path: [] for each in tree if each.kind == "directory"}
    for each in tree[1:]:
        names[str(PurePosixPath(each.path).parent)].append(PurePosixPath(each.path).name)
    return names


def path_bytes(each: Observed) -> bytes:
    """The key that sorts as the image does."""
    return os.fsencode(each.path)
