"""Many files read at once: each as it reads alone, in the order of the disk."""

from __future__ import annotations

import errno
import io
import threading
import tracemalloc
from collections import Counter
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import HOLE, noise, text
from fixtures.tree import directory, fifo, file, hard_link, symlink
from s3archivefs import CorruptImageError, FileKind, LimitExceededError, Limits
from tests.support.distant_device import DistantDevice
from tests.support.images import built
from tests.support.images.drafts import Draft, draft
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.images.mutations import Mutator, originals
from tests.support.processes.forked import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from s3archivefs.names import EitherPath

BLOCK = 4096
TIME = 1_234_567_801
MIB = 1 << 20
CONTENTS = {
    "/a/blocks": text(3 * BLOCK),
    "/a/both": b"both" + text(2 * BLOCK + 77),
    "/a/copy": text(3 * BLOCK),
    "/a/empty": b"",
    "/a/link": b"both" + text(2 * BLOCK + 77),
    "/a/tail": text(700),
    "/holes": HOLE * 2 + b"holes" + text(BLOCK - 5) + HOLE + text(99),
    "/large": noise(5 * MIB + 1),
    "/noise": noise(2 * BLOCK + 99),
    "/zeros": bytes(9 * BLOCK),
    **{f"/many/{number:03}": b"%d" % number + text(number * 37) for number in range(300)},
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = [directory("a"), directory("many"), directory("none")]
    tree += [file(path[1:], data) for path, data in CONTENTS.items() if path != "/a/link"]
    tree += [hard_link("a/link", "a/both"), symlink("to", "a/tail"), symlink("loop", "loop")]
    tree += [symlink("nowhere", "x"), fifo("fifo")]
    return make_image(tmp_path_factory.mktemp("bulk"), tuple(tree), "-tailends")


@pytest.fixture(scope="module")
def fs(image: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(image) as opened:
        yield opened


# ---- What is read --------------------------------------------------------------------------------


def test_each_path_comes_with_its_content(fs: s3archivefs.SquashFS) -> None:
    assert dict(fs.read_many(CONTENTS)) == CONTENTS
    assert dict(fs.read_many([])) == {}


def test_every_file_below_comes_with_attributes_and_content(fs: s3archivefs.SquashFS) -> None:
    found = {path: (stat, opened.read()) for path, stat, opened in fs.walk_files()}
    assert found == {path: (fs.stat(path), data) for path, data in CONTENTS.items()}


def test_a_walk_begins_at_its_top(fs: s3archivefs.SquashFS) -> None:
    below = {path for path in CONTENTS if path.startswith("/a/")}
    assert {path for path, _, _ in fs.walk_files("/a")} == below
    assert {path for path, _, _ in fs.walk_files("a")} == {path[1:] for path in below}
    assert {path for path, _, _ in fs.walk_files(b"/a/")} == {path.encode() for path in below}
    assert list(fs.walk_files("/none")) == []
    with pytest.raises(NotADirectoryError):
        fs.walk_files("/large")


def test_paths_come_as_they_are_given_and_as_often(fs: s3archivefs.SquashFS) -> None:
    tail = fs.path("/a/tail")
    paths: list[EitherPath] = [tail, b"a/tail", "to", "/a/tail", "/a/../a//tail", "to"]
    read = [*fs.read_many(paths)]
    assert Counter(path for path, _ in read) == Counter(paths)
    assert {content for _, content in read} == {CONTENTS["/a/tail"]}


def test_one_path_is_not_taken_for_many(fs: s3archivefs.SquashFS) -> None:
    for path in ("/a", b"/a"):
        with pytest.raises(TypeError, match="a single path"):
            fs.read_many(path)  # type: ignore[type-var]  # what is tested


def test_files_are_in_memory_or_read_as_they_are_read(fs: s3archivefs.SquashFS) -> None:
    kinds = {path: opened for path, _, opened in fs.walk_files()}
    assert {path for path, kind in kinds.items() if not isinstance(kind, io.BytesIO)} == {"/large"}
    assert isinstance(kinds["/large"], s3archivefs.SquashFile)
    assert all(opened.closed for opened in kinds.values())


# ---- What it costs -------------------------------------------------------------------------------


def test_blocks_are_read_once_and_those_that_adjoin_together(image: Path) -> None:
    device = CountingDevice(image.read_bytes())
    with s3archivefs.open(device) as fs:
        paths = [path for path in CONTENTS if path != "/large"]
        for path in paths:
            fs.stat(path)
        device.forget()
        assert len([*fs.read_many(paths)]) == len(paths)
        # The long file lies in between, and the tails lie behind all.
        assert len([read for read in device.reads if read[0] < fs.superblock.inode_table_start]) < 6
        assert device.total < sum(len(CONTENTS[path]) for path in paths)


NEAR_AND_DISTANT = pytest.mark.parametrize("device", [s3archivefs.BytesDevice, DistantDevice])


def peak_of_reading(image: bytes, device: Callable[[bytes], s3archivefs.BlockDevice]) -> int:
    """The most memory that reading all files takes, in bytes; they have more than 100 MiB."""
    with s3archivefs.open(device(image)) as fs:
        tracemalloc.start()
        try:
            read = sum(len(opened.read()) for _, _, opened in fs.walk_files())
            many = sum(len(content) for _, content in fs.read_many(fs.listdir("/")))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read == many > 100 * MIB
    return peak


@NEAR_AND_DISTANT
def test_memory_does_not_grow_with_what_is_read(
    device: Callable[[bytes], s3archivefs.BlockDevice],
) -> None:
    files = {b"%02d" % number: built.file(noise(4 * MIB, str(number))) for number in range(26)}
    image = built.build(built.directory(files), block_size=MIB)
    assert peak_of_reading(bytes(image), device) < 64 * MIB


@NEAR_AND_DISTANT
def test_memory_does_not_grow_with_what_small_blocks_say(
    tmp_path: Path, device: Callable[[bytes], s3archivefs.BlockDevice]
) -> None:
    tree = tuple(file(f"{number:03}", HOLE * 1023 + b"%d" % number) for number in range(26))
    image = make_image(tmp_path, tree, "-no-fragments").read_bytes()
    assert peak_of_reading(image, device) < 64 * MIB


def test_a_claimed_size_costs_nothing(tmp_path: Path) -> None:
    tree = (file("a", bytes(4 * BLOCK), mtime=TIME), file("b", text(99)))
    image = draft(tmp_path, tree)
    inode = image.inode(TIME)
    assert image.get(inode, "H") == 9  # an extended file, as it is sparse
    image.put(inode + 24, "Q", 1 << 62)
    with image.open() as fs:
        for path, stat, opened in fs.walk_files():
            if path == "/a":
                assert stat.size == 1 << 62
                with pytest.raises(CorruptImageError, match="block list"):
                    opened.read(9)
            else:
                assert opened.read() == text(99)
        with pytest.raises(LimitExceededError, match="read_all_bytes"):
            [*fs.read_many(["a"])]


# ---- Faults --------------------------------------------------------------------------------------


def test_a_path_that_leads_to_no_file_raises_or_is_reported(fs: s3archivefs.SquashFS) -> None:
    faults = {"/x": errno.ENOENT, "/a": errno.EISDIR, "/fifo": errno.ENXIO, "loop": errno.ELOOP}
    faults |= {"nowhere": errno.ENOENT, "/noise/x": errno.ENOTDIR}
    for path, number in faults.items():
        with pytest.raises(OSError, match=path) as caught:
            [*fs.read_many(["/noise", path])]
        assert (caught.value.errno, caught.value.filename) == (number, path)
    told: dict[str, int | None] = {}

    def on_error(path: str, error: Exception) -> None:
        assert isinstance(error, OSError)
        told[path] = error.errno

    read = dict(fs.read_many([*faults, *CONTENTS], on_error=on_error))
    assert told == faults
    assert read == CONTENTS


@pytest.fixture
def damaged(tmp_path: Path) -> Draft:
    """An image of which the file `b` does not read: its second block is too short."""
    tree = (
        file("a", noise(3 * BLOCK)),
        file("b", noise(2 * BLOCK, "b"), mtime=TIME),
        file("c", noise(BLOCK, "c") + b"tail"),
    )
    image = draft(tmp_path, tree, "-tailends")
    image.put(image.inode(TIME) + 32 + 4, "I", 1 << 24 | 9)
    return image


def test_a_damaged_file_raises_in_its_turn_what_it_raises_alone(damaged: Draft) -> None:
    with damaged.open() as fs:
        with pytest.raises(CorruptImageError) as alone:
            fs.read_bytes("/b")
        for many in (fs.read_many(["/a", "/b", "/c"]), fs.walk_files()):
            assert next(many)[0] == "/a"
            with pytest.raises(CorruptImageError) as caught:
                next(many)
            assert str(caught.value) == str(alone.value)
            assert [*many] == []


def test_files_beside_a_damaged_one_are_read(damaged: Draft) -> None:
    with damaged.open() as fs:
        expected = {path: fs.read_bytes(path) for path in ("/a", "/c")}
        told: list[tuple[str, type[Exception]]] = []

        def on_error(path: str, error: Exception) -> None:
            told.append((path, type(error)))

        read = dict(fs.read_many(["/c", "/b", "/a"], on_error=on_error))
        walked = {path: opened.read() for path, _, opened in fs.walk_files(on_error=on_error)}
    assert read == walked == expected
    assert told == [("/b", CorruptImageError)] * 2


def test_a_damaged_directory_is_reported_and_others_are_walked(tmp_path: Path) -> None:
    tree = (directory("a", mtime=TIME), file("a/x"), directory("b"), file("b/y"))
    image = draft(tmp_path, tree)
    image.put(image.inode(TIME) + 24, "H", 4)  # the listing's size
    told: list[str] = []
    with image.open() as fs:
        walked = fs.walk_files(on_error=lambda path, _: told.append(path))
        assert [path for path, _, _ in walked] == ["/b/y"]
        assert told == ["/a"]
        with pytest.raises(CorruptImageError):
            [*fs.walk_files()]


def test_limits_hold(image: Path) -> None:
    with s3archivefs.open(image, limits=Limits(read_all_bytes=1000, walk_depth=0)) as fs:
        small = {path for path, content in CONTENTS.items() if len(content) <= 1000}
        told: list[str] = []
        read = dict(fs.read_many(CONTENTS, on_error=lambda path, _: told.append(path)))
        assert read.keys() == small
        assert {*told} == {*CONTENTS} - small
        walked: dict[str, bytes] = {}
        for path, _, opened in fs.walk_files("/a"):
            walked[path] = b"".join(iter(partial(opened.read, 999), b""))
        assert walked == {path: data for path, data in CONTENTS.items() if path.startswith("/a/")}
        with pytest.raises(LimitExceededError, match="walk_depth"):
            [*fs.walk_files()]


def test_a_closed_image_reads_nothing_more(image: Path) -> None:
    fs = s3archivefs.open(image)
    many, files = fs.read_many(CONTENTS), fs.walk_files()
    next(many)
    next(files)
    fs.close()
    for rest in (many, files):
        with pytest.raises(ValueError, match="closed"):
            next(rest)
    with pytest.raises(ValueError, match="closed"):
        fs.read_many([])


# ---- Threads and forks ---------------------------------------------------------------------------


def test_threads_read_at_the_same_time(fs: s3archivefs.SquashFS) -> None:
    found: list[dict[str, bytes]] = []
    threads = [
        threading.Thread(target=lambda: found.append(dict(fs.read_many(CONTENTS))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENTS] * 4


def test_a_forked_child_reads_on(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        many = fs.read_many(CONTENTS)
        begun = dict(islice(many, 5))

        def rest() -> dict[str, bytes]:
            return dict(many)

        assert begun | in_child(rest) == CONTENTS
        assert begun | rest() == CONTENTS


# ---- Damaged images ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mutator(tmp_path_factory: pytest.TempPathFactory) -> Mutator:
    return Mutator(originals(tmp_path_factory.mktemp("originals")))


def start_of(file: io.BufferedIOBase) -> bytes | None:
    """The first bytes; None where the file is large, and its reader meets the fault."""
    try:
        return file.read(99)
    except s3archivefs.SquashfsError:
        assert isinstance(file, s3archivefs.SquashFile)
        return None


@pytest.mark.property
@pytest.mark.parametrize("device", [s3archivefs.BytesDevice, DistantDevice])
@given(number=st.integers(0, 1 << 20))
def test_a_damaged_image_reads_at_once_as_it_reads_alone(
    device: Callable[[bytes], s3archivefs.BlockDevice], mutator: Mutator, number: int
) -> None:
    _, image = mutator.mutation(number)
    try:
        fs = s3archivefs.open(device(image))
    except s3archivefs.SquashfsError:
        return
    told: list[tuple[bytes, Exception]] = []

    def on_error(path: bytes, error: Exception) -> None:
        told.append((path, error))

    files = fs.walk_files(b"/", on_error=on_error)
    walked = {path: (stat, start_of(opened)) for path, stat, opened in islice(files, 200)}
    many = dict(fs.read_many(walked, on_error=on_error))
    faults = [(path, str(error)) for path, error in told]
    for path, (stat, start) in walked.items():
        try:
            alone = fs.stat(path), fs.read_bytes(path)
        except (s3archivefs.SquashfsError, OSError) as error:
            fault = path, str(error)  # of the directory, maybe, which is damaged behind the path
        else:
            assert (stat, start, many[path]) == (alone[0], alone[1][:99], alone[1])
            continue
        assert path not in many
        assert fault in faults
    for path, _ in faults:
        with pytest.raises((s3archivefs.SquashfsError, OSError)):
            fs.read_bytes(path) if fs.stat(path).kind is FileKind.FILE else [*fs.scandir(path)]
