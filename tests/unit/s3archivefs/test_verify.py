"""`verify` finds nothing in sound images, and one problem for each fault."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import HOLE, noise, text
from fixtures.tree import directory, fifo, file, hard_link, symlink
from s3archivefs import CorruptImageError, Problem
from s3archivefs.directory import Directory
from s3archivefs.verify import Verifier
from tests.support.images import built
from tests.support.images.drafts import Draft, draft
from tests.support.images.fixtures import (
    FIXTURES,
    CountingDevice,
    Fixture,
    ShortDevice,
    make_image,
    open_fixture,
)
from tests.support.images.mutations import Mutator
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs.listing import Listing, ScannedEntries
    from s3archivefs.names import LinkedPath
    from s3archivefs.runs import Entry

BLOCKS, TAIL, LINK, INNER, DEEP, OTHER = (1_234_567_800 + number for number in range(1, 7))
"""Times by which `Draft.inode` finds the inodes."""

TREE = (
    file("blocks", noise(4096) + HOLE + noise(4096, "second"), mtime=BLOCKS),
    directory("directory", mtime=INNER),
    directory("directory/deep", mtime=DEEP),
    file("directory/deep/file", text(300)),
    file("directory/other", text(200), mtime=OTHER),
    hard_link("hard-link", "blocks"),
    replace(symlink("link", "directory/other"), mtime=LINK),
    fifo("pipe"),
    file("tail", text(99), mtime=TAIL, xattrs={"user.name": b"value"}),
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return bytes(draft(tmp_path_factory.mktemp("verify"), TREE).data)


@pytest.fixture
def image(packed: bytes) -> Draft:
    """An uncompressed image of TREE."""
    return Draft(packed)


def verified(image: Draft, limits: s3archivefs.Limits | None = None) -> list[Problem]:
    with image.open(limits) as fs:
        return list(fs.verify())


# ---- Sound images --------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_sound_image_has_no_problems(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        assert list(fs.verify()) == []
        assert list(fs.verify()) == []


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_progress_counts_every_inode_once_and_the_bytes_of_its_content(fixture: Fixture) -> None:
    counted: list[tuple[int, int]] = []
    with open_fixture(fixture) as fs:
        assert list(fs.verify(progress=lambda *each: counted.append(each))) == []
        sizes = {stat.reference: stat.size for _, stat, _ in fs.walk_files("/")}
        inodes, read = zip(*counted, strict=True)
        assert (sum(inodes), sum(read)) == (fs.superblock.inode_count, sum(sizes.values()))


def test_everything_is_read(image: Draft) -> None:
    device = CountingDevice(bytes(image.data))
    with s3archivefs.open(device) as fs:
        assert list(fs.verify()) == []
    read = {at for start, length in device.reads for at in range(start, start + length)}
    assert read == set(range(image["bytes_used"]))


def test_content_of_hard_links_is_read_once(tmp_path: Path) -> None:
    content = noise(40_960)
    tree = (file("0", content), *(hard_link(f"{number}", "0") for number in range(1, 9)))
    device = CountingDevice(make_image(tmp_path, tree).read_bytes())
    with s3archivefs.open(device, limits=s3archivefs.Limits(cache_bytes=0)) as fs:
        device.forget()
        assert list(fs.verify()) == []
        assert device.total < 2 * len(content)


def test_nothing_is_read_before_the_first_problem_is_asked_for(image: Draft) -> None:
    device = CountingDevice(bytes(image.data))
    with s3archivefs.open(device) as fs:
        device.forget()
        problems = fs.verify()
        assert device.reads == []
    with pytest.raises(ValueError, match="closed"):
        next(problems)


# ---- One fault, one problem ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Damage:
    """An edit of TREE's image, and the problem that it makes."""

    inode: int | bytes
    """The time of the inode that is damaged, or the name of the directory entry."""
    offset: int
    layout: str
    value: int
    path: str
    said: str
    hides: bool = False
    """Whether the walk then misses inodes, which is another problem."""


