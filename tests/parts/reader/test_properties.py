"""Any tree that the real tools pack, with any options, reads back unchanged.

What each way of packing cannot express stands with `WRITERS` in tests/support/drawn/images.py.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import Node
from tests.support.drawn.images import WRITERS, DrawnImage, Writer, images
from tests.support.drawn.packing import pack_drawn
from tests.support.images.fixtures import FORMATS, Observed, observe

pytestmark = pytest.mark.property


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each example's image takes the place of the one before."""
    return tmp_path_factory.mktemp("drawn") / "drawn.sqfs"


@pytest.mark.parametrize("writer", WRITERS, ids=repr)
# To explain a failure would take minutes: each of its hundreds of attempts packs an image.
@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_image_reads_back_as_drawn(writer: Writer, image: Path, data: st.DataObject) -> None:
    drawn = data.draw(images(writer), label="image")
    start = int(time.time() - 1)  # time(2), which mksquashfs asks, runs some ms behind
    pack_drawn(drawn, image)
    end = time.time()

    with s3archivefs.open(image, offset=drawn.offset) as fs:
        expected = expected_tree(drawn)
        if not writer.root:
            root_time = fs.stat("/").mtime
            assert start <= root_time <= end
            expected[0] = replace(expected[0], mtime=root_time)
        assert observe(fs) == expected
        assert xattrs(fs, expected) == expected_xattrs(drawn)
        assert fs.superblock.block_size == drawn.block_size
        assert fs.superblock.compression.name.lower() == drawn.compressor.name
        assert fs.compressor_options == drawn.compressor.stored
        check_inode_numbers(fs, expected, exports=bool({"-exports", "-e"} & {*drawn.options}))
        assert list(fs.verify()) == []
        check_bulk(fs, expected)


def check_bulk(fs: s3archivefs.SquashFS, tree: list[Observed]) -> None:
    """Files read at once are what they are alone."""
    files = {each.path: each for each in tree if each.kind == "file"}
    many = dict(fs.read_many(files))
    assert many.keys() == files.keys()
    assert all(files[path].holds(content) for path, content in many.items())
    walked = {path: (stat, opened.read()) for path, stat, opened in fs.walk_files()}
    assert walked == {path: (fs.stat(path), content) for path, content in many.items()}


def xattrs(fs: s3archivefs.SquashFS, tree: list[Observed]) -> dict[str, dict[str, bytes]]:
    """The attributes of each path of a tree that has any."""
    found = {}
    for path in (each.path for each in tree):
        names = fs.listxattr(path, follow_symlinks=False)
        if names:
            found[path] = {name: fs.getxattr(path, name, follow_symlinks=False) for name in names}
            assert len(found[path]) == len(names)
    return found


def check_inode_numbers(fs: s3archivefs.SquashFS, tree: list[Observed], *, exports: bool) -> None:
    """Inode numbers run from 1 on; through the export table they lead back to their inodes."""
    stats = [fs.stat(each.path, follow_symlinks=False) for each in tree]
    by_number = {found.inode_number: found for found in stats}
    assert sorted(by_number) == [*range(1, fs.superblock.inode_count + 1)]
    if exports:
        assert {number: fs.stat_inode(number) for number in by_number} == by_number
    else:
        with pytest.raises(s3archivefs.UnsupportedError):
            fs.stat_inode(1)


# ---- What the image must hold --------------------------------------------------------------------


def expected_tree(drawn: DrawnImage) -> list[Observed]:
    """What `observe` finds in the image."""
    names: dict[str, set[str]] = defaultdict(set)
    entries: dict[str, int] = defaultdict(int)
    for node in drawn.nodes:
        names[node.link_to or node.path].add("/" + node.path)
        # Of a directory's entries mksquashfs counts directories as links, squashfs-tools-ng all.
        if node.path and (node.kind == "directory" or drawn.writer.suite == "squashfs-tools-ng"):
            entries[node.path.rpartition("/")[0]] += 1
    found = []
    for path, node in resolved(drawn):
        links = names[node.path]
        found.append(
            Observed(
                path="/" + path,
                kind=node.kind,
                mode=node.mode | FORMATS[node.kind],
                uid=node.uid,
                gid=node.gid,
                mtime=node.mtime,
                nlink=2 + entries[path] if node.kind == "directory" else len(links),
                size=len(node.content or as_bytes(node.target)),
                sha256=hashlib.sha256(node.content).hexdigest() if node.kind == "file" else None,
                target=node.target if node.kind == "symlink" else None,
                rdev=node.rdev,
                same_inode=frozenset(links if len(links) > 1 else ()),
            )
        )
    return sorted(found, key=lambda each: as_bytes(each.path))


def expected_xattrs(drawn: DrawnImage) -> dict[str, dict[str, bytes]]:
    """The attributes of each path that has any."""
    if {"-no-xattrs", "-x"} & {*drawn.options}:
        return {}
    return {"/" + path: node.xattrs for path, node in resolved(drawn) if node.xattrs}


def resolved(drawn: DrawnImage) -> Iterator[tuple[str, Node]]:
    """Each path with the node that it is a name of."""
    originals = {node.path: node for node in drawn.nodes}
    for node in drawn.nodes:
        yield node.path, originals[node.link_to] if node.kind == "hard_link" else node


def as_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
