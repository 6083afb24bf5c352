"""What is extracted is what unsquashfs extracts: of every fixture, and of drawn trees.

Compared are kinds, modes, owners, times, targets, device numbers, hard links, holes as the file
system counts them, contents, and extended attributes. It takes root to make devices.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import s3archivefs
from s3archivefs import ExtractionError
from tests.support.drawn.images import WRITERS, Writer, images
from tests.support.drawn.packing import pack_drawn
from tests.support.images.fixtures import FIXTURES, Fixture
from tests.support.images.trees import pack, sample_tree, write_tree

_SET_AND_NOT_ALL = 2
"""unsquashfs's exit code where an attribute could not be set, of user.* on a symlink."""

_NOBODY_ELSE = 2**32 - 1
"""The id by which chown(2) leaves a file's as it is."""


class Made(NamedTuple):
    """What the operating system says of a path."""

    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    blocks: int
    rdev: int
    same: frozenset[bytes]
    """All paths of a file with several."""
    content: bytes
    """Checksum of a file's, or target of a symlink."""
    xattrs: dict[str, bytes]


def made(top: Path) -> dict[bytes, Made]:
    """All that is at a directory and below."""
    root = os.fsencode(top)
    paths = [root]
    for above, directories, files in os.walk(root):
        paths += [os.path.join(above, name) for name in directories + files]  # noqa: PTH118 -- bytes
    names: dict[int, set[bytes]] = defaultdict(set)
    for path in paths:
        names[os.lstat(path).st_ino].add(path[len(root) :])
    return {path[len(root) :]: _made(path, names) for path in paths}


def _made(path: bytes, names: dict[int, set[bytes]]) -> Made:
    found = os.lstat(path)
    is_directory = stat.S_ISDIR(found.st_mode)
    content = b""
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123 -- bytes
            content = hashlib.file_digest(file, "sha256").digest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)  # noqa: PTH115 -- bytes
    return Made(
        mode=found.st_mode,
        uid=found.st_uid,
        gid=found.st_gid,
        mtime=found.st_mtime_ns,
        size=0 if is_directory else found.st_size,
        blocks=0 if is_directory else found.st_blocks,
        rdev=found.st_rdev,
        same=frozenset() if is_directory else frozenset(names[found.st_ino]),
        content=content,
        xattrs={
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        },
    )


def extracted_by_unsquashfs(image: Path, target: Path, offset: int = 0) -> dict[bytes, Made]:
    command = ["unsquashfs", "-quiet", "-no-progress", "-ignore-errors", "-o", str(offset)]
    done = subprocess.run(
        [*command, "-d", str(target), str(image)], check=False, capture_output=True
    )
    assert done.returncode in {0, _SET_AND_NOT_ALL}, done
    return made(target)


def extracted(image: Path, target: Path, offset: int = 0) -> dict[bytes, Made]:
    def on_error(path: str, error: Exception) -> None:
        assert isinstance(error, ExtractionError), (path, error)
        assert "is not set: Operation not permitted" in str(error)  # of user.* on a symlink

    with s3archivefs.open(image, offset=offset) as fs:
        fs.extract(
            "/",
            target,
            filter="fully-trusted",
            owner=os.geteuid() == 0,  # unsquashfs leaves owners to users likewise
            xattrs=True,
            on_error=on_error,
        )
    return made(target)


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_fixtures_are_extracted_as_by_unsquashfs(fixture: Fixture, tmp_path: Path) -> None:
    found = extracted(fixture.image, tmp_path / "ours", fixture.offset)
    if fixture.name == "tar2sqfs-lz4":  # an id table that unsquashfs 4.5.1 refuses
        assert len(found) == len(fixture.tree)
    else:
        assert found == extracted_by_unsquashfs(fixture.image, tmp_path / "theirs", fixture.offset)


@pytest.mark.parametrize("block_size", [4096, 131072])
def test_a_tree_is_extracted_as_it_was_packed(block_size: int, tmp_path: Path) -> None:
    write_tree(sample_tree(block_size), tmp_path / "packed")
    image = pack(tmp_path / "packed", tmp_path / "t.sqfs", block_size=block_size)
    found = extracted(image, tmp_path / "ours")
    assert found == extracted_by_unsquashfs(image, tmp_path / "theirs")
    packed = made(tmp_path / "packed")
    assert found.keys() == packed.keys()
    for path, one in found.items():
        assert one.content == packed[path].content
        assert one.same == packed[path].same


def unwarranted(attributes: s3archivefs.Stat, mode: int) -> int:
    """Return the set-id bits for an owner or group that no system has.

    unsquashfs leaves the file root's, and sets them nevertheless.
    """
    if stat.S_ISLNK(mode):
        return 0
    bits = stat.S_ISUID if attributes.uid == _NOBODY_ELSE else 0
    return bits | (stat.S_ISGID if attributes.gid == _NOBODY_ELSE else 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each example's image and trees take the place of those before."""
    return tmp_path_factory.mktemp("drawn")


@pytest.mark.property
@pytest.mark.parametrize("writer", WRITERS, ids=repr)
@settings(phases=set(Phase) - {Phase.explain})  # which would take minutes
@given(data=st.data())
def test_drawn_trees_are_extracted_as_by_unsquashfs(
    writer: Writer, place: Path, data: st.DataObject
) -> None:
    drawn = data.draw(images(writer), label="image")
    image = place / "drawn.sqfs"
    for name in ("ours", "theirs"):
        shutil.rmtree(place / name, ignore_errors=True)
    pack_drawn(drawn, image)
    found = extracted(image, place / "ours", drawn.offset)
    if (writer.suite, drawn.compressor.name) == ("squashfs-tools-ng", "lz4"):
        return  # an id table that unsquashfs 4.5.1 refuses
    theirs = extracted_by_unsquashfs(image, place / "theirs", drawn.offset)
    with s3archivefs.open(image, offset=drawn.offset) as fs:
        for path, one in theirs.items():
            attributes = fs.stat(path or b"/", follow_symlinks=False)
            mode = one.mode & ~unwarranted(attributes, one.mode)
            # unsquashfs writes the last byte of a file that ends with a hole of one byte.
            blocks = min(one.blocks, found[path].blocks)
            theirs[path] = one._replace(mode=mode, blocks=blocks)
    assert found == theirs
