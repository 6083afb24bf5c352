from __future__ import annotations

from pathlib import Path

import pytest

from s3archivefs import CorruptImageError
from s3archivefs.layout import table_sizes
from tests.support.images.drafts import edited
from tests.support.images.fixtures import FIXTURES, Fixture, open_fixture


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_tables_fill_the_image_from_the_inodes_on(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        sizes = table_sizes(fs.device, fs.superblock)
        assert sum(sizes.values()) == fs.superblock.bytes_used - fs.superblock.inode_table_start
        assert min(sizes.values()) >= 0


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("xattrs", {"inodes", "directories", "fragments", "exports", "ids", "xattrs"}),
        ("no-exports", {"inodes", "directories", "fragments", "ids"}),
        ("empty", {"inodes", "directories", "exports", "ids"}),
    ],
)
def test_only_tables_that_the_image_has_have_a_size(name: str, tables: set[str]) -> None:
    with open_fixture(FIXTURES[name]) as fs:
        assert set(table_sizes(fs.device, fs.superblock)) == tables


@pytest.mark.parametrize("position", [0, 96, 1 << 62])
def test_a_list_that_leads_elsewhere_is_damage(position: int) -> None:
    image = edited("gzip")
    image.put(image["id_table_start"], "Q", position)
    with (
        image.open() as fs,
        pytest.raises(CorruptImageError, match=f"ids table claims to start at {position}"),
    ):
        table_sizes(fs.device, fs.superblock)


def test_the_device_of_an_embedded_image_starts_with_it() -> None:
    with open_fixture(FIXTURES["embedded"]) as fs:
        assert fs.device.pread(0, 4) == b"hsqs"
        assert fs.device.size <= Path(FIXTURES["embedded"].image).stat().st_size