_FRAGMENT = 16 + 3 * 8 + 4  # offsets in the record of an extended file
_BLOCKS = 56
_SIZE = 24  # offset in the record of a basic directory

DAMAGE = {
    "word": Damage(BLOCKS, _BLOCKS + 8, "I", 1 << 25, "/blocks", "size word is 0x2000000"),
    "block": Damage(BLOCKS, _BLOCKS, "I", 1 << 24 | 4000, "/blocks", "holds 4000 bytes instead"),
    "start": Damage(BLOCKS, 16, "Q", 1 << 40, "/blocks", "whose data lies from"),
    "fragment": Damage(TAIL, _FRAGMENT, "I", 77, "/tail", "fragment 77 of 1"),
    "tail": Damage(TAIL, _FRAGMENT + 4, "I", 4000, "/tail", "tail ends at byte 4099 of fragment 0"),
    "target": Damage(LINK, 24, "B", 0, "/link", "symlink target"),
    "empty target": Damage(LINK, 20, "I", 0, "/link", "symlink target b'' is empty"),
    "target size": Damage(LINK, 20, "I", 5000, "/link", "symlink_target_bytes: 5000"),
    "owner": Damage(DEEP, 4, "H", 9, "/directory/deep", "an inode names id 9 of"),
    "xattrs": Damage(TAIL, 52, "I", 5, "/tail", "xattr id 5 of 1"),
    "type": Damage(OTHER, 0, "H", 99, "/directory/other", "type 99", hides=True),
    "kind": Damage(b"pipe", 4, "H", 7, "/pipe", "entry b'pipe' says inode", hides=True),
    "number": Damage(b"pipe", 2, "h", -300, "/pipe", "entry b'pipe' says inode", hides=True),
    "reference": Damage(b"pipe", 0, "H", 8191, "/pipe", "offset 8191", hides=True),
    "listing": Damage(
        DEEP, _SIZE, "H", 3 + 14, "/directory/deep", "ends within an entry", hides=True
    ),
    "listing size": Damage(DEEP, _SIZE, "H", 2, "/directory/deep", "size of 2 bytes", hides=True),
    "listing start": Damage(
        DEEP, 16, "I", 60_000, "/directory/deep", "outside the table's bytes", hides=True
    ),
}


def damage(image: Draft, name: str) -> Damage:
    """Do the damage of that name."""
    done = DAMAGE[name]
    found = image.entry(done.inode) if isinstance(done.inode, bytes) else image.inode(done.inode)
    image.put(found + done.offset, done.layout, done.value)
    return done


def export_of(image: Draft, path: str) -> int:
    """Where the export table has the inode of that path."""
    with image.open() as fs:
        number = fs.stat(path, follow_symlinks=False).inode_number
    return image.blocks_of("export_table_start", 1)[0] + 2 + 8 * (number - 1)


@pytest.mark.parametrize("name", DAMAGE)
def test_each_kind_of_damage_is_a_problem_at_its_path(image: Draft, name: str) -> None:
    done = damage(image, name)
    problem, *others = verified(image)
    assert problem.path == done.path
    assert done.said in str(problem.error)
    assert str(problem) == f"{done.path}: {problem.error}"
    assert [other.path for other in others] == ["/"] * done.hides
    assert all("inodes are counted" in str(other) for other in others)


def test_damaged_value_and_damaged_export_are_problems_at_their_paths(image: Draft) -> None:
    image.put(image.find(b"name" + b"\5\0\0\0value") + 4, "I", 60_000)
    image.put(export_of(image, "/pipe"), "Q", 0)
    export, value = verified(image)
    assert (export.path, value.path) == ("/pipe", "/tail")
    assert "the export table has inode" in str(export)
    assert "xattr table" in str(value)


