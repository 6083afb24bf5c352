"""Files read in pieces, by their attributes: holes are told apart, and each block is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise, text
from s3archivefs import CorruptImageError, FileKind, Stat
from s3archivefs.content import is_hole
from tests.support.distant_device import DistantDevice
from tests.support.images.built import Node, build, directory, file
from tests.support.images.mutations import Mutator, originals

BLOCK = 4096
CONTENTS = {
    "/a/blocks": text(3 * BLOCK),
    "/a/both": text(2 * BLOCK + 77),
    "/a/empty": b"",
    "/a/tail": text(700),
    "/holes": bytes(2 * BLOCK) + text(BLOCK) + bytes(BLOCK) + text(99),
    "/large": noise((5 << 20) + 1),
    "/large-hole": text(BLOCK) + bytes((5 << 20) + 7),
    "/zeros": bytes(9 * BLOCK + 5),
}


def image_of(contents: dict[str, bytes]) -> bytes:
    top: dict[bytes, Node] = {b"a": directory()}
    for path, content in contents.items():
        name = path.rpartition("/")[2].encode()
        within = top[b"a"].children if path.startswith("/a/") else top
        within[name] = file(content, extended=True, in_fragment=True)
    return bytes(build(directory(top)))


@pytest.fixture(scope="module")
def fs() -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(s3archivefs.BytesDevice(image_of(CONTENTS))) as opened:
        yield opened


def files_of(fs: s3archivefs.SquashFS) -> Iterator[tuple[str, Stat]]:
    """Path and attributes of each regular file, as an extraction walks."""
    todo = ["/"]
    while todo:
        top = todo.pop()
        for name, stat in fs.scandir_stats(top):
            path = f"{top.rstrip('/')}/{name}"
            if stat.kind is FileKind.DIRECTORY:
                todo.append(path)
            elif stat.kind is FileKind.FILE:
                yield path, stat


def test_pieces_are_the_content(fs: s3archivefs.SquashFS) -> None:
    found = {path: b"".join(pieces) for path, pieces in fs.read_pieces(files_of(fs))}
    assert found == CONTENTS


def test_holes_are_told_apart_from_zeros_that_are_stored(fs: s3archivefs.SquashFS) -> None:
    holes = {
        path: sum(len(piece) for piece in pieces if is_hole(piece))
        for path, pieces in fs.read_pieces(files_of(fs))
    }
    expected = {"/holes": 3 * BLOCK, "/large-hole": 5 << 20, "/zeros": 9 * BLOCK}
    assert holes == dict.fromkeys(CONTENTS, 0) | expected
    assert not is_hole(bytes(BLOCK))
    assert not is_hole(memoryview(bytes(BLOCK)))


def test_a_mark_is_anything_and_comes_back(fs: s3archivefs.SquashFS) -> None:
    mark = object()
    stat = fs.stat("/a/tail")
    assert [(found, b"".join(pieces)) for found, pieces in fs.read_pieces([(mark, stat)])] == [
        (mark, CONTENTS["/a/tail"])
    ]
    assert [*fs.read_pieces([])] == []


def test_inodes_that_continue_in_the_next_block_are_read() -> None:
    # An extended inode of a file without blocks has 56 bytes, which 8,192 are no multiple of.
    contents = {f"/n{number:03}": b"%d" % number for number in range(400)}
    with s3archivefs.open(s3archivefs.BytesDevice(image_of(contents))) as fs:
        found = {path: b"".join(pieces) for path, pieces in fs.read_pieces(files_of(fs))}
    assert found == contents


def test_only_regular_files_have_content(fs: s3archivefs.SquashFS) -> None:
    with pytest.raises(ValueError, match="no regular file"):
        [*fs.read_pieces([("a", fs.stat("/a"))])]


def test_a_damaged_file_raises_to_who_takes_its_pieces() -> None:
    top = {b"a": file(text(9)), b"b": file(text(9), words=[9]), b"c": file(text(8))}
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(build(directory(top))))) as fs:
        read: dict[str, bytes] = {}
        for path, pieces in fs.read_pieces(files_of(fs)):
            if path == "/b":
                with pytest.raises(CorruptImageError):
                    b"".join(pieces)
            else:
                read[path] = b"".join(pieces)
    assert read == {"/a": text(9), "/c": text(8)}


def test_a_closed_image_reads_no_pieces() -> None:
    fs = s3archivefs.open(s3archivefs.BytesDevice(image_of(CONTENTS)))
    files = fs.read_pieces(files_of(fs))
    next(files)
    fs.close()
    with pytest.raises(ValueError, match="closed"):
        next(files)
    with pytest.raises(ValueError, match="closed"):
        fs.read_pieces([])


@pytest.fixture(scope="module")
def mutator(tmp_path_factory: pytest.TempPathFactory) -> Mutator:
    return Mutator(originals(tmp_path_factory.mktemp("originals")))


@pytest.mark.property
@pytest.mark.parametrize("device", [s3archivefs.BytesDevice, DistantDevice])
@given(number=st.integers(0, 1 << 20))
def test_pieces_of_a_damaged_image_are_what_it_reads_alone(
    device: Callable[[bytes], s3archivefs.BlockDevice], mutator: Mutator, number: int
) -> None:
    _, image = mutator.mutation(number)
    try:
        fs = s3archivefs.open(device(image))
        files = [*islice(files_of(fs), 200)]
    except s3archivefs.SquashfsError:
        return
    for (path, _), pieces in fs.read_pieces((each, each[1]) for each in files):
        try:
            alone: object = fs.read_bytes(path)
        except s3archivefs.LimitExceededError:
            continue  # pieces have no such bound
        except s3archivefs.SquashfsError as error:
            alone = str(error)
        try:
            found: object = b"".join(pieces)
        except s3archivefs.SquashfsError as error:
            found = str(error)
        assert found == alone


# ---- Where contents begin ------------------------------------------------------------------------


def test_pieces_come_in_the_order_in_which_contents_begin() -> None:
    small = {path: content for path, content in CONTENTS.items() if len(content) < 1 << 20}
    with s3archivefs.open(s3archivefs.BytesDevice(image_of(small))) as fs:
        files = [(stat, stat) for _, stat in files_of(fs)]
        order = [fs.content_start(stat)[0] for stat, _ in fs.read_pieces(reversed(files))]
    assert order == sorted(order)
    assert len({*order}) > 3


def test_files_in_one_fragment_block_begin_with_it() -> None:
    contents = {f"/a/{number}": text(40 + number) for number in range(9)}
    with s3archivefs.open(s3archivefs.BytesDevice(image_of(contents))) as fs:
        found = [fs.content_start(stat) for _, stat in files_of(fs)]
        ((start, fragment),) = {each[:2] for each in found}
        assert (start > 0, fragment) == (True, 0)
        sizes = [len(content) for content in contents.values()]
        assert sorted(offset for _, _, offset in found) == [*accumulate(sizes[:-1], initial=0)]


@pytest.mark.property
@given(number=st.integers(0, 1 << 20))
def test_contents_of_a_damaged_image_begin_somewhere(mutator: Mutator, number: int) -> None:
    _, image = mutator.mutation(number)
    try:
        fs = s3archivefs.open(s3archivefs.BytesDevice(image))
        files = [*islice(files_of(fs), 200)]
    except s3archivefs.SquashfsError:
        return
    starts = [fs.content_start(stat) for _, stat in files]
    assert all(min(each) >= 0 and max(each[1:]) < 1 << 32 for each in starts)
