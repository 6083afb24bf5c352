from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import format as on_disk
from s3archivefs.records import Record

RECORDS = [
    found
    for found in vars(on_disk).values()
    if isinstance(found, type) and issubclass(found, Record) and found is not Record
]

SIZES = {
    "Superblock": 96,
    "InodeHeader": 16,
    "BasicDirectory": 32,
    "ExtendedDirectory": 40,
    "BasicFile": 32,
    "ExtendedFile": 56,
    "BasicSymlink": 24,
    "ExtendedSymlink": 24,
    "BasicDevice": 24,
    "ExtendedDevice": 28,
    "BasicIpc": 20,
    "ExtendedIpc": 24,
    "GzipOptions": 8,
    "LzoOptions": 8,
    "XzOptions": 8,
    "Lz4Options": 8,
    "ZstdOptions": 4,
    "XattrTableHeader": 16,
    "XattrId": 16,
    "XattrKey": 4,
    "DirectoryHeader": 12,
    "DirectoryEntry": 8,
    "DirectoryIndex": 12,
    "FragmentEntry": 16,
}
"""Bytes of each record, by the format's description."""


def test_every_record_has_the_size_that_the_format_gives_it() -> None:
    assert {record.__name__: record.layout.size for record in RECORDS} == SIZES


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
@given(data=st.data())
def test_both_decoders_of_a_record_agree(record: type[Record], data: st.DataObject) -> None:
    specification = record.specification()
    size = specification.sizeof()
    assert record.layout.size == size
    raw = data.draw(st.binary(min_size=size, max_size=size))
    decoded = record.decode(raw)
    specified = specification.parse(raw)
    assert [getattr(decoded, name) for name in record.codes] == [
        specified[name] for name in record.codes
    ]
    assert record.parse(raw) == decoded
    assert specification.build(specified) == raw


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
@given(data=st.data(), before=st.integers(0, 20))
def test_record_is_decoded_at_an_offset(
    record: type[Record], data: st.DataObject, before: int
) -> None:
    size = record.layout.size
    raw = data.draw(st.binary(min_size=size, max_size=size))
    assert record.decode(bytes(before) + raw + b"rest", before) == record.decode(raw)


def test_superblock_fields_stand_where_the_disk_has_them() -> None:
    # D1: the id and xattr tables come before the inode table in the record, after it on disk.
    raw = bytes(range(96))
    superblock = on_disk.Superblock.decode(raw)

    def integer(start: int, size: int) -> int:
        return int.from_bytes(raw[start : start + size], "little")

    assert superblock.magic == integer(0, 4)
    assert superblock.block_size == integer(12, 4)
    assert superblock.compression == integer(20, 2)
    assert superblock.root_inode == integer(32, 8)
    assert superblock.bytes_used == integer(40, 8)
    assert superblock.id_table_start == integer(48, 8)
    assert superblock.xattr_table_start == integer(56, 8)
    assert superblock.inode_table_start == integer(64, 8)
    assert superblock.export_table_start == integer(88, 8)


def test_inode_delta_of_a_directory_entry_is_signed() -> None:
    # D50: a hard link to an earlier inode has a negative one.
    assert on_disk.DirectoryEntry.decode(b"\0\0\xfe\xff\2\0\0\0").inode_delta == -2


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_record_has_slots_alone(record: type[Record]) -> None:
    found = record.decode(bytes(record.layout.size))
    assert not hasattr(found, "__dict__")
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 -- made here
