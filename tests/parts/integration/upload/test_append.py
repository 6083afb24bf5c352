"""Images in S3 grow without their data being sent again, and lose members."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.adapter.uploads import (
    BUCKET,
    LARGE,
    PART_BYTES,
    Store,
    before,
    complete,
    completes,
    download,
    part_number,
    put,
)
from tests.support.proxy.counting_proxy import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.proxy.recorded import Request

URL = f"s3://{BUCKET}/a.sqfs"
STORED = ("--compressor", "none")
"""Spares a second and a half for LARGE, which no compressor makes smaller."""


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A directory to add."""
    top = tmp_path / "new"
    top.mkdir()
    (top / "b").write_bytes(b"second" * 1000)
    return top


def contents(uploads: Store, directory: Path) -> dict[str, bytes]:
    """All files in the store's image, downloaded, and sound by other readers."""
    with s3archivefs.open(download(uploads, directory)) as fs:
        assert [*fs.verify()] == []
        return {found: content.read() for found, _, content in fs.walk_files()}


def test_data_stays_in_s3_and_what_is_new_is_sent(
    uploads: Store, source: Path, new: Path, tmp_path: Path
) -> None:
    uploads.run("pack", *STORED, source, URL)
    planned = json.loads(uploads.run("append", URL, new, "--dry-run", "--json"))
    uploads.proxy.reset()
    done = json.loads(uploads.run("append", URL, new, "--json"))
    assert done == planned | {"dry_run": False}
    assert contents(uploads, tmp_path) == {
        "/a": b"first",
        "/b": b"second" * 1000,
        "/in/large": LARGE,
    }
    assert done["copied"] > 3 * PART_BYTES
    assert done["sent"] < PART_BYTES + 40_000
    assert done["received"] < PART_BYTES + 40_000
    # A store that knows no condition for completing an upload is asked again.
    assert len(uploads.proxy.requests) - done["requests"] in {0, 1}
    assert uploads.unfinished() == []
    assert uploads.superblock("a.sqfs") == (tmp_path / "stored.sqfs").read_bytes()[:96]

    uploads.run("remove", URL, "/in", "/a")
    assert contents(uploads, tmp_path) == {"/b": b"second" * 1000}
    assert uploads.superblock("a.sqfs") == (tmp_path / "stored.sqfs").read_bytes()[:96]


def test_more_than_is_held_back_leaves_no_superblock_of_the_former_image(
    swift: Store, new: Path, tmp_path: Path
) -> None:
    swift.run("pack", *STORED, new, URL)
    assert swift.superblock("a.sqfs")
    more = tmp_path / "more"
    more.mkdir()
    with (more / "long").open("wb") as file:
        for number in range(65):
            file.write(Random(number).randbytes(1 << 20))
    swift.run("append", URL, more)
    head = swift.store.client().head_object(Bucket=BUCKET, Key="a.sqfs")
    assert {name.lower() for name in head["Metadata"]}.isdisjoint({"s3archivefs-superblock"})
    with s3archivefs.open(download(swift, tmp_path)) as fs:
        assert fs.read_bytes("/long") == (more / "long").read_bytes()


def test_what_has_a_checksum_is_fetched_in_place_of_being_sent_again(
    uploads: Store, source: Path, tmp_path: Path
) -> None:
    more = LARGE[PART_BYTES:]  # of as many bytes as another that it is not
    (source / "more").write_bytes(more)
    uploads.run("pack", *STORED, "--checksums", source, URL)
    new = tmp_path / "new"
    new.mkdir()
    for name, content in {"a": b"first", "b": LARGE, "c": more[1:] + b"x", "d": LARGE}.items():
        (new / name).write_bytes(content)
    planned = json.loads(uploads.run("append", URL, new, "--into", "new", "--dry-run", "--json"))
    assert planned["duplicates"] == 2
    uploads.proxy.reset()
    done = json.loads(uploads.run("append", URL, new, "--into", "new", "--json"))
    assert done == planned | {"dry_run": False}
    assert len(LARGE) - PART_BYTES < done["received"] < len(LARGE) + PART_BYTES + 40_000
    assert done["sent"] < len(more) + PART_BYTES + 40_000
    assert len(uploads.proxy.requests) - done["requests"] in {0, 1}
    with s3archivefs.open(download(uploads, tmp_path)) as fs:
        assert [*fs.verify()] == []
        assert {path: fs.read_bytes(f"/new/{path}") for path in "abcd"} == {
            "a": b"first",
            "b": LARGE,
            "c": more[1:] + b"x",
            "d": LARGE,
        }


