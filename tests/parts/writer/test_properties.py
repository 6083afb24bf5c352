"""Any tree that the writer packs, with any options, reads back unchanged, by others first."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import s3archivefs
from tests.parts.reader.test_differential import fields, rdsquashfs_fields
from tests.parts.reader.test_properties import (
    check_bulk,
    check_inode_numbers,
    expected_tree,
    expected_xattrs,
    xattrs,
)
from tests.support.drawn.images import OWN_WRITER, DrawnImage, images
from tests.support.drawn.own_writer import write_drawn
from tests.support.images.fixtures import (
    as_listing,
    observe,
    run_tool,
    unsquashfs_listing,
)
from tests.support.images.judges import (
    extracted_by_rdsquashfs,
    extracted_by_unsquashfs,
    linux_reads,
    mounted_by_linux,
    on_disk,
    read_by_dissect,
    skip_without_loop_devices,
    xattrs_on_disk,
)

pytestmark = pytest.mark.property

ASKED = 12
"""Paths that rdsquashfs is asked for at most, a process for each question."""
DISSECT_LZ4_BLOCK = 8 << 10
"""Shortest data block of an lz4 image that dissect.squashfs reads.

It has the decoder refuse more than a data block of metadata too, whose blocks have 8 KiB.
"""
DISSECT_MEMBERS = 50
"""Members of the largest tree that it is asked for: a millisecond each."""
NO_OWNER, NOBODY = 2**32 - 1, 65534


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each example's image takes the place of the one before."""
    return tmp_path_factory.mktemp("drawn") / "drawn.sqfs"


@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_image_reads_back_as_drawn(image: Path, data: st.DataObject) -> None:
    drawn = data.draw(images(OWN_WRITER), label="image")
    write_drawn(drawn, image)
    expected = expected_tree(drawn)

    assert unsquashfs_listing(image) == as_listing(expected)
    is_refused = drawn.compressor.name == "lz4" and drawn.block_size < DISSECT_LZ4_BLOCK
    if not is_refused and len(expected) < DISSECT_MEMBERS:
        assert read_by_dissect(image) == {
            each.path: (each.mode, each.uid, each.gid, each.mtime, each.sha256 or each.target)
            for each in expected
        }
    with s3archivefs.open(image) as fs:
        assert observe(fs) == expected
        assert xattrs(fs, expected) == expected_xattrs(drawn)
        assert fs.superblock.block_size == drawn.block_size
        assert fs.superblock.compression.name.lower() == drawn.compressor.name
        assert fs.compressor_options == drawn.compressor.stored
        check_inode_numbers(fs, expected, exports="-exports" in drawn.options)
        assert list(fs.verify()) == []
        check_bulk(fs, expected)


@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_other_programs_extract_what_was_drawn(image: Path, data: st.DataObject) -> None:
    drawn = data.draw(images(OWN_WRITER), label="image")
    if os.geteuid() != 0:
        drawn = extractable_by_users(drawn)
    write_drawn(drawn, image)
    expected = expected_tree(drawn)
    files = {each.path: each.sha256 for each in expected if each.kind == "file"}

    assert extracted_by_unsquashfs(image) == files
    assert extracted_by_rdsquashfs(image) == files


@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_rdsquashfs_finds_the_attributes_that_were_drawn(image: Path, data: st.DataObject) -> None:
    drawn = data.draw(images(OWN_WRITER), label="image")
    write_drawn(drawn, image)
    expected = {each.path: each for each in expected_tree(drawn)[:ASKED]}
    attributes = expected_xattrs(drawn)

    with s3archivefs.open(image) as fs:
        ours = {path: fields(fs, path) for path in expected}
    assert {path: rdsquashfs_fields(image, path) for path in expected} == ours
    for path in expected:
        shown = run_tool("rdsquashfs", "-x", path, str(image)).stdout
        drawn_here = attributes.get(path, {})
        assert bool(shown) == bool(drawn_here)
        for name, value in drawn_here.items():
            if is_printable(os.fsencode(name)) and is_printable(value):
                assert b"%s=%s\n" % (os.fsencode(name), value) in shown


@settings(phases=set(Phase) - {Phase.explain})
@given(data=st.data())
def test_linux_mounts_what_was_drawn(image: Path, data: st.DataObject) -> None:
    skip_without_loop_devices()
    drawn = owned(data.draw(images(OWN_WRITER), label="image"))
    write_drawn(drawn, image)
    expected = expected_tree(drawn)
    kinds = {each.path: each.kind for each in expected}
    attributes = {
        path: kept
        for path, each in expected_xattrs(drawn).items()
        if (kept := {name: value for name, value in each.items() if linux_reads(kinds[path], name)})
    }

    with mounted_by_linux(image) as top:
        assert on_disk(top) == expected
        found = xattrs_on_disk(top)
    assert found == attributes


def owned(drawn: DrawnImage) -> DrawnImage:
    """The image with owners that Linux has: to others' files it lets not even root."""
    nodes = (
        replace(
            node,
            uid=NOBODY if node.uid == NO_OWNER else node.uid,
            gid=NOBODY if node.gid == NO_OWNER else node.gid,
        )
        for node in drawn.nodes
    )
    return replace(drawn, nodes=tuple(nodes))


def extractable_by_users(drawn: DrawnImage) -> DrawnImage:
    """The image without devices, and with modes by which its owner reads all of it."""
    devices = {node.path for node in drawn.nodes if node.kind.endswith("_device")}
    nodes = (
        node if node.kind == "symlink" else replace(node, mode=node.mode | stat.S_IRWXU)
        for node in drawn.nodes
        if devices.isdisjoint({node.path, node.link_to})
    )
    return replace(drawn, nodes=tuple(nodes))


def is_printable(text: bytes) -> bool:
    """Whether rdsquashfs prints the text, and not digits for it."""
    return all(0x20 <= byte < 0x7F for byte in text)
