"""Images of all tools grow as if all had been packed at once, by others' judgement first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import Node
from s3archivefs.writer.compacting import ImageCompaction
from s3archivefs.writer.extending import ImageExtension
from s3archivefs.writer.replacing import FileReplacement, HeldImage
from tests.parts.reader.test_properties import (
    check_bulk,
    expected_tree,
    expected_xattrs,
    xattrs,
)
from tests.support.drawn.images import OWN_WRITER, WRITERS, DrawnImage, Writer, images
from tests.support.drawn.own_writer import member_of, write_drawn
from tests.support.drawn.packing import pack_drawn
from tests.support.images.fixtures import as_listing, observe, run_tool, unsquashfs_listing

pytestmark = pytest.mark.property
NO_XATTRS = {"-no-xattrs", "-x"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each example's image takes the place of the one before."""
    return tmp_path_factory.mktemp("extended") / "drawn.sqfs"


def pack(drawn: DrawnImage, image: Path) -> None:
    if drawn.writer is OWN_WRITER:
        write_drawn(drawn, image)
    else:
        pack_drawn(drawn, image)


def check(image: Path, drawn: DrawnImage, *, root_time: int | None = None) -> None:
    """The image holds what was drawn, as this writer counts links, and nothing of it is damaged."""
    expected = expected_tree(replace(drawn, writer=OWN_WRITER))
    if root_time is not None:
        expected[0] = replace(expected[0], mtime=root_time)
    assert unsquashfs_listing(image) == as_listing(expected)
    run_tool("rdsquashfs", "--describe", str(image))
    with s3archivefs.open(image) as fs:
        assert observe(fs) == expected
        assert list(fs.verify()) == []
        assert fs.compressor_options == drawn.compressor.stored
        assert fs.superblock.block_size == drawn.block_size
        if not NO_XATTRS & {*drawn.options}:
            assert xattrs(fs, expected) == expected_xattrs(drawn)
        check_bulk(fs, expected)


@pytest.mark.parametrize("writer", [OWN_WRITER, *WRITERS], ids=repr)
@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_a_tree_in_two_steps_is_the_tree_in_one(
    writer: Writer, image: Path, data: st.DataObject
) -> None:
    drawn = replace(data.draw(images(writer), label="image"), offset=0)
    assume(drawn.compressor.name != "lzma")
    first = data.draw(st.integers(1, len(drawn.nodes)), label="packed at first")
    pack(replace(drawn, nodes=drawn.nodes[:first]), image)
    with s3archivefs.open(image) as fs:
        root_time = None if writer.root else fs.stat("/").mtime
    before = image.read_bytes()

    with HeldImage(image) as held, ImageExtension(held.image, FileReplacement(held)) as extension:
        for node in drawn.nodes[first:]:
            extension.add(member_of(node))
        kept = held.image.superblock.inode_table_start
    assert image.read_bytes()[96:kept] == before[96:kept]
    check(image, drawn, root_time=root_time)


@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_what_is_removed_is_gone_for_good_and_the_rest_unchanged(
    image: Path, data: st.DataObject
) -> None:
    drawn = data.draw(images(OWN_WRITER), label="image")
    write_drawn(drawn, image)
    paths = [node.path for node in drawn.nodes if node.path]
    chosen = data.draw(st.lists(st.sampled_from(paths), unique=True) if paths else st.just([]))
    gone = {path for path in paths if any((path + "/").startswith(top + "/") for top in chosen)}

    with HeldImage(image) as held, ImageExtension(held.image, FileReplacement(held)) as extension:
        for path in chosen:
            if not any((path + "/").startswith(top + "/") for top in chosen if top != path):
                extension.remove(path.encode("utf-8", "surrogateescape"))
    left = replace(drawn, nodes=without(drawn, gone))
    check(image, left)
    with HeldImage(image) as held, ImageCompaction(held.image, held.output()):
        pass
    check(image, left)
    with HeldImage(image) as held:
        compaction = ImageCompaction(held.image, held.output())
        compaction.abandon()
        assert compaction.dead == 0


def without(drawn: DrawnImage, gone: set[str]) -> tuple[Node, ...]:
    """The nodes that stay: the first name of an inode has its attributes."""
    originals = {node.path: node for node in drawn.nodes}
    first: dict[str, str] = {}
    kept = []
    for node in drawn.nodes:
        if node.path in gone:
            continue
        inode = node.link_to or node.path
        if inode in first:
            kept.append(replace(node, link_to=first[inode]))
        else:
            first[inode] = node.path
            kept.append(replace(originals[inode], path=node.path))
    return tuple(kept)
