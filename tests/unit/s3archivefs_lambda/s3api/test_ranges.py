"""Parts of objects by Range and partNumber, against behaviour captured from Amazon S3."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from s3archivefs_lambda.s3api.ranges import ByteRange, parse_range, select_range

# ---- Ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "content_range"),
    [
        ("bytes=0-8", "bytes 0-8/10"),
        ("bytes=1-", "bytes 1-9/10"),
        ("bytes=-2", "bytes 8-9/10"),
        ("bytes=-15", "bytes 0-9/10"),
        ("bytes=0-100", "bytes 0-9/10"),
        ("bytes=0-0", "bytes 0-0/10"),
        ("bytes=9-9", "bytes 9-9/10"),
        (f"bytes=0-{10**30}", "bytes 0-9/10"),
    ],
)
def test_a_range_is_cut_to_the_object(header: str, content_range: str) -> None:
    part = parse_range(header, 10)
    assert part is not None
    assert part.content_range(10) == content_range
    first, last = content_range.removeprefix("bytes ").removesuffix("/10").split("-")
    assert part == ByteRange(int(first), int(last) + 1)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=1-0",
        "bytes=-1-",
        "bytes=0--1",
        "bytes=0-1,3-4,7-9",
        "0-1",
        "bytes=-",
        "bytes=",
        "bytes",
        "",
        "octets=0-1",
        "bytes=a-b",
        "bytes=\u0661-\u0662",  # digits, but not those of HTTP
        "bytes=0-" + "9" * 5000,
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_a_range_that_s3_does_not_serve_is_ignored(header: str) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=100-200", "bytes=10-", "bytes=10-10"])
def test_a_range_outside_the_object_is_416(header: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_range(header, 10)
    error = caught.value
    assert (error.code, error.status) == ("InvalidRange", 416)
    assert error.message == "The requested range is not satisfiable"
    assert error.extra == {"RangeRequested": header, "ActualObjectSize": "10"}
    assert error.headers == {"Content-Range": "bytes */10"}


@pytest.mark.parametrize("header", ["bytes=0-0", "bytes=0-", "bytes=-0", "bytes=5-9"])
def test_an_empty_object_satisfies_no_range(header: str) -> None:
    with pytest.raises(S3Error, match="InvalidRange"):
        parse_range(header, 0)


@pytest.mark.parametrize("header", ["bytes=-1", "bytes=-100"])
def test_the_last_bytes_of_an_empty_object_are_all_of_it(header: str) -> None:
    assert parse_range(header, 0) is None


@given(
    first=st.none() | st.integers(0, 40),
    last=st.none() | st.integers(0, 40),
    size=st.integers(0, 30),
)
def test_a_range_selects_what_slicing_selects(
    first: int | None, last: int | None, size: int
) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    positions = range(size)
    if first is not None:
        wanted = positions[first:] if last is None else positions[first : last + 1]
    else:
        wanted = positions[max(0, size - (last or 0)) :]
    if first is None:
        ignored = last is None or (last > 0 and size == 0)
    else:
        ignored = last is not None and last < first
    if ignored:
        assert parse_range(header, size) is None
    elif wanted:
        assert parse_range(header, size) == ByteRange(wanted[0], wanted[-1] + 1)
    else:
        with pytest.raises(S3Error, match="InvalidRange"):
            parse_range(header, size)


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9, -]*", fullmatch=True), st.integers(0, 99))
def test_any_range_header_gives_a_range_inside_the_object_or_416(header: str, size: int) -> None:
    with suppress(S3Error):
        part = parse_range(header, size)
        assert part is None or 0 <= part.start < part.stop <= size


@given(st.from_regex(r"[ \t]{0,2}(bytes|Bytes|x)? ?=?[ \t]?\d{0,3}\x0b? ?-? ?-?\d{0,3}[ \r,x]?"))
@example(" BYTES= 1 - 2 ")
@example("bytes =1-2")
@example("bytes=1 2-3")
@example("bytes=\u20031-2")
def test_white_space_counts_for_nothing_around_the_numbers_of_a_range(header: str) -> None:
    plain = re.fullmatch(r"(?ai)\s*(bytes=)\s*(\d*)\s*(-)\s*(\d*)\s*", header)
    assert parsed(header, 500) == (parsed("".join(plain.groups()), 500) if plain else None)


def parsed(header: str, size: int) -> ByteRange | str | None:
    """What parse_range returns, or the code of what it raises."""
    try:
        return parse_range(header, size)
    except S3Error as error:
        return error.code


def test_the_range_comes_from_the_header_alone() -> None:
    assert select_range(S3Request(headers={"range": "bytes=0-0"}), 8) == ByteRange(0, 1)
    assert select_range(S3Request(query={"Range": "bytes=2-3"}), 8) is None
    assert select_range(S3Request(), 8) is None


# ---- Part numbers --------------------------------------------------------------------------------


def test_part_1_is_the_whole_object() -> None:
    part = select_range(S3Request(query={"partNumber": "1"}), 8)
    assert part is not None
    assert part.content_range(8) == "bytes 0-7/8"


def test_part_1_of_an_empty_object_is_no_range() -> None:
    assert select_range(S3Request(query={"partNumber": "1"}), 0) is None


@pytest.mark.parametrize("number", ["2", "10000"])
def test_there_is_no_second_part(number: str) -> None:
    with pytest.raises(S3Error) as caught:
        select_range(S3Request(query={"partNumber": number}), 8)
    error = caught.value
    assert (error.code, error.status) == ("InvalidPartNumber", 416)
    assert error.message == "The requested partnumber is not satisfiable"
    assert error.extra == {"PartNumberRequested": number, "ActualPartCount": "1"}


@pytest.mark.parametrize("number", ["0", "-1", "10001", "", "one", "1.0", "9" * 5000, "\u0661"])
def test_a_part_number_is_an_integer_from_1_to_10000(number: str) -> None:
    with pytest.raises(S3Error) as caught:
        select_range(S3Request(query={"partNumber": number}), 8)
    assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)
    assert caught.value.extra == {"ArgumentName": "partNumber", "ArgumentValue": number}


def test_a_range_and_a_part_number_exclude_each_other() -> None:
    request = S3Request(query={"partNumber": "1"}, headers={"range": "bytes=0-1"})
    with pytest.raises(S3Error) as caught:
        select_range(request, 8)
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)
    assert caught.value.message == "Cannot specify both Range header and partNumber query parameter"