def test_problem_holds_neither_blocks_nor_decompressors(tmp_path: Path) -> None:
    tree = (file("a", text(4096)), file("b", text(50)))
    image = Draft(make_image(tmp_path, tree, "-comp", "xz").read_bytes())
    image.data[96 + 40] ^= 0xFF  # in the first block, behind the stream's header
    (problem,) = verified(image)
    assert problem.error.__traceback__ is None
    assert problem.error.__cause__ is not None  # what liblzma said
    assert problem.error.__cause__.__traceback__ is None


def test_damage_to_compressed_blocks_is_found_where_their_files_are(tmp_path: Path) -> None:
    tree = (file("a", text(4096)), file("b", text(8192)), file("c", text(50)), file("d", text(60)))
    image = Draft(make_image(tmp_path, tree, "-no-duplicates").read_bytes())
    with image.open() as fs:
        assert list(fs.verify()) == []
        inodes = readers_of(fs).inodes
        words: list[int] = []  # of the three blocks, in the order of the image
        for path, count in (("a", 1), ("b", 2)):
            inode = inodes.inode(fs.stat(path).reference)
            words += struct.unpack(
                f"<{count}I", inodes.tail(inode, 4 * count, "list").take(4 * count)
            )
    starts = [96 + sum(words[:blocks]) for blocks in range(4)]  # and of the fragment
    for start, paths in zip(starts, (["/a"], ["/b"], ["/b"], ["/c", "/d"]), strict=True):
        damaged = Draft(bytes(image.data))
        damaged.data[start + 4 : start + 20] = b"\xff" * 16
        problems = verified(damaged)
        assert [problem.path for problem in problems] == paths
        for problem in problems:
            assert isinstance(problem.error, CorruptImageError)
            assert problem.error.offset == start


def test_all_faults_are_found_in_one_go_in_the_order_of_the_tree(image: Draft) -> None:
    for name in ("word", "target", "owner", "xattrs", "fragment"):
        damage(image, name)
    image.put(export_of(image, "/pipe"), "Q", 0)
    problems = verified(image)
    assert [problem.path for problem in problems] == [
        *("/blocks", "/link", "/pipe", "/tail", "/tail"),
        "/directory/deep",
    ]
    assert all(isinstance(problem.error, s3archivefs.SquashfsError) for problem in problems)


def test_directories_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    times = {f"{name}/file": TAIL + number for number, name in enumerate("abc")}
    tree = tuple(file(path, text(50), mtime=mtime) for path, mtime in times.items())
    image = draft(tmp_path, tree)
    for mtime in times.values():
        image.put(image.inode(mtime) + 20, "I", 9)
    assert [problem.path for problem in verified(image)] == ["/a/file", "/b/file", "/c/file"]


def test_faults_of_the_root_are_at_the_root(image: Draft) -> None:
    root = image["inode_table_start"] + 2 + image["root_inode"]
    image.put(root + 4, "H", 200)
    image.put(export_of(image, "/pipe"), "Q", 0)
    assert [problem.path for problem in verified(image)] == ["/", "/pipe"]


def test_options_that_cannot_be_read_are_a_problem_of_the_image() -> None:
    image = Draft(FIXTURES["zstd-options"].image.read_bytes())
    image.put(96, "H", 0x0004)
    (problem,) = verified(image)
    assert (problem.path, "options" in str(problem.error)) == ("/", True)


# ---- The tree ------------------------------------------------------------------------------------


def test_names_out_of_order_end_their_directory_only(image: Draft) -> None:
    at = image.entry(b"other")
    image.data[at + 8 : at + 13] = b"aaaaa"  # before "deep", which stands first
    problems = verified(image)
    assert [problem.path for problem in problems] == ["/directory", "/"]
    assert "b'deep' and b'aaaaa' are out of order" in str(problems[0])


def test_directory_inside_itself_is_a_problem_and_ends(image: Draft) -> None:  # F7
    with image.open() as fs:
        outer, deep = fs.stat("/directory"), fs.stat("/directory/deep")
    image.lead(b"deep", deep, outer)
    problems = verified(image)
    assert [problem.path for problem in problems] == ["/directory/deep", "/"]
    assert "in the tree twice" in str(problems[0])
    assert "2 inodes are counted" not in str(problems[1])


