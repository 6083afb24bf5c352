"""What a listing costs, and how it fails; what it says is shown by tests/parts/bucket."""

from __future__ import annotations

import tempfile
import tracemalloc
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest

import s3archivefs
from fixtures.tree import directory, file
from s3archivefs_lambda.s3api.messages import S3Error
from tests.support.adapter.local_archives import (
    get,
    list_keys,
    list_page,
    list_pages,
    operations_on,
)
from tests.support.adapter.open_sources import OpenSource, keys_of
from tests.support.images import built
from tests.support.images.crowds import pack_crowd
from tests.support.images.fixtures import CountingDevice, make_image

# ---- What a listing costs ------------------------------------------------------------------------

ENTRIES = 20_000


@cache
def crowded_image() -> bytes:
    """One directory with 20,000 files, between two others."""
    names = (f"f-{number:05d}" for number in range(ENTRIES))
    beside = (directory("before"), file("before/x"), file("z"))
    with tempfile.TemporaryDirectory() as name:
        return pack_crowd(Path(name, "crowd.sqfs"), "crowd", names, beside=beside).read_bytes()


def crowd_name(number: int) -> bytes:
    return b"crowd/f-%05d" % number


@dataclass
class Cost:
    """What listing a page read."""

    reads: int
    bytes: int


def page_of_crowd(
    count: int, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b""
) -> tuple[list[bytes], Cost]:
    """The first items of a listing in an image just opened, and the reads that they took."""
    device = CountingDevice(crowded_image())
    fs = s3archivefs.open(device)
    device.forget()
    keys = keys_of(fs, prefix, delimiter, after + b"\0" if after else b"", count)
    return keys, Cost(len(device.reads), device.total)


@pytest.mark.parametrize("delimiter", [b"", b"/"])
@pytest.mark.parametrize("start", [0, 10_000, 18_990])
def test_a_page_from_anywhere_in_a_crowded_directory_reads_a_page(
    start: int, delimiter: bytes
) -> None:
    keys, cost = page_of_crowd(1000, prefix=b"crowd/", delimiter=delimiter, after=crowd_name(start))
    assert keys == [crowd_name(number) for number in range(start + 1, start + 1001)]
    _, whole = page_of_crowd(ENTRIES, prefix=b"crowd/")
    # 1000 of 20,000 entries: a twentieth, and a few metadata blocks for index, look-ups and edges.
    assert cost.reads <= whole.reads / 20 + 10
    assert cost.bytes <= whole.bytes / 20 + 10 * 8192


def test_a_listing_ends_where_its_prefix_does() -> None:
    keys, cost = page_of_crowd(ENTRIES, prefix=b"crowd/f-0500")
    assert keys == [crowd_name(number) for number in range(5000, 5010)]
    assert cost.reads <= 10


def test_a_crowded_directory_shown_as_one_common_prefix_is_not_read() -> None:
    keys, cost = page_of_crowd(10, delimiter=b"/")
    assert keys == [b"before/", b"crowd/", b"z"]
    assert cost.reads <= 10


def test_behind_the_first_key_of_a_common_prefix_nothing_is_looked_at(tmp_path: Path) -> None:
    parents = [f"d{number}" for number in range(5)]
    keys = [f"{parent}/{name}" for parent in parents for name in "xyz"]
    image = make_image(tmp_path, (*map(directory, parents), *map(file, keys)))
    with s3archivefs.open(image) as fs, counted("stat_of_entry") as looked_at:
        assert keys_of(fs, delimiter=b"/") == [parent.encode() + b"/" for parent in parents]
    assert looked_at.call_count == len(parents)  # the first file of each


def test_directories_before_a_start_are_looked_for_once_where_there_are_none(
    tmp_path: Path,
) -> None:
    beginning = "a" + "-a" * 100
    keys = [*(f"{beginning}-{number}" for number in range(5)), "b/x"]
    image = make_image(tmp_path, (directory("b"), *map(file, keys)))
    for start in (keys[0], beginning, "b" + "-b" * 100):
        with s3archivefs.open(image) as fs, counted("scandir") as seeks:
            got = keys_of(fs, floor=start.encode() + b"\0")
        assert got == [key.encode() for key in keys if key > start]
        assert seeks.call_count <= 4


def counted(method: str) -> AbstractContextManager[MagicMock]:
    """The calls of a method of SquashFS, which does what it always does."""
    real = getattr(s3archivefs.SquashFS, method)
    return patch.object(s3archivefs.SquashFS, method, autospec=True, side_effect=real)


def test_names_grouped_by_another_delimiter_are_passed_over_by_seeking() -> None:
    keys, cost = page_of_crowd(10, prefix=b"crowd/", delimiter=b"-")
    assert keys == [b"crowd/f-"]
    keys, more = page_of_crowd(10, prefix=b"crowd/", delimiter=b"99")
    assert keys[-2:] == [crowd_name(8), crowd_name(9)]
    assert cost.reads <= 10
    assert more.reads <= 10


def test_an_archive_of_which_only_a_common_prefix_is_seen_is_not_opened() -> None:
    fs = s3archivefs.open(s3archivefs.BytesDevice(crowded_image()))
    sources = {virtual: OpenSource(fs) for virtual in (b"docs/", b"src/a/", b"src/b/")}
    assert keys_of(sources, delimiter=b"/") == [b"docs/", b"src/"]
    assert [source.opened for source in sources.values()] == [0, 0, 0]
    got = keys_of(sources, b"src/a/", b"/")
    assert got == [b"src/a/before/", b"src/a/crowd/", b"src/a/z"]
    assert [source.opened for source in sources.values()] == [0, 1, 0]


