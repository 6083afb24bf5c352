"""What is extracted is what unsquashfs extracts: of every fixture, and of drawn trees.

Compared are kinds, modes, owners, times, targets, device numbers, hard links, holes as the file
system counts them, contents, and extended attributes. Users get no devices, fifos and sockets, but
an error for each.
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
from s3archivefs import ExtractionError, FileKind, SpecialFileError
from tests.support.drawn.images import WRITERS, Writer, images
from tests.support.drawn.packing import pack_drawn
from tests.support.images.extracted import open_to_owner
from tests.support.images.fixtures import FIXTURES, Fixture
from tests.support.images.trees import pack, sample_tree, write_tree

_IS_ROOT = os.geteuid() == 0

_PLAIN_KINDS = {FileKind.FILE, FileKind.DIRECTORY, FileKind.SYMLINK}

_NOT_ALL = 2
"""unsquashfs's exit code where an attribute of user.* could not be set on a symlink, and for users
where a device could not be made.
"""

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
    """All that is at a directory and below. Its owner may read everything then."""
    root = os.fsencode(top)
    found = {root: os.lstat(root)}
    os.chmod(root, 0o700)  # noqa: PTH101 -- bytes
    for above, directories, files in os.walk(root):
        paths = [os.path.join(above, name) for name in directories + files]  # noqa: PTH118 -- bytes
        found |= {path: os.lstat(path) for path in paths}
        for path in paths:
            if stat.S_ISDIR(found[path].st_mode):
                os.chmod(path, 0o700)  # noqa: PTH101 -- bytes
    open_to_owner(top)
    names: dict[int, set[bytes]] = defaultdict(set)
    for path, one in found.items():
        names[one.st_ino].add(path[len(root) :])
    return {path[len(root) :]: _made(path, one, names) for path, one in found.items()}


def _made(path: bytes, found: os.stat_result, names: dict[int, set[bytes]]) -> Made:
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
        [*command, "-d", str(target), str(image)],
        check=False,
        capture_output=True,
        umask=0,  # which it sets as root itself
    )
    assert done.returncode in {0, _NOT_ALL}, done
    return _for_us(made(target))  # to users it gives fifos


def extracted(image: Path, target: Path, offset: int = 0) -> dict[bytes, Made]:
    """All that the reader extracts; of what it does not, the errors are those to expect."""
    refused = []

    def on_error(path: str, error: Exception) -> None:
        if isinstance(error, SpecialFileError):
            assert "only root may make a" in str(error)
            refused.append(path)
            return
        assert isinstance(error, ExtractionError), (path, error)
        assert "is not set: Operation not permitted" in str(error)  # of user.* on a symlink

    with s3archivefs.open(image, offset=offset) as fs:
        fs.extract(
            "/",
            target,
            filter="fully-trusted",
            owner=_IS_ROOT,  # unsquashfs leaves owners to users likewise
            xattrs=True,
            on_error=on_error,
        )
        assert sorted(refused) == ([] if _IS_ROOT else sorted(_special_files(fs)))
    return made(target)


def _for_us(found: dict[bytes, Made]) -> dict[bytes, Made]:
    """What the reader extracts to whoever runs the tests."""
    return {path: one for path, one in found.items() if _IS_ROOT or _is_plain(one.mode)}


def _is_plain(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _special_files(fs: s3archivefs.SquashFS) -> list[str]:
    paths = [f"{top.rstrip('/')}/{name}" for top, _, names in fs.walk("/") for name in names]
    return [path for path in paths if fs.stat(path, follow_symlinks=False).kind not in _PLAIN_KINDS]


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
    packed = _for_us(made(tmp_path / "packed"))
    assert found.keys() == packed.keys()
    for path, one in found.items():
        assert one.content == packed[path].content
        assert one.same == packed[path].same


def _without_lacking_links(
    found: dict[bytes, Made], theirs: dict[bytes, Made]
) -> dict[bytes, Made]:
    """What is found, but for links that unsquashfs cannot make for users.

    It gives a directory its mode before all links to what is in it are made.
    """
    lacking = {path for path in found.keys() - theirs.keys() if len(found[path].same) > 1}
    return {
        path: one._replace(same=one.same - lacking)
        for path, one in found.items()
        if path not in lacking
    }


def _xattrs_of_users(fs: s3archivefs.SquashFS, path: bytes) -> dict[str, bytes]:
    names = [name for name in fs.listxattr(path) if name.startswith("user.")]
    return {name: fs.getxattr(path, name) for name in names}


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
    for top in (place / "ours", place / "theirs"):
        if top.exists():
            open_to_owner(top)
            shutil.rmtree(top)
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
            xattrs = one.xattrs
            if not (_IS_ROOT or one.mode & stat.S_IWUSR or stat.S_ISLNK(one.mode)):
                # To users unsquashfs 4.5.1 can set none once the mode is set.
                xattrs = _xattrs_of_users(fs, path or b"/")
            theirs[path] = one._replace(mode=mode, blocks=blocks, xattrs=xattrs)
    assert (found if _IS_ROOT else _without_lacking_links(found, theirs)) == theirs
