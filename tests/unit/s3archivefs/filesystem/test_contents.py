"""Contents, whole and in ranges, of one file and of many."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.callbacks import Callback
from fsspec.utils import read_block
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import BytesDevice, LimitExceededError
from s3archivefs.filesystem import ArchiveFileSystem
from tests.support.distant_device import DistantDevice
from tests.support.images.fixtures import CountingDevice
from tests.unit.s3archivefs.filesystem.conftest import BLOCK, CONTENTS

MANY = {name: data for name, data in CONTENTS.items() if name.startswith("many/")}
BOUNDS = st.none() | st.integers(-9000, 9000)


@pytest.mark.property
@given(st.sampled_from(["a/both", "a/empty", "a.b"]), BOUNDS, BOUNDS)
def test_a_range_is_a_slice(image: Path, name: str, start: int | None, end: int | None) -> None:
    with ArchiveFileSystem(str(image)) as fs:
        expected = CONTENTS[name][start:end]
        assert fs.cat_file(name, start, end) == fs.cat(name, start=start, end=end) == expected
        assert fs.cat_ranges([name], start, end) == [expected]


@pytest.mark.property
@given(
    st.lists(st.tuples(st.sampled_from([*CONTENTS]), BOUNDS, BOUNDS), max_size=12),
    st.none() | st.integers(0, 9000),
)
def test_ranges_are_slices_in_the_order_of_the_asking(
    image: Path, wanted: list[tuple[str, int | None, int | None]], max_gap: int | None
) -> None:
    paths, starts, ends = (
        ([*column] for column in zip(*wanted, strict=True)) if wanted else [[]] * 3
    )
    for device in (BytesDevice, DistantDevice):
        fs = ArchiveFileSystem(device(image.read_bytes()))
        found = fs.cat_ranges(paths, starts, ends, max_gap=max_gap)
        assert found == [CONTENTS[name][start:end] for name, start, end in wanted]


@pytest.mark.property
@given(BOUNDS, BOUNDS)
def test_a_range_that_the_file_makes_long_is_as_limited_as_all_of_it(
    image: Path, start: int | None, end: int | None
) -> None:
    content = CONTENTS["a/both"]
    with ArchiveFileSystem(str(image), limits={"read_all_bytes": 100}) as fs:
        is_refused = len(content[start:end]) > 100 and (end is None or end < 0)
        [found, short] = fs.cat_ranges(["a/both", "a.b"], start, end)
        assert short == CONTENTS["a.b"][start:end]
        if not is_refused:
            assert found == fs.cat_file("a/both", start, end) == content[start:end]
            return
        assert isinstance(found, LimitExceededError)
        for read in (fs.cat_file, fs.cat):
            with pytest.raises(LimitExceededError, match="read_all_bytes"):
                read("a/both", start=start, end=end)


def test_a_block_without_a_length_is_as_limited(image: Path) -> None:
    with ArchiveFileSystem(str(image), limits={"read_all_bytes": 100}) as fs:
        content = CONTENTS["lines"]
        assert len(content) > 100
        assert fs.read_block("lines", 0, len(content)) == content
        assert fs.read_block("lines", len(content) - 9, None) == content[-9:]
        assert fs.read_block("lines", 2, 4, delimiter=b"\n") == b"two\n"
        with pytest.raises(LimitExceededError, match="read_all_bytes"):
            fs.read_block("lines", 0, None)


def test_a_block_goes_on_to_a_delimiter_as_far_as_all_may_be_read(image: Path) -> None:
    content = CONTENTS["large"]
    count = len(content) - BLOCK
    with ArchiveFileSystem(str(image), limits={"read_all_bytes": BLOCK - 1}) as fs:
        assert fs.read_block("large", 0, count, content[count + 9 :][:9]) == content[: count + 18]
        for offset, length in ((0, 9), (9, 0), (count, 9), (0, count)):
            with pytest.raises(LimitExceededError, match="read_all_bytes"):
                fs.read_block("large", offset, length, b"lies nowhere")


@pytest.mark.property
@given(
    st.sampled_from(["a/empty", "lines", "large"]),
    st.integers(0, 9000) | st.integers((128 << 10) - 9, (128 << 10) + 9),
    st.none() | st.integers(0, 9000) | st.integers((128 << 10) - 9, (128 << 10) + 9),
    st.none() | st.tuples(st.integers(0, 300 << 10), st.integers(1, 9)) | st.just(b"nowhere"),
)
def test_a_block_is_the_one_of_fsspec(
    image: Path,
    name: str,
    offset: int,
    length: int | None,
    delimiter: tuple[int, int] | bytes | None,
) -> None:
    content = CONTENTS[name]
    if isinstance(delimiter, tuple):
        delimiter = content[delimiter[0] :][: delimiter[1]]
    upto = len(content) - offset if length is None else min(length, len(content) - offset)
    with ArchiveFileSystem(str(image)) as fs:
        found = fs.read_block(name, offset, length, delimiter)
        assert found == read_block(io.BytesIO(content), offset, upto, delimiter)


def test_ranges_that_adjoin_are_read_at_once(image: Path) -> None:
    device = CountingDevice(image.read_bytes())
    fs = ArchiveFileSystem(device)
    fs.info("large")
    device.forget()
    starts = [*range(0, 1 << 20, 1 << 14)]
    ends = [start + (1 << 14) for start in starts]
    found = fs.cat_ranges(["large"] * len(starts), starts, ends)
    assert b"".join(found) == CONTENTS["large"][: 1 << 20]
    assert len(device.reads) <= 2


def test_an_error_is_returned_in_its_place_or_raised(fs: ArchiveFileSystem) -> None:
    paths = ["a.b", "missing", "a", "lines", "missing"]
    found = fs.cat_ranges(paths, [0, 0, 0, 0, None], [3, 3, 3, 3, None])
    assert (found[0], found[3]) == (b"dot", b"one")
    kinds = [type(found[index]) for index in (1, 2, 4)]
    assert kinds == [FileNotFoundError, IsADirectoryError, FileNotFoundError]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 3, on_error="raise")


def test_ranges_are_given_in_lists_of_one_length(fs: ArchiveFileSystem) -> None:
    assert fs.cat_ranges([], 0, 1) == []
    with pytest.raises(TypeError):
        fs.cat_ranges("a.b", 0, 1)  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(ValueError, match="differ in length"):
        fs.cat_ranges(["a.b", "lines"], [0], [1, 2])


def test_cat_reads_one_file_or_many(fs: ArchiveFileSystem) -> None:
    assert fs.cat("a.b") == b"dot"
    assert fs.cat(["a.b"]) == {"a.b": b"dot"}
    assert fs.cat(["/a.b", "lines"]) == {"a.b": b"dot", "lines": CONTENTS["lines"]}
    assert fs.cat("many/*") == fs.cat("many", recursive=True) == MANY
    assert fs.cat(["a.b", "lines"], start=1, end=3) == {"a.b": b"ot", "lines": b"ne"}
    assert fs.cat(PurePosixPath("a.b")) == b"dot"
    assert fs.cat([PurePosixPath("a.b"), "nothing*"]) == {"a.b": b"dot"}


def test_cat_of_a_tree_reads_what_has_content(fs: ArchiveFileSystem) -> None:
    assert fs.cat("", recursive=True) == CONTENTS | {"to file": CONTENTS["a/both"]}


def test_cat_reads_many_files_with_few_reads(image: Path) -> None:
    device = CountingDevice(image.read_bytes())
    fs = ArchiveFileSystem(device)
    fs.find("")
    device.forget()
    assert fs.cat("many", recursive=True) == MANY
    assert len(device.reads) < 20  # of 40 files, some with a block of their own


@pytest.mark.parametrize(("start", "end"), [(None, None), (0, 2)])
def test_cat_raises_omits_or_returns_errors(
    fs: ArchiveFileSystem, start: int | None, end: int | None
) -> None:
    ranges: dict[str, Any] = {} if end is None else {"start": start, "end": end}
    with pytest.raises(FileNotFoundError):
        fs.cat(["a.b", "missing"], **ranges)
    assert fs.cat(["a.b", "missing"], on_error="omit", **ranges) == {"a.b": b"dot"[start:end]}
    found = fs.cat(["a.b", "missing"], on_error="return", **ranges)
    assert isinstance(found["missing"], FileNotFoundError)
    for explicit in ("missing", "a"):  # beside a pattern, which matches directories too
        with pytest.raises((FileNotFoundError, IsADirectoryError)):
            fs.cat(["n*", explicit], **ranges)
        found = fs.cat(["a*", explicit], on_error="return", **ranges)
        assert {*found} == {"a.b", explicit}


# ---- Copies --------------------------------------------------------------------------------------


def copied(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_get_copies_a_tree(fs: ArchiveFileSystem, tmp_path: Path) -> None:
    fs.get("", str(tmp_path / "copy"), recursive=True)
    assert copied(tmp_path / "copy") == CONTENTS | {"to file": CONTENTS["a/both"]}
    assert (tmp_path / "copy" / "nothing").is_dir()
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_get_copies_files_where_it_is_told(fs: ArchiveFileSystem, tmp_path: Path) -> None:
    targets = [str(tmp_path / name) for name in ("one", "two", "three")]
    fs.get(["/a.b", "lines", "a.b"], targets)
    assert copied(tmp_path) == {"one": b"dot", "two": CONTENTS["lines"], "three": b"dot"}
    into = io.BytesIO()
    fs.get_file("lines", "", outfile=into)
    assert into.getvalue() == CONTENTS["lines"]
    fs.get_file("a/both", str(tmp_path / "new" / "both"))
    assert (tmp_path / "new" / "both").read_bytes() == CONTENTS["a/both"]


@pytest.mark.parametrize("name", ["missing", "nowhere"])
def test_get_raises_for_what_is_not_there(fs: ArchiveFileSystem, tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        fs.get(name, str(tmp_path / "copy"))


def test_get_tells_its_callback_of_files_and_bytes(fs: ArchiveFileSystem, tmp_path: Path) -> None:
    class Telling(Callback):  # type: ignore[misc]  # fsspec ships no types
        def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 -- fsspec's
            super().__init__(**kwargs)
            self.children: dict[str, Telling] = {}

        def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Telling:  # noqa: ANN401 -- likewise
            return self.children.setdefault(path_1, Telling())

    telling = Telling()
    fs.get("", str(tmp_path), recursive=True, callback=telling)
    assert telling.value == telling.size
    files = CONTENTS | {"to file": CONTENTS["a/both"]}
    assert {name: each.value for name, each in telling.children.items()} == {
        name: len(data) for name, data in files.items()
    }


def test_get_reads_many_files_with_few_reads(image: Path, tmp_path: Path) -> None:
    device = CountingDevice(image.read_bytes())
    fs = ArchiveFileSystem(device)
    fs.find("")
    device.forget()
    fs.get("many", str(tmp_path), recursive=True)
    assert len(device.reads) < 20
    assert len(copied(tmp_path)) == 40


def test_what_copies_into_other_filesystems_goes_by_its_files(fs: ArchiveFileSystem) -> None:
    assert isinstance(fs, AbstractFileSystem)
