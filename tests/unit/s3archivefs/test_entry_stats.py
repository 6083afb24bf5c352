"""Attributes of entries: the fast way agrees with the careful way, on any image."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs import BytesDevice, SquashfsError, Stat
from s3archivefs.format import EXTENDED
from s3archivefs.inode import RECORDS
from s3archivefs.listing import Listing
from s3archivefs.runs import Run
from tests.support.images.built import ABSENT_32, Node, build, directory, file, special, symlink
from tests.support.images.fixtures import FIXTURES, CountingDevice, open_fixture
from tests.support.images.mutations import Mutator
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.readers import Readers
    from s3archivefs.runs import Entry

MUTATOR = Mutator({name: fixture.image.read_bytes() for name, fixture in FIXTURES.items()})


def directories(readers: Readers, root: int, most: int) -> Iterator[list[Listing]]:
    """The sound listings of directories, each of them once."""
    seen, todo = set[int](), [root]
    while todo and len(seen) < most:
        reference = todo.pop()
        if reference in seen:
            continue
        seen.add(reference)
        found: list[Listing] = []
        try:
            for listing in readers.directory(readers.inodes.inode(reference)).listings():
                todo += [entry.reference for entry in listing.entries() if entry.type == 1]
                if isinstance(listing, Listing):
                    found.append(listing)
        except (SquashfsError, AttributeError):  # an inode that is no directory
            pass
        yield found


def carefully(readers: Readers, entry: Entry) -> Stat | None:
    """The attributes as the careful way reads them; None where it refuses them."""
    try:
        return readers.inodes.stat(readers.entry_inode(entry))
    except SquashfsError:
        return None


def is_in_one_block(readers: Readers, reference: int) -> bool:
    reader = readers.inodes.reader
    data = reader.block(reader.extent.start + (reference >> 16)).data
    offset = reference & 0xFFFF
    return offset < len(data) and offset + RECORDS[data[offset]][1].layout.size <= len(data)


def assert_alike(readers: Readers, run: Run) -> int:
    """Both ways agree on a run; how many of its entries have attributes."""
    entries = [*run.entries()]
    expected = [carefully(readers, entry) for entry in entries]
    found = readers.stats.of_run(run)
    assert found == [readers.stats.of_entry(entry) for entry in entries]
    assert len(found) == len(expected)
    for stat, careful in zip(found, expected, strict=True):
        if stat is None:
            assert careful is None or not is_in_one_block(readers, careful.reference)
        else:
            assert type(stat) is Stat
            assert stat == careful
            assert stat.kind is careful.kind
            assert readers.stats.of_node(stat.reference) == careful
    basic = readers.stats.of_run(run, extended=False)
    for one, other, careful in zip(found, basic, expected, strict=True):
        is_extended = careful and readers.inodes.inode(careful.reference).header.type > EXTENDED
        assert other == (None if is_extended else one)
    return len(expected) - expected.count(None)


def assert_all_alike(fs: s3archivefs.SquashFS, most: int = 30) -> int:
    sound = 0
    readers = readers_of(fs)
    for listings in directories(readers, fs.superblock.root_inode, most):
        for listing in listings:
            entries = [*listing.entries()]
            assert [entry for run in listing.runs() for entry in run.entries()] == entries
            for run in listing.runs():
                sound += assert_alike(readers, run)
            # Some images here have a run for each entry: runs of many agree too.
            few = [entry for entry in entries if 0 <= entry.inode_number < 1 << 15]
            for _, group in groupby(few, lambda entry: entry.reference >> 16):
                assert_alike(readers, run_of([*group]))
    return sound


def run_of(entries: list[Entry]) -> Run:
    """The run that a writer makes of entries whose inodes are in one block."""
    number = entries[0].inode_number
    return Run(
        entries[0].reference >> 16,
        number,
        names=tuple(entry.name for entry in entries),
        offsets=tuple(entry.reference & 0xFFFF for entry in entries),
        deltas=tuple(entry.inode_number - number for entry in entries),
        types=tuple(entry.type for entry in entries),
    )


@pytest.mark.parametrize("name", FIXTURES)
def test_all_of_a_sound_image_is_alike(name: str) -> None:
    with open_fixture(FIXTURES[name]) as fs:
        assert assert_all_alike(fs, 10_000) >= fs.superblock.inode_count - 1


@pytest.mark.property
@given(number=st.integers(0, 2**32))
def test_all_of_a_damaged_image_is_alike(number: int) -> None:
    try:
        fs = s3archivefs.open(BytesDevice(MUTATOR.mutation(number)[1]))
    except SquashfsError:
        return
    with fs:
        assert_all_alike(fs)


EDGES = st.sampled_from([0, 1, 2, 4095, 4096, 4097, 0o7777, 0o10000, 2**16 - 1])
LONG_EDGES = EDGES | st.sampled_from([2**16, 2**31, ABSENT_32])
COMMON = {
    "mode": EDGES,
    "uid": st.integers(0, 3),
    "gid": st.integers(0, 3),
    "mtime": LONG_EDGES,
    "number": st.integers(0, 40),
    "type": st.integers(0, 15) | st.sampled_from([2 + 256, 9 + 256, 255]),
}
"""Fields that an inode may have instead of its own."""
SIZES = LONG_EDGES | st.sampled_from([2**32, 2**62, 2**63, 2**64 - 1])


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """An inode of any type, with any of its fields at an edge."""
    kind = draw(st.integers(2, 14).filter(lambda kind: kind != 8))
    names = draw(st.sets(st.sampled_from([*COMMON, "nlink", "rdev", "fragment", "size"])))
    if draw(st.booleans()):
        names -= {"type", "number", "size"}  # else hardly any is sound
    drawn = {name: draw(COMMON[name]) for name in sorted(names & {*COMMON})}
    if "nlink" in names:
        drawn["nlink"] = draw(LONG_EDGES)
    if "rdev" in names:
        drawn["rdev"] = draw(LONG_EDGES)
    if kind in {2, 9}:
        if "fragment" in names:
            drawn["fragment"] = draw(st.sampled_from([0, 1, ABSENT_32]))
        if "size" in names:
            drawn["size"] = draw(SIZES if kind == 9 else LONG_EDGES)
        node = file(b"c" * draw(st.sampled_from([0, 5, 4096])), extended=kind == 9)
        node.fields.update(drawn)
        return node
    if kind in {3, 10}:
        if "size" in names:
            drawn["size"] = draw(LONG_EDGES)
        node = symlink(b"t" * draw(st.integers(1, 50)), extended=kind == 10)
        node.fields.update(drawn)
        return node
    return special(kind, **drawn)


@pytest.mark.property
@given(drawn=st.lists(nodes(), min_size=1, max_size=12), many=st.booleans())
def test_all_of_a_drawn_image_is_alike(drawn: list[Node], many: bool) -> None:  # noqa: FBT001 -- hypothesis passes it by keyword
    # Many fill several blocks, at whose ends records are cut.
    filling: dict[bytes, Node] = {
        b"m%03d" % number: file(b"", mode=number) for number in range(900 * many)
    }
    children = {b"%02d" % number: node for number, node in enumerate(drawn)}
    tree = directory({**children, b"d": directory(children), **filling})
    with s3archivefs.open(BytesDevice(bytes(build(tree, ids=(7, 70_000, 0))))) as fs:
        assert assert_all_alike(fs) >= 1 + 900 * many


@pytest.mark.property
@given(number=st.integers(0, 2**32), block=st.integers(0, 2**17), offset=st.integers(0, 2**16 - 1))
def test_what_any_reference_leads_to_is_alike(number: int, block: int, offset: int) -> None:
    try:
        fs = s3archivefs.open(BytesDevice(MUTATOR.mutation(number)[1]))
    except SquashfsError:
        return
    with fs:
        readers = readers_of(fs)
        for reference in (block << 16 | offset, *range(offset % 8192, offset % 8192 + 100)):
            stat = readers.stats.of_node(reference)
            if stat is not None:
                assert stat == readers.inodes.stat(readers.inodes.inode(reference))


def test_ids_that_cannot_be_read_are_left_to_the_careful_way() -> None:
    image = build(directory({b"a": file(b"")}), tables={"id": b"\1\x80\0"})
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        readers = readers_of(fs)
        (listing,) = next(directories(readers, fs.superblock.root_inode, 1))
        (run,) = listing.runs()
        assert readers.stats.of_run(run) == [None]
        entry = next(listing.entries())
        assert readers.stats.of_entry(entry) is None
        assert readers.stats.of_node(entry.reference) is None


def test_no_block_is_kept_when_the_image_is_distrusted() -> None:
    device = CountingDevice(FIXTURES["gzip"].image.read_bytes())
    with s3archivefs.open(device) as fs:
        readers = readers_of(fs)
        (listing,) = next(directories(readers, fs.superblock.root_inode, 1))
        entry = next(listing.entries())
        stat = readers.stats.of_entry(entry)
        device.forget()
        assert readers.stats.of_entry(entry) == stat is not None
        assert device.reads == []
        readers.forget()
        assert readers.stats.of_entry(entry) == stat
        assert device.reads != []