@pytest.mark.parametrize("count", [4, 1000])
def test_count_of_inodes_that_are_not_there_is_a_problem(tmp_path: Path, count: int) -> None:
    image = draft(tmp_path, (file("a"), file("b")), "-no-exports")
    assert image["inode_count"] == 3
    image["inode_count"] = count
    (problem,) = verified(image)
    assert problem.path == "/"
    assert f"{count} inodes are counted, 3 found" in str(problem)


def test_look_up_that_disagrees_with_the_listing_is_a_problem(
    image: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Directory.get

    def misses_one(directory: Directory, name: bytes) -> Entry | None:
        return None if name == b"other" else real(directory, name)

    with image.open() as fs:
        monkeypatch.setattr(Directory, "get", misses_one)
        first, second = fs.verify()
    assert first.path == "/directory/other"
    assert "look-up" in str(first)
    assert "inodes are counted" in str(second)


def test_names_that_are_not_utf8_come_as_everywhere(tmp_path: Path) -> None:
    image = draft(tmp_path, (file("d/\udcff", text(9), mtime=TAIL),))
    image.put(image.inode(TAIL) + 20, "I", 5)
    (problem,) = verified(image)
    assert problem.path == "/d/\udcff"


def test_problem_is_one_line_that_names_its_path_as_ls_does(tmp_path: Path) -> None:
    image = draft(tmp_path, (file("d/\udcff\n\\", text(9), mtime=TAIL),))
    image.put(image.inode(TAIL) + 20, "I", 5)
    (problem,) = verified(image)
    assert str(problem) == rf"/d/\xff\x0a\\: {problem.error}"
    assert str(problem).isprintable()


# ---- Both ways ---------------------------------------------------------------------------------


class CarefulVerifier(Verifier):
    """Looks every name up, and reads every inode by itself."""

    def _problems_among(
        self,
        top: LinkedPath,
        directory: Directory,
        listing: Listing | ScannedEntries,
        below: list[tuple[LinkedPath, int]],
    ) -> Iterator[Problem]:
        for entry in listing.entries():
            yield from self._problems_below(top, directory, entry, below)


@pytest.fixture(scope="module")
def mutator(packed: bytes) -> Mutator:
    images = {name: fixture.image.read_bytes() for name, fixture in FIXTURES.items()}
    return Mutator({"tree": packed, **images})


def assert_verified_alike(fs: s3archivefs.SquashFS) -> list[str]:
    """Both ways find the same problems, in the same order; what they say."""
    found: list[list[tuple[str, type[Exception], str]]] = []
    readers = readers_of(fs)
    root = readers.root(fs.superblock.root_inode)
    for way in (Verifier, CarefulVerifier):
        problems = way(root, readers, fs.superblock.inode_count).problems()
        found.append([(path, type(error), str(error)) for path, error in problems])
    assert found[0] == found[1]
    return [f"{path}: {said}" for path, _, said in found[0]]


@pytest.mark.property
@given(number=st.integers(0, 2**32))
def test_a_damaged_image_has_the_same_problems_as_when_each_name_is_looked_up(
    number: int, mutator: Mutator
) -> None:
    try:
        fs = s3archivefs.open(s3archivefs.BytesDevice(mutator.mutation(number)[1]))
    except s3archivefs.SquashfsError:
        return
    with fs:
        assert_verified_alike(fs)


@pytest.mark.property
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 599),
            st.sampled_from(
                [(0, "H", 15), (0, "H", 9), (2, "H", 1 << 15), (4, "H", 9), (6, "H", 1)]
                + [(12, "I", number) for number in (0, 1, 2, 601, 1 << 31)]
                + [(20, "I", 0), (28, "I", 5), (28, "I", 4096)]
            ),
        ),
        max_size=4,
    ),
    exported=st.lists(st.integers(0, 600), max_size=2),
    links=st.lists(st.tuples(st.integers(0, 599), st.integers(0, 599)), max_size=3),
)
def test_a_crowd_of_empty_files_has_the_same_problems(
    crowd: Draft,
    changes: list[tuple[int, tuple[int, str, int]]],
    exported: list[int],
    links: list[tuple[int, int]],
) -> None:
    image = Draft(bytes(crowd.data))
    for number, (offset, layout, value) in changes:
        image.put(image.inode(CROWD + number) + offset, layout, value)
    table = image.blocks_of("export_table_start", 1)[0] + 2
    for number in exported:
        image.put(table + 8 * number, "Q", 77)
    for one, other in links:
        entries = [image.entry(b"%03d" % number) for number in (one, other)]
        image.put(entries[0], "H", image.get(entries[1], "H"))
        image.put(entries[0] + 2, "h", image.get(entries[1] + 2, "h"))
    with image.open() as fs:
        assert_verified_alike(fs)


