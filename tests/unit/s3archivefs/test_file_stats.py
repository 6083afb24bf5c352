"""Attributes of many basic files at once; test_entry_stats compares them with the careful way."""

from __future__ import annotations

import struct

import pytest

from s3archivefs import FileKind, Stat
from s3archivefs.file_stats import stats_of_basic_files
from s3archivefs.runs import Run

NONE = 2**32 - 1
IDS = (7, 70_000)
SOUND = {"type": 2, "mode": 0o644, "uid": 0, "gid": 1, "fragment": NONE, "size": 5}


def stats(
    *changes: dict[str, int],
    gap: int = 0,
    offsets: tuple[int, ...] = (),
    deltas: tuple[int, ...] = (0, 1, 2),
    types: tuple[int, ...] = (2, 2, 2),
) -> list[Stat]:
    """The attributes of three files with changes to their inodes, `gap` bytes apart."""
    data, starts = b"", []
    for number, change in enumerate((*changes, {}, {}, {})[:3], start=1):
        inode = {"mtime": number, "number": number, **SOUND, **change}
        starts.append(len(data))
        fields = (inode[name] for name in ("type", "mode", "uid", "gid", "mtime", "number"))
        data += struct.pack("<4H2I", *fields)
        data += struct.pack("<4I", 96, inode["fragment"], 0, inode["size"]) + bytes(gap)
    run = Run(4, 1, (b"a", b"b", b"c"), offsets or tuple(starts), deltas, types)
    return [*stats_of_basic_files(run, data, IDS, 3, 4096)]


@pytest.mark.parametrize("gap", [0, 4])
def test_sound_files_have_attributes(gap: int) -> None:
    expected = [
        Stat(0o100644, 7, 70_000, at + 1, 5, 1, at + 1, FileKind.FILE, 0, 4 << 16 | at * (32 + gap))
        for at in range(3)
    ]
    assert stats(gap=gap) == expected
    changed = stats({}, {"mode": 0o600, "uid": 1, "fragment": 0, "size": 4097}, gap=gap)
    assert changed[::2] == expected[::2]
    assert changed[1] == expected[1]._replace(mode=0o100600, uid=70_000, size=4097)


@pytest.mark.parametrize("gap", [0, 4])
@pytest.mark.parametrize(
    "change",
    [
        *({"type": 1}, {"type": 9}, {"mode": 0o10000}, {"uid": 2}, {"gid": 2}, {"number": 4}),
        *({"fragment": 0, "size": 4096}, {"fragment": 0, "size": 0}),
    ],
)
def test_none_have_attributes_where_one_is_not_sound(change: dict[str, int], gap: int) -> None:
    assert stats({}, change, gap=gap) == []


def test_none_have_attributes_where_entries_say_otherwise() -> None:
    assert stats(types=(2, 2, 1)) == []
    assert stats(deltas=(0, 2, 1)) == []
    assert stats({"number": 0}, {"number": 1}, {"number": 2}, deltas=(-1, 0, 1)) == []
    assert stats({"number": 2}, {"number": 3}, {"number": 4}, deltas=(1, 2, 3)) == []
    assert stats(offsets=(0, 32, 65)) == []
