"""How an image is cut into parts. What S3 makes of them: tests/parts/integration/upload."""

from __future__ import annotations

import io
from threading import Event
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.image_parts import (
    MAX_PART_BYTES,
    MIN_PART_BYTES,
    ImageParts,
    Part,
    PartBody,
    part_size_of,
)

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
LARGEST = 10_000 * (5 << 30)


@pytest.mark.property
@given(st.integers(1, LARGEST))
def test_no_image_has_more_parts_than_s3_allows(size: int) -> None:
    length = part_size_of(size)
    assert length % MIB == 0
    assert 16 * MIB <= length <= 5 << 30
    assert -(-size // length) <= 10_000
    assert length == 16 * MIB or size > 10_000 * (length - MIB)  # not longer than it must be


@pytest.mark.property
@given(st.integers(1, LARGEST), st.integers(MIN_PART_BYTES, MAX_PART_BYTES))
@example(10_000 * MIN_PART_BYTES, MIN_PART_BYTES)
@example(10_000 * MIN_PART_BYTES + 1, MIN_PART_BYTES)
@example(LARGEST, MIN_PART_BYTES)
def test_parts_are_as_long_as_is_wanted_or_as_s3_needs_them(size: int, wanted: int) -> None:
    length = part_size_of(size, wanted)
    assert -(-size // length) <= 10_000
    if size <= 10_000 * wanted:
        assert length == wanted
    else:
        assert wanted < length <= MAX_PART_BYTES
        assert size > 10_000 * (length - MIB)  # not longer than it must be


@pytest.mark.parametrize("wanted", [None, MIN_PART_BYTES, MAX_PART_BYTES])
def test_an_image_that_s3_cannot_take_is_refused(wanted: int | None) -> None:
    with pytest.raises(UploadError, match="more than S3 takes"):
        part_size_of(LARGEST + 1, wanted)


@pytest.mark.property
@given(
    part=st.tuples(st.integers(0, 900), st.integers(1, 100)),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["read", "seek"]),
            st.integers(0, 120),
            st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]),
        )
    ),
)
def test_the_body_of_a_part_is_the_file_that_the_part_would_be(
    part: tuple[int, int],
    steps: list[tuple[str, int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = bytes(range(250)) * 4
    path = tmp_path_factory.getbasetemp() / "body"
    path.write_bytes(content)
    offset, length = part
    model = io.BytesIO(content[offset : offset + length])
    told: list[int] = []
    with path.open("rb") as file:
        body = PartBody(file.fileno(), Part(1, offset, length), told.append, Event())
        assert len(body) == length
        for what, number, whence in steps:
            if what == "read":
                assert body.read(number) == model.read(number)
            else:
                back = -number if whence == io.SEEK_END else number
                inside = min(max(_base(model, whence, length) + back, 0), length)
                assert body.seek(back, whence) == model.seek(inside)
            assert body.tell() == model.tell() == sum(told)


def _base(file: io.BytesIO, whence: int, length: int) -> int:
    return {io.SEEK_SET: 0, io.SEEK_CUR: file.tell(), io.SEEK_END: length}[whence]


def test_the_body_of_a_part_ends_when_nothing_more_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(100))
    stop = Event()
    with path.open("rb") as file:
        body = PartBody(file.fileno(), Part(1, 0, 100), lambda _: None, stop)
        assert body.read(10) == bytes(10)
        stop.set()
        with pytest.raises(BaseException, match="the upload was ended") as ended:
            body.read(10)
    # botocore tries again after any Exception.
    assert not isinstance(ended.value, Exception)


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (0, [(1, 0, 0)]),
        (16 * MIB, [(1, 0, 16 * MIB)]),
        (40 * MIB + 5, [(1, 0, 16 * MIB), (2, 16 * MIB, 16 * MIB), (3, 32 * MIB, 8 * MIB + 5)]),
    ],
)
def test_the_parts_are_the_image(
    size: int, parts: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(size)
    with path.open("rb") as file:
        assert ImageParts(file).parts == parts