def test_an_archive_that_another_hides_from_a_listing_is_not_opened() -> None:
    fs = s3archivefs.open(s3archivefs.BytesDevice(crowded_image()))
    outer, inner = OpenSource(fs), OpenSource(fs)
    got = keys_of({b"": outer, b"crowd/": inner}, b"crowd/", b"/")
    assert got == [b"crowd/before/", b"crowd/crowd/", b"crowd/z"]
    assert (outer.opened, inner.opened) == (0, 1)


def test_an_archive_around_another_is_not_opened_before_its_own_keys_are_reached() -> None:
    fs = s3archivefs.open(s3archivefs.BytesDevice(crowded_image()))
    outer, inner = OpenSource(fs), OpenSource(fs)
    sources = {b"": outer, b"crowd/": inner}
    assert keys_of(sources, floor=b"crowd/crowd/f-0", count=1) == [b"crowd/crowd/f-00000"]
    assert (outer.opened, inner.opened) == (0, 1)
    assert keys_of(sources, floor=b"crowd/z", count=2) == [b"crowd/z", b"z"]
    assert (outer.opened, inner.opened) == (1, 2)


# ---- Broken archives -----------------------------------------------------------------------------


@pytest.fixture
def two_archives(tmp_path: Path) -> dict[str, Path]:
    """A sound archive, and beside it a file that is none."""
    sound = make_image(tmp_path, (directory("d"), file("d/x", b"x"), file("y", b"y")))
    broken = tmp_path / "broken"
    broken.write_bytes(b"not an image" * 100)
    return {"sound": sound, "broken": broken, "broken/sound": sound}


def test_a_broken_archive_empties_only_its_part_of_a_listing_across_several(
    two_archives: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    operations = operations_on(two_archives)
    sound = ["broken/sound/d/x", "broken/sound/y", "sound/d/x", "sound/y"]
    assert list_keys(operations) == sound
    assert [str(two_archives["broken"]) in line for line in caplog.messages] == [True]
    page = list_page(operations, delimiter="/")
    assert page.prefixes == (b"broken/", b"sound/")


def test_a_listing_inside_a_broken_archive_fails(two_archives: dict[str, Path]) -> None:
    operations = operations_on(two_archives)
    for prefix in ("broken/", "broken/d"):
        with pytest.raises(S3Error) as caught:
            list_page(operations, prefix=prefix)
        assert (caught.value.code, caught.value.status) == ("InternalError", 500)
    assert list_keys(operations, prefix="broken/sound/") == ["broken/sound/d/x", "broken/sound/y"]


def test_a_broken_root_archive_leaves_the_listings_of_others_alone(
    two_archives: dict[str, Path],
) -> None:
    operations = operations_on({"": two_archives["broken"], "sound": two_archives["sound"]})
    assert list_keys(operations, prefix="sound/") == ["sound/d/x", "sound/y"]
    assert get(operations, "sound/y") == b"y"
    with pytest.raises(S3Error, match="InternalError"):
        list_page(operations)


def test_a_listing_fails_where_a_directory_cannot_be_read_rather_than_leave_keys_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = bytearray(crowded_image())
    with s3archivefs.open(s3archivefs.BytesDevice(crowded_image())) as fs:
        at = fs.superblock.directory_table_start + 20_000  # among the crowd's entries
    damaged[at : at + 10_000] = bytes(10_000)
    image = tmp_path / "crowded"
    image.write_bytes(damaged)
    sound = make_image(tmp_path, (file("y", b"y"),))
    operations = operations_on({"crowded": image, "sound": sound})
    with pytest.raises(S3Error) as caught:
        list_pages(operations)
    assert (caught.value.code, caught.value.status) == ("InternalError", 500)
    (line,) = caplog.messages
    assert line.count(str(image)) == 1
    assert "at byte " in line
    assert list_keys(operations, prefix="sound/") == ["sound/y"]


def test_directories_nested_too_deep_fail_only_a_listing_that_enters_them(tmp_path: Path) -> None:
    parents = ["/".join("d" * depth) for depth in range(1, 30)]
    image = make_image(tmp_path, (*map(directory, parents), file(f"{parents[-1]}/x"), file("c")))
    # The default takes long to pack.
    operations = operations_on({"": image}, limits=s3archivefs.Limits(walk_depth=20))
    assert list_keys(operations, prefix="c") == ["c"]
    with pytest.raises(S3Error, match="InternalError"):
        list_page(operations)


def test_a_deep_tree_of_long_names_takes_little_memory(tmp_path: Path) -> None:
    tree = built.file()
    for _ in range(900):
        tree = built.directory({b"d" * 250: tree})
    image = tmp_path / "deep.sqfs"
    image.write_bytes(bytes(built.build(built.directory({b"c": built.file(), b"d": tree}))))
    operations = operations_on({"": image})
    assert list_keys(operations, prefix="c") == ["c"]
    tracemalloc.start()
    try:
        with pytest.raises(S3Error, match="InternalError"):
            list_page(operations)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


class FailingDevice(CountingDevice):
    """A device that fails in a part of the image."""

    failing = range(0)

    def pread(self, offset: int, length: int) -> bytes:
        if offset in self.failing:
            raise OSError("the store asks for fewer requests")
        return super().pread(offset, length)


@pytest.mark.parametrize("table", ["inode", "directory"])
def test_an_entry_that_could_not_be_read_is_not_left_out_unnoticed(table: str) -> None:
    device = FailingDevice(crowded_image())
    fs = s3archivefs.open(device)
    inodes, directories = fs.superblock.inode_table_start, fs.superblock.directory_table_start
    ends = {"inode": (inodes, directories), "directory": (directories, device.size)}
    assert keys_of(fs, b"crowd/", count=1) == [crowd_name(0)]
    device.failing = range(*ends[table])
    with pytest.raises(AssertionError, match="fewer requests"):
        keys_of(fs, b"crowd/")
