"""Any tree that the writer packs, with any options, reads back unchanged, by others first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import s3archivefs
from tests.parts.reader.test_properties import (
    check_bulk,
    check_inode_numbers,
    expected_tree,
    expected_xattrs,
    xattrs,
)
from tests.support.drawn.images import OWN_WRITER, images
from tests.support.drawn.own_writer import write_drawn
from tests.support.images.fixtures import as_listing, observe, unsquashfs_listing

pytestmark = pytest.mark.property


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
    with s3archivefs.open(image) as fs:
        assert observe(fs) == expected
        assert xattrs(fs, expected) == expected_xattrs(drawn)
        assert fs.superblock.block_size == drawn.block_size
        assert fs.superblock.compression.name.lower() == drawn.compressor.name
        assert fs.compressor_options == drawn.compressor.stored
        check_inode_numbers(fs, expected, exports="-exports" in drawn.options)
        assert list(fs.verify()) == []
        check_bulk(fs, expected)