def test_a_small_image_is_sent_whole_with_its_metadata(
    uploads: Store, new: Path, tmp_path: Path
) -> None:
    uploads.run("pack", new, URL)
    client = uploads.store.client()
    stored = client.head_object(Bucket=BUCKET, Key="a.sqfs")["Metadata"]
    body = client.get_object(Bucket=BUCKET, Key="a.sqfs")["Body"].read()
    client.put_object(
        Bucket=BUCKET,
        Key="a.sqfs",
        Body=body,
        Metadata={**stored, "own": "kept"},
        ContentType="application/x-own",
    )
    uploads.run("append", URL, new, "--into", "in")
    assert contents(uploads, tmp_path) == {"/b": b"second" * 1000, "/in/b": b"second" * 1000}
    assert uploads.superblock("a.sqfs") == (tmp_path / "stored.sqfs").read_bytes()[:96]
    head = client.head_object(Bucket=BUCKET, Key="a.sqfs")
    assert {name.lower(): value for name, value in head["Metadata"].items()}["own"] == "kept"
    assert head["ContentType"] == "application/x-own"


def test_an_image_that_grows_in_s3_again_and_again_stays_sound(
    uploads: Store, source: Path, new: Path, tmp_path: Path
) -> None:
    uploads.run("pack", source, URL, "--compressor", "lz4")
    for number in range(4):
        uploads.run("append", URL, new, "--into", f"{number}")
    assert contents(uploads, tmp_path) == {
        "/a": b"first",
        "/in/large": LARGE,
        **{f"/{number}/b": b"second" * 1000 for number in range(4)},
    }


@pytest.mark.parametrize("is_large", [True, False])
def test_of_two_at_once_one_wins_and_the_other_is_told(
    uploads: Store, source: Path, new: Path, tmp_path: Path, *, is_large: bool
) -> None:
    uploads.run("pack", *STORED, source if is_large else new, URL)

    def is_last(request: Request) -> bool:
        if is_large:
            return part_number(request) == 1
        return request.method == "GET" and "a.sqfs" in request.path

    def other() -> None:
        put(uploads, b"of another program")

    before(uploads, is_last, other)
    written = uploads.run("append", URL, new, status=1)
    assert written.endswith(f"{URL}: another program replaced it meanwhile: run this again\n")
    body = uploads.store.client().get_object(Bucket=BUCKET, Key="a.sqfs")["Body"].read()
    assert body == b"of another program"
    assert uploads.unfinished() == []


def test_a_part_that_is_refused_leaves_the_image(uploads: Store, source: Path, new: Path) -> None:
    uploads.run("pack", *STORED, source, URL)
    before_it = uploads.hash("a.sqfs")
    forbidden = Answer(403, "AccessDenied")
    uploads.proxy.inject(forbidden, times=99, match=lambda request: part_number(request) == 2)
    written = uploads.run("append", URL, new, status=1)
    assert len(written.splitlines()) == 1
    assert uploads.hash("a.sqfs") == before_it
    assert uploads.unfinished() == []


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_content_that_cannot_be_fetched_to_compare_is_told_in_one_line(
    uploads: Store, source: Path, tmp_path: Path, *, is_replaced: bool
) -> None:
    uploads.run("pack", *STORED, "--checksums", source, URL)
    new = tmp_path / "new"
    new.mkdir()
    (new / "b").write_bytes(LARGE)

    def is_data(request: Request) -> bool:
        start = (request.range or "bytes=0-").removeprefix("bytes=").partition("-")[0]
        return request.method == "GET" and PART_BYTES <= int(start) < len(LARGE)

    if is_replaced:
        before(uploads, is_data, partial(put, uploads, b"of another program"))
        expected = f"{URL}: another program replaced it meanwhile: run this again\n"
    else:
        uploads.proxy.inject(Answer(403, "AccessDenied"), times=99, match=is_data)
        expected = "check the credentials, and that they allow s3:GetObject on this object\n"
    written = uploads.run("append", URL, new, status=1)
    assert written.endswith(expected)
    assert len(written.splitlines()) == 1
    assert uploads.unfinished() == []


def test_a_completion_whose_answer_is_lost_once_is_tried_again(
    uploads: Store, source: Path, new: Path, tmp_path: Path
) -> None:
    uploads.run("pack", *STORED, source, URL)
    uploads.proxy.inject(Answer(500), match=completes)
    uploads.run("append", URL, new)
    assert contents(uploads, tmp_path)["/b"] == b"second" * 1000


def test_a_completion_is_known_though_its_answer_is_lost(
    uploads: Store, source: Path, new: Path, tmp_path: Path
) -> None:
    uploads.run("pack", source, URL)
    before(uploads, completes, partial(complete, uploads), then=Answer(500))
    uploads.run("append", URL, new)
    assert contents(uploads, tmp_path)["/b"] == b"second" * 1000
    assert uploads.unfinished() == []


def test_what_is_not_there_or_no_image_is_told(uploads: Store, new: Path) -> None:
    written = uploads.run("append", URL, new, status=3)
    assert written == f"s3archivefs: {URL}: No such file or directory\n"
    put(uploads, b"x" * 1000)
    written = uploads.run("append", URL, new, status=4)
    assert "not a squashfs image" in written
