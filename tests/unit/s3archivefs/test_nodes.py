"""Files by references: the same as by paths, and listings that are read on at any place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, file
from s3archivefs import BytesDevice, CorruptImageError, FileKind, SquashFS, SquashfsError, Stat
from tests.support.images.built import build, entries
from tests.support.images.built import directory as built_directory
from tests.support.images.built import file as built_file
from tests.support.images.fixtures import FIXTURES, Fixture, make_image, open_fixture
from tests.support.images.mutations import Mutator

MUTATOR = Mutator({name: fixture.image.read_bytes() for name, fixture in FIXTURES.items()})


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_a_reference_leads_to_what_a_path_leads_to(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        assert fs.root_reference == fs.stat("/").reference
        for each in fixture.tree:
            expected = fs.stat(each.path, follow_symlinks=False)
            reference = expected.reference
            assert fs.stat_of_node(reference) == expected
            names = fs.listxattr(each.path, follow_symlinks=False)
            assert fs.xattrs_of_node(reference) == [*map(os.fsencode, names)]
            assert [*fs.xattr_pairs_of_node(reference)] == fs.xattrs_of_node(reference)
            for name in names:
                value = fs.getxattr(each.path, name, follow_symlinks=False)
                assert fs.xattr_pairs_of_node(reference)[os.fsencode(name)] == value
                assert fs.xattr_of_node(reference, os.fsencode(name)) == value
            assert fs.xattr_of_node(reference, b"user.none") is None
            if expected.kind is FileKind.SYMLINK:
                assert fs.target_of_node(reference) == os.fsencode(fs.readlink(each.path))
            if expected.kind is FileKind.FILE:
                content = fs.open_node(reference)
                assert content.part(0, content.size) == fs.read_bytes(each.path)
            if expected.kind is FileKind.DIRECTORY:
                assert names_of(fs, reference) == [
                    (name, stat) for name, stat in fs.scandir_stats(os.fsencode(each.path))
                ]


def test_bytes_in_holes_are_what_an_inode_claims() -> None:
    tree = built_directory(
        {
            b"basic": built_file(bytes(4096)),
            b"extended": built_file(bytes(4096), extended=True, sparse=4096),
        }
    )
    with s3archivefs.open(BytesDevice(bytes(build(tree)))) as fs:
        for path, expected in (("/basic", 0), ("/extended", 4096), ("/", 0)):
            assert fs.hole_bytes_of_node(fs.stat(path).reference) == expected


def names_of(fs: SquashFS, reference: int, place: int = 0) -> list[tuple[bytes, Stat]]:
    """The names of a directory, with the attributes that looking them up finds."""
    found = []
    for _, run in fs.runs_of_node(reference, place):
        for name, stat in zip(run.names, fs.stats_of_run(run), strict=True):
            looked_up = fs.node_named(reference, name)
            assert looked_up is not None
            assert stat in {looked_up, None}
            found.append((name, looked_up))
    return found


def test_a_name_that_is_not_there_is_none() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        assert fs.node_named(fs.root_reference, b"missing") is None
        assert fs.node_named(fs.root_reference, b"..") is None


def test_what_is_no_directory_symlink_or_file_is_refused() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        file_, directory_ = fs.stat("/block.txt").reference, fs.root_reference
        for call, number in (
            (lambda: fs.node_named(file_, b"x"), errno.ENOTDIR),
            (lambda: [*fs.runs_of_node(file_)], errno.ENOTDIR),
            (lambda: fs.target_of_node(file_), errno.EINVAL),
            (lambda: fs.open_node(directory_), errno.EISDIR),
            (lambda: fs.open_node(fs.stat("/guide", follow_symlinks=False).reference), errno.ENXIO),
        ):
            with pytest.raises(OSError, match="inode at") as raised:
                call()
            assert raised.value.errno == number


def test_a_closed_image_has_no_nodes() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        root = fs.root_reference
    with pytest.raises(ValueError, match="closed"):
        fs.stat_of_node(root)


def test_references_from_outside_are_checked_by_the_export_table() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        assert fs.has_exports
        guide, docs = fs.stat("/docs/guide.txt"), fs.stat("/docs")
        assert fs.exported_node(guide.reference) == guide
        assert fs.parent_of_node(docs.reference) == fs.stat("/")
        assert fs.parent_of_node(fs.root_reference) == fs.stat("/")
        for offset in range(1, 40):  # within the inode, and on to the next ones
            try:
                assert fs.exported_node(guide.reference + offset).reference != guide.reference
            except FileNotFoundError:
                continue


def test_without_an_export_table_no_reference_from_outside_is_taken(tmp_path: Path) -> None:
    image = make_image(tmp_path, (directory("d"),), "-no-exports")
    with s3archivefs.open(image) as fs:
        assert not fs.has_exports
        for call in (fs.exported_node, fs.parent_of_node):
            with pytest.raises(FileNotFoundError):
                call(fs.stat("/d").reference)


# ---- places in a listing -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SquashFS]:
    """A directory of several segments, with an index."""
    names = (f"d/{'n' * (number % 50)}{number:04}" for number in range(2000))
    tree = (directory("d"), *(file(name, b"") for name in names))
    image = make_image(tmp_path_factory.mktemp("long"), tree)
    with s3archivefs.open(image) as fs:
        yield fs


def placed(fs: SquashFS, reference: int, place: int = 0) -> list[tuple[int, bytes]]:
    """The names from a place on, each with its own place."""
    return [
        (here + number, name)
        for here, run in fs.runs_of_node(reference, place)
        for number, name in enumerate(run.names)
    ]


@given(data=st.data())
def test_a_listing_is_read_on_at_any_place(long: SquashFS, data: st.DataObject) -> None:
    reference = long.stat("/d").reference
    every = placed(long, reference)
    assert [os.fsdecode(name) for _, name in every] == long.listdir("/d")
    at = data.draw(st.integers(0, len(every) - 1))
    place = every[at][0]
    assert placed(long, reference, place) == every[at:]
    # Behind an entry lies the next one, even where it begins a segment.
    assert [name for _, name in placed(long, reference, place + 1)] == [
        name for _, name in every[at + 1 :]
    ]


def test_places_rise_and_there_is_nothing_behind_the_last(long: SquashFS) -> None:
    reference = long.stat("/d").reference
    places = [place for place, _ in placed(long, reference)]
    assert places == sorted(set(places))
    assert placed(long, reference, places[-1] + 1) == []
    assert placed(long, reference, 1 << 62) == []


def test_a_listing_that_is_not_sound_is_read_up_to_its_fault() -> None:
    listing = entries(0, 1, (0, 0, 2, b"b"), (0, 0, 2, b"a"))
    image = build(built_directory(listing=listing))
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        runs = fs.runs_of_node(fs.root_reference)
        assert [*next(runs)[1].names] == [b"b"]
        with pytest.raises(CorruptImageError, match="order"):
            next(runs)


@pytest.mark.property
@given(number=st.integers(0, 2**32))
def test_damaged_images_raise_nothing_else(number: int) -> None:
    try:
        with s3archivefs.open(BytesDevice(MUTATOR.mutation(number)[1])) as fs:
            todo, seen = [fs.root_reference], set[int]()
            while todo and len(seen) < 20:
                reference = todo.pop()
                if reference in seen:
                    continue
                seen.add(reference)
                stat = fs.stat_of_node(reference)
                if stat.kind is FileKind.DIRECTORY:
                    for _, run in fs.runs_of_node(reference):
                        todo += run.references
                elif stat.kind is FileKind.FILE:
                    fs.open_node(reference).part(0, min(stat.size, 1 << 16))
    except SquashfsError:
        pass