CROWD = 1_300_000_000


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """An uncompressed image of files without content, each of a time of its own."""
    files = (file(f"{number:03}", mtime=CROWD + number) for number in range(600))
    return draft(tmp_path_factory.mktemp("crowd"), tuple(files))


@pytest.mark.parametrize("count", [2000, 7000, 21_000])
def test_a_long_listing_without_an_index_is_verified_alike(count: int) -> None:
    children = {b"%05d" % number: built.file(b"") for number in range(count)}
    tree = built.directory({b"d": built.directory(children, extended=True)})
    image = s3archivefs.BytesDevice(bytes(built.build(tree)))
    with s3archivefs.open(image) as fs:
        assert assert_verified_alike(fs) == []


def test_attributes_of_empty_files_are_read() -> None:
    tree = built.directory({b"a": built.file(b"", extended=True, xattr=3), b"b": built.file(b"")})
    pairs, sets = b"\0\0\1\0x\1\0\0\0y", [(0, 1, 2)]
    image = built.build(tree, pairs=b"".join(built.metadata(pairs)), sets=sets)
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(image))) as fs:
        (problem,) = assert_verified_alike(fs)
        assert problem.startswith("/a: ")


# ---- Limits and devices --------------------------------------------------------------------------


def test_what_a_limit_forbids_to_read_is_a_problem(image: Draft) -> None:
    (problem,) = verified(image, s3archivefs.Limits(symlink_target_bytes=3))
    assert problem.path == "/link"
    assert isinstance(problem.error, s3archivefs.LimitExceededError)


def test_file_larger_than_whole_reads_may_be_is_no_problem(image: Draft) -> None:
    assert verified(image, s3archivefs.Limits(read_all_bytes=1)) == []


def test_content_that_the_device_has_not_is_a_problem(image: Draft) -> None:
    # The device has the metadata, and of the data only the first block.
    start = image["inode_table_start"]

    class Torn(ShortDevice):
        def pread(self, offset: int, length: int) -> bytes:
            return super().pread(offset, length) if offset >= start or offset < 96 else b""

    with s3archivefs.open(Torn(bytes(image.data), len(image.data))) as fs:
        problems = list(fs.verify())
    assert [problem.path for problem in problems] == [
        *("/blocks", "/tail", "/directory/other", "/directory/deep/file"),
    ]
    assert all(isinstance(each.error, s3archivefs.TruncatedImageError) for each in problems)


def test_errors_of_the_device_end_it(image: Draft) -> None:
    class Down(CountingDevice):
        def pread(self, offset: int, length: int) -> bytes:
            if 96 <= offset < image["inode_table_start"]:
                raise OSError("the store is down")
            return super().pread(offset, length)

    with (
        s3archivefs.open(Down(bytes(image.data))) as fs,
        pytest.raises(OSError, match="the store is down"),
    ):
        list(fs.verify())
