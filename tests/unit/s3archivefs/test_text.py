"""Files opened as text read as local ones do, and only the modes of a reader are taken."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import file
from tests.support.images.fixtures import make_image

LINES = b"".join(b"line %d\n" % number + b"\n" * (number % 3) for number in range(3000))
NAIVE = "Zeile für Zeile\r\n日本\rend\n\n".encode() * 700
CONTENTS = {"lines": LINES, "small": b"one\ntwo\nthree", "empty": b"", "text": NAIVE}
SIZES = st.one_of(
    st.integers(-1, 60), st.sampled_from([4095, 4096, 4097, 8192, 65536, 65537, 10**6])
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tuple(file(name, content) for name, content in CONTENTS.items())
    return make_image(tmp_path_factory.mktemp("text"), tree)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files on disk."""
    place = tmp_path_factory.mktemp("local")
    for name, content in CONTENTS.items():
        (place / name).write_bytes(content)
    return place


@pytest.fixture(scope="module")
def fs(path: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(path) as opened:
        yield opened


TEXT_STEPS = st.one_of(
    st.tuples(st.sampled_from(["read", "readline", "lines"]), SIZES),
    st.tuples(st.sampled_from(["mark", "back", "start", "end"]), st.just(0)),
)


@pytest.mark.property
@given(
    name=st.sampled_from(["lines", "small", "empty", "text"]),
    how=st.tuples(
        st.sampled_from([None, "", "\n", "\r", "\r\n"]),
        st.sampled_from(["utf-8", "latin-1", "utf-16-le"]),
    ),
    steps=st.lists(TEXT_STEPS, max_size=12),
)
def test_any_steps_in_text_give_what_a_local_file_gives(
    fs: s3archivefs.SquashFS,
    local: Path,
    name: str,
    how: tuple[str | None, str],
    steps: list[tuple[str, int]],
) -> None:
    newline, encoding = how
    with (
        fs.open(f"/{name}", "r", -1, encoding, "replace", newline) as ours,
        (local / name).open("r", -1, encoding, "replace", newline) as theirs,
    ):
        marks = (0, 0)
        for step, number in steps:
            if step == "mark":
                marks = ours.tell(), theirs.tell()
            elif step == "back":
                ours.seek(marks[0])
                theirs.seek(marks[1])
            elif step in {"start", "end"}:
                assert ours.seek(0, 2 * (step == "end")) == theirs.seek(0, 2 * (step == "end"))
            elif step == "lines":
                lines = [
                    line for line in (theirs.readline() for _ in range(abs(number) % 7)) if line
                ]
                assert list(islice(ours, abs(number) % 7)) == lines
            else:
                assert getattr(ours, step)(number) == getattr(theirs, step)(number)
        assert ours.read() == theirs.read()


@pytest.mark.parametrize("mode", ["r", "rt", "tr"])
def test_text_is_utf8_and_says_its_mode(fs: s3archivefs.SquashFS, mode: str) -> None:
    with fs.open("/text", mode) as text:
        assert isinstance(text, io.TextIOWrapper)
        assert (text.encoding, text.mode, text.name) == ("utf-8", "r", "/text")
        assert text.read() == NAIVE.decode().replace("\r\n", "\n").replace("\r", "\n")


def test_bytes_are_what_opens_by_default(fs: s3archivefs.SquashFS) -> None:
    for opened in (fs.open("/small"), fs.open("/small", "rb"), fs.open("/small", "br", 0)):
        with opened as file:
            assert isinstance(file, s3archivefs.SquashFile)
            assert (file.mode, file.name, file.size) == ("rb", "/small", 13)


@pytest.mark.parametrize("mode", ["w", "wb", "a", "x", "r+", "rb+", "wt", "ab"])
def test_writing_is_unsupported(fs: s3archivefs.SquashFS, mode: str) -> None:
    for opens in (fs.open, lambda name, mode: fs.path(name).open(mode)):
        with pytest.raises(io.UnsupportedOperation, match=r"mode is '.*'; an image is read only"):
            opens("/missing", mode)


@pytest.mark.parametrize("mode", ["", "b", "t", "q", "rbt", "rr", "U", "rU", "r b"])
def test_other_modes_are_refused(fs: s3archivefs.SquashFS, mode: str) -> None:
    with pytest.raises(ValueError, match="with 'r', 'rt' or 'rb'"):
        fs.open("/small", mode)


def test_what_only_text_has_is_refused_for_bytes(fs: s3archivefs.SquashFS) -> None:
    for option in ("encoding", "errors", "newline"):
        with pytest.raises(ValueError, match=f"takes no {option}"):
            fs.path("/small").open("rb", **{option: "utf-8"})  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="buffer"):
        fs.open("/small", "r", 0)
    with pytest.raises(LookupError, match="unknown encoding"):
        fs.open("/small", "r", encoding="no-such")
    with pytest.raises(ValueError, match="newline"):
        fs.open("/small", "r", newline="x")


def test_an_empty_encoding_is_unknown(fs: s3archivefs.SquashFS) -> None:
    with pytest.raises(LookupError, match="unknown encoding"):
        fs.open("/small", "r", encoding="")


@pytest.mark.parametrize("most", [1 << 18, 10])
def test_text_is_its_own_iterator_which_begins_again_where_the_file_does(
    path: Path, most: int
) -> None:
    with (
        s3archivefs.open(path, limits=s3archivefs.Limits(read_all_bytes=most)) as fs,
        fs.open("/small", "r") as opened,
    ):
        lines = iter(opened)
        assert lines is opened
        assert list(lines) == ["one\n", "two\n", "three"]
        assert next(lines, None) is None
        opened.seek(0)
        assert next(lines) == "one\n"
        assert opened.tell() == 4
