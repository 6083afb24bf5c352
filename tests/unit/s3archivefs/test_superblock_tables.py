"""The order of the tables, and the extent that each may have."""

from __future__ import annotations

import struct
from itertools import combinations

import pytest

import s3archivefs
from tests.support.images.drafts import ABSENT, SUPERBLOCK, edited
from tests.support.images.fixtures import FIXTURES, observe

TABLES = ("inode", "directory", "fragment", "export", "id", "xattr")  # as they stand on disk


def test_tables_stand_in_one_order_and_point_where_the_format_says() -> None:  # D4, D5, D12
    draft = edited("xattrs")
    starts = [draft[f"{table}_table_start"] for table in TABLES]
    assert starts == sorted(starts)
    for table in ("fragment", "export", "id"):  # a list of positions; the blocks lie before it
        (first,) = draft.blocks_of(f"{table}_table_start", 1)
        assert draft["directory_table_start"] < first < draft[f"{table}_table_start"]
    pairs, _, _, first = struct.unpack_from("<QIIQ", draft.data, draft["xattr_table_start"])
    assert draft["id_table_start"] < pairs < first < draft["xattr_table_start"]
    for table in ("inode", "directory"):  # a metadata block itself
        start = draft[f"{table}_table_start"]
        assert start + 2 + (draft.get(start, "H") & 0x7FFF) in {
            *starts,
            *draft.blocks_of("fragment_table_start", 1),
        }


@pytest.mark.parametrize(("one", "other"), list(combinations(TABLES, 2)))
def test_tables_out_of_order_are_refused_by_name(one: str, other: str) -> None:  # D12, F6
    draft = edited("xattrs")
    fields = f"{one}_table_start", f"{other}_table_start"
    values = draft[fields[0]], draft[fields[1]]
    draft[fields[1]], draft[fields[0]] = values
    with pytest.raises(s3archivefs.CorruptImageError, match=r"the \w+ table starts at byte") as e:
        draft.open()
    assert any(table in e.value.what for table in TABLES)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("start", [0, 95, 0x480, 0x481, 1 << 40, 2**63, 2**64 - 2])
def test_table_outside_the_image_is_refused_by_name(table: str, start: int) -> None:  # F6
    draft = edited("xattrs")
    assert draft["bytes_used"] == 0x480
    draft[f"{table}_table_start"] = start
    with pytest.raises(
        s3archivefs.CorruptImageError, match=rf"the {table} table starts at byte {start},|, not"
    ) as caught:
        draft.open()
    assert f"the {table} table" in caught.value.what
    assert caught.value.offset == SUPERBLOCK[f"{table}_table_start"][0]


@pytest.mark.parametrize("table", ["inode", "directory", "id"])
def test_tables_that_every_image_has_cannot_be_absent(table: str) -> None:  # D6
    draft = edited("gzip")
    draft[f"{table}_table_start"] = ABSENT
    with pytest.raises(s3archivefs.CorruptImageError, match=f"the {table} table"):
        draft.open()


@pytest.mark.parametrize("name", ["empty-files", "tar2sqfs-empty-files", "empty"])
def test_start_of_the_fragment_table_means_nothing_without_fragments(name: str) -> None:  # D6
    draft = edited(name)
    assert draft["fragment_count"] == 0
    for start in (0, 200, draft["bytes_used"], 1 << 50, ABSENT):
        draft["fragment_table_start"] = start
        with draft.open() as fs:
            assert observe(fs) == FIXTURES[name].tree
            assert list(fs.verify()) == []


@pytest.mark.parametrize("name", ["empty", "tar2sqfs-empty"])
def test_empty_directory_table_may_start_where_the_next_one_does(name: str) -> None:  # D11
    draft = edited(name)
    following = [draft.blocks_of("id_table_start", 1)[0]]
    if draft["export_table_start"] != ABSENT:
        following += draft.blocks_of("export_table_start", 1)
    assert draft["directory_table_start"] in following
    with draft.open() as fs:
        assert fs.listdir("/") == []
        assert list(fs.verify()) == []


@pytest.mark.parametrize(
    ("table", "count", "value", "said"),
    [
        ("id", "id_count", 12, None),
        ("fragment", "fragment_count", 6, None),
        # More records than the list has room for before the next table.
        ("fragment", "fragment_count", 5000, "needs 80 bytes for 5000 records"),
        ("export", "inode_count", 100_000, r"needs 784 bytes for 100000 records"),
        ("id", "id_count", 65535, "needs 256 bytes for 65535 records"),
    ],
)
def test_table_has_room_for_the_records_that_are_counted(
    table: str, count: str, value: int, said: str | None
) -> None:  # D12
    draft = edited("xattrs")
    if table != "export":
        draft["inode_count"] = max(value, draft["inode_count"])
        draft["export_table_start"] = ABSENT
    draft[count] = value
    if said is None:  # noticed where the table is read: its block is not as long as it must be
        with draft.open() as fs:
            assert any(f"{table} table" in str(problem) for problem in fs.verify())
        return
    with pytest.raises(s3archivefs.CorruptImageError, match=f"the {table} table's list.*{said}"):
        draft.open()
