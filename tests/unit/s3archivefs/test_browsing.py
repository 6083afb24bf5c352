"""Names with their attributes, a directory at a time."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures import tree
from s3archivefs import BytesDevice, CorruptImageError, SquashFS, SquashfsError
from tests.support.images.built import build, directory, file, symlink
from tests.support.images.damaged_copy import DamagedCopy
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, CountingDevice, Fixture, open_fixture
from tests.support.images.mutations import Mutator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from s3archivefs import Stat

MUTATOR = Mutator({name: fixture.image.read_bytes() for name, fixture in FIXTURES.items()})


def one_by_one(fs: SquashFS, path: str, start: str | None = None) -> Iterable[tuple[str, Stat]]:
    for entry in fs.scandir(path, start=start):
        yield entry.name, entry.stat(follow_symlinks=False)


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_names_and_attributes_are_those_of_the_entries(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        for top, _, _ in fs.walk("/"):
            found = [*fs.scandir_stats(top)]
            assert found == [*one_by_one(fs, top)]
            for name, stat in found[:: 1 + len(found) // 9]:
                assert stat == fs.stat(f"{top}/{name}", follow_symlinks=False)
            middle = found[len(found) // 2 :]
            if middle:
                assert [*fs.scandir_stats(top, start=middle[0][0])] == middle
                after = middle[0][0] + "\0"
                assert [*fs.scandir_stats(top, start=after)] == middle[1:]


def test_names_come_in_the_type_of_the_path() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        as_bytes = [*fs.scandir_stats(b"/docs")]
        assert as_bytes == [(name.encode(), stat) for name, stat in fs.scandir_stats("/docs")]


def test_symlinks_come_as_themselves() -> None:
    image = build(directory({b"a": symlink(b"b"), b"b": file(b"content")}))
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        (_, link), (_, target) = fs.scandir_stats("/")
        assert link.kind is s3archivefs.FileKind.SYMLINK
        assert (target.kind, target.size) == (s3archivefs.FileKind.FILE, 7)


@pytest.mark.parametrize("path", ["missing", "file", "file/x"])
def test_a_path_that_leads_to_no_directory_is_an_error_at_once(path: str) -> None:
    with s3archivefs.open(BytesDevice(bytes(build(directory({b"file": file()}))))) as fs:
        with pytest.raises(OSError, match="directory") as raised:
            fs.scandir_stats(path)
        assert raised.value.filename == path


def test_an_inode_that_is_damaged_raises_in_its_turn() -> None:
    names = [b"%03d" % number for number in range(300)]
    image = build(directory({name: file(b"") for name in names}))
    image.put(image.inode(b"/200"), "H", 15)
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        found = fs.scandir_stats(b"/")
        assert [name for name, _ in islice(found, 200)] == names[:200]
        with pytest.raises(CorruptImageError, match="type 15"):
            next(found)


LISTERS: dict[str, Callable[[SquashFS], object]] = {
    "listdir": lambda fs: fs.listdir("/d/e"),
    "scandir": lambda fs: [entry.name for entry in fs.scandir("/d/e")],
    "scandir_stats": lambda fs: [*fs.scandir_stats("/d/e")],
    "scandir of an entry": lambda fs: [entry.name for entry in next(fs.scandir("/d")).scandir()],
    "walk": lambda fs: [*fs.walk("/d/e")],
    "walk_files": lambda fs: [path for path, _, _ in fs.walk_files("/d/e")],
}


@pytest.mark.parametrize("lister", LISTERS.values(), ids=LISTERS)
def test_the_way_to_a_directory_is_read_again_where_a_devices_copy_is_damaged(
    lister: Callable[[SquashFS], object],
) -> None:
    image = build(directory({b"d": directory({b"e": directory({b"f": file(b"content")})})}))
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        expected = lister(fs)
    number = image.inode(b"/d/e") + 12
    with s3archivefs.open(DamagedCopy(bytes(image), number, 0x40)) as fs:
        assert lister(fs) == expected


def test_damaged_attributes_are_told_and_the_others_follow(tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(100)]
    start = 1_234_567_000
    image = draft(tmp_path, tuple(tree.file(name, mtime=start + int(name)) for name in names))
    for bad in (7, 98):
        image.put(image.inode(start + bad), "H", 99)
    with image.open() as fs:
        with pytest.raises(s3archivefs.CorruptImageError, match="type 99"):
            [*fs.scandir_stats("/")]
        told: list[tuple[str, str]] = []
        found = fs.scandir_stats("/", on_error=lambda name, error: told.append((name, str(error))))
        sound = [name for name in names if name not in {"007", "098"}]
        assert [*found] == [(name, fs.stat(name)) for name in sound]
        assert [name for name, what in told if "type 99" in what] == ["007", "098"]
        assert [name for name, _ in fs.scandir_stats(b"/", start=b"007", on_error=print)] == [
            name.encode() for name in sound[7:]
        ]


def test_a_closed_image_raises() -> None:
    image = bytes(build(directory({b"%02d" % number: file(b"") for number in range(20)})))
    with s3archivefs.open(BytesDevice(image)) as fs:
        found = fs.scandir_stats("/")
        assert next(found)[0] == "00"
    with pytest.raises(ValueError, match="closed"):
        next(found)


def test_no_more_is_read_than_what_is_taken() -> None:
    children = {b"%05d" % number: file(b"") for number in range(20_000)}
    device = CountingDevice(bytes(build(directory(children, extended=True))))
    with s3archivefs.open(device) as fs:
        total = sum(1 for _ in fs.scandir_stats("/"))
    assert total == 20_000
    with s3archivefs.open(device) as fs:
        device.forget()
        assert len([*islice(fs.scandir_stats("/"), 10)]) == 10
        assert device.total < len(children) * 20


@pytest.mark.parametrize("names", [4500, 15_000])
@pytest.mark.parametrize("method", ["scandir", "scandir_stats"])
def test_an_iterator_holds_little_of_a_long_listing_without_an_index(
    method: str, names: int
) -> None:
    # A caller may hold a thousand of them, on its way down a hostile tree.
    children = {b"%05d" % number: file(b"") for number in range(names)}
    image = bytes(build(directory(children, extended=True)))
    with s3archivefs.open(BytesDevice(image), limits=s3archivefs.Limits(cache_bytes=0)) as fs:
        list(islice(getattr(fs, method)("/"), 2))
        tracemalloc.start()
        try:
            held = [getattr(fs, method)("/") for _ in range(20)]
            assert len({str(next(each)) for each in held}) == 1
            assert tracemalloc.get_traced_memory()[0] < len(held) * 160_000
        finally:
            tracemalloc.stop()


@pytest.mark.property
@given(number=st.integers(0, 2**32))
def test_a_damaged_image_is_listed_alike_with_and_without(number: int) -> None:
    try:
        fs = s3archivefs.open(BytesDevice(MUTATOR.mutation(number)[1]))
    except SquashfsError:
        return
    with fs:
        tops = ["/"]
        with suppress(SquashfsError):
            tops += [top for top, _, _ in islice(fs.walk("/"), 20)]
        for top in tops:
            assert outcome(fs.scandir_stats(top)) == outcome(one_by_one(fs, top))


def outcome(found: Iterable[tuple[str, Stat]]) -> list[object]:
    """What was found, and how it ended."""
    seen: list[object] = []
    try:
        seen.extend(found)
    except SquashfsError as error:
        seen += type(error), str(error)
    return seen
