"""`s3archivefs pack` into S3, without a disk, and of what is in S3."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.adapter.uploads import (
    BUCKET,
    LARGE,
    PART_BYTES,
    WAIT_SECONDS,
    Store,
    before,
    complete,
    completes,
    download,
    is_write,
    part_number,
    parts_sent,
    put,
)
from tests.support.proxy.counting_proxy import Answer, CutBody, Stall

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.proxy.recorded import Recorded, Request

URL = f"s3://{BUCKET}/a.sqfs"
STORED = ("--compressor", "none")
"""Spares a second and a half for LARGE, which no compressor makes smaller."""


def stored(uploads: Store, directory: Path, key: str = "a.sqfs") -> s3archivefs.SquashFS:
    """The image in the store, downloaded, and sound by another reader."""
    return s3archivefs.open(download(uploads, directory, key))


def put_object(uploads: Store, key: str, content: bytes = b"", **fields: object) -> None:
    uploads.store.client().put_object(Bucket=BUCKET, Key=key, Body=content, **fields)  # type: ignore[arg-type]


def fetched(uploads: Store) -> list[str]:
    """The keys of the objects that were asked for, but for the image, sorted."""
    paths = [each.path.partition("?")[0] for each in uploads.proxy.requests if each.method == "GET"]
    keys = [path.removeprefix(f"/{BUCKET}/") for path in paths if path != f"/{BUCKET}"]
    return sorted(key for key in keys if key and key != "a.sqfs")


def test_an_image_streams_into_s3_with_its_first_part_last(
    uploads: Store, source: Path, tmp_path: Path
) -> None:
    written = uploads.run("pack", source, URL)
    assert written.startswith(f"{URL}: 2 files of ")
    sent = [number for each in uploads.proxy.requests if (number := part_number(each))]
    assert sorted(sent) == [1, 2, 3, 4, 5]
    assert sent[-1] == 1
    assert [*(uploads.directory / "temporary").iterdir()] == []
    with stored(uploads, tmp_path) as fs:
        assert fs.read_bytes("/in/large") == LARGE
        assert fs.read_bytes("/a") == b"first"
    assert uploads.unfinished() == []


def test_a_small_image_is_one_request_and_has_its_superblock_as_metadata(
    uploads: Store, tmp_path: Path
) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "file").write_bytes(b"content")
    uploads.run("pack", tmp_path / "small", URL)
    assert parts_sent(uploads.proxy.requests) == []
    with stored(uploads, tmp_path) as fs:
        assert fs.read_bytes("/file") == b"content"
    head = (tmp_path / "stored.sqfs").read_bytes()[:96]
    assert uploads.superblock("a.sqfs") == head


def test_an_object_that_stands_there_is_kept_or_replaced(uploads: Store, source: Path) -> None:
    put(uploads, b"before")
    written = uploads.run("pack", *STORED, source, URL, status=1)
    assert written == f"s3archivefs: {URL}: exists; --force replaces it\n"
    assert uploads.hash("a.sqfs") == hashlib.sha256(b"before").hexdigest()
    uploads.run("pack", *STORED, "--force", source, URL, "--verify")
    assert uploads.hash("a.sqfs") != hashlib.sha256(b"before").hexdigest()


def test_an_object_that_comes_meanwhile_is_kept(uploads: Store, source: Path) -> None:
    before(uploads, lambda request: part_number(request) == 1, lambda: put(uploads, b"other"))
    uploads.run("pack", *STORED, source, URL, status=1)
    assert uploads.hash("a.sqfs") == hashlib.sha256(b"other").hexdigest()
    assert uploads.unfinished() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_one_leaves_nothing(uploads: Store, source: Path, number: int) -> None:
    uploads.interrupt(number, *STORED, source, URL, part=4, subcommand="pack", first=2)
    assert uploads.unfinished() == []
    assert uploads.keys() == []


def test_parts_whose_deletion_is_interrupted_are_named(swift: Store, source: Path) -> None:
    """The store is silent, and who waits presses Ctrl-C again."""
    sent, aborted = threading.Event(), threading.Event()

    def stalls(request: Request) -> bool:
        if part_number(request) > 2:
            sent.set()
        if request.method == "DELETE":
            aborted.set()
        return request.method == "DELETE" or part_number(request) > 2

    swift.proxy.inject(Stall(None), times=99, match=stalls)
    command = ("pack", *STORED, str(source), URL)
    with swift.program.start(*command, environ=swift.environ) as running:
        for each in (sent, aborted):
            assert each.wait(WAIT_SECONDS)
            os.kill(running.pid, signal.SIGINT)
        done = running.wait()
    swift.proxy.heal()
    assert done.returncode == 130
    advice = f"deleting it was interrupted); to delete it: s3archivefs upload --abort {URL}\n"
    assert done.stderr == f"s3archivefs: what was sent may still be in S3 ({URL}: {advice}"


def test_a_part_that_s3_refuses_ends_it_and_leaves_nothing(uploads: Store, source: Path) -> None:
    forbidden = Answer(403, "AccessDenied")
    uploads.proxy.inject(forbidden, times=99, match=lambda request: part_number(request) == 3)
    written = uploads.run("pack", *STORED, source, URL, status=1)
    assert written.startswith(f"s3archivefs: {URL}: ")
    assert len(written.splitlines()) == 1
    assert uploads.unfinished() == []
    assert uploads.keys() == []


def test_a_completion_that_fails_once_is_tried_again(
    uploads: Store, source: Path, tmp_path: Path
) -> None:
    uploads.proxy.inject(Answer(500), match=completes)
    uploads.run("pack", *STORED, source, URL)
    with stored(uploads, tmp_path) as fs:
        assert fs.read_bytes("/a") == b"first"


@pytest.mark.parametrize("told", [None, Answer(404, "NoSuchUpload")], ids=repr)
def test_a_completion_whose_answer_is_lost_is_no_failure(
    uploads: Store, source: Path, tmp_path: Path, told: Answer | None
) -> None:
    """Whatever the attempt after it is told, by the store or as others have it."""
    (source / "in" / "large").write_bytes(LARGE[: PART_BYTES + 1000])
    before(uploads, completes, partial(complete, uploads), then=told)
    uploads.run("pack", source, URL)
    assert uploads.unfinished() == []
    with stored(uploads, tmp_path) as fs:
        assert fs.read_bytes("/a") == b"first"


def test_a_small_image_whose_answer_is_lost_is_no_failure(uploads: Store, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    uploads.run("pack", tmp_path / "small", f"s3://{BUCKET}/same.sqfs")
    same = uploads.store.client().get_object(Bucket=BUCKET, Key="same.sqfs")["Body"].read()
    uploads.proxy.reset()
    before(uploads, is_write, lambda: put(uploads, same))
    uploads.run("pack", tmp_path / "small", URL)
    assert [each.status for each in uploads.proxy.requests if is_write(each)] == [412]


def test_parts_that_cannot_be_deleted_are_named(swift: Store, source: Path) -> None:
    refused = Answer(403, "AccessDenied")
    swift.proxy.inject(refused, times=9, match=lambda request: request.method == "DELETE")
    swift.proxy.inject(refused, times=9, match=lambda request: part_number(request) == 3)
    written = swift.run("pack", source, URL, status=1)
    left, error = written.splitlines()
    assert left.startswith("s3archivefs: what was sent may still be in S3 (")
    assert left.endswith(f"; to delete it: s3archivefs upload --abort {URL}")
    assert error.startswith(f"s3archivefs: {URL}: access was refused")
    assert swift.unfinished() == ["a.sqfs"]
    swift.proxy.heal()
    swift.upload("--abort", URL)
    assert swift.unfinished() == []


# ---- Objects into one archive --------------------------------------------------------------------


ATTRIBUTES = {
    "file-permissions": "0100600",
    "file-owner": "1000",
    "file-group": "100",
    "file-mtime": "1600000000000000000ns",
}
"""As AWS DataSync keeps them in an object's metadata."""


def is_get_of(key: str, request: Request | Recorded) -> bool:
    return request.method == "GET" and request.path.endswith(key)


def test_objects_below_a_prefix_become_members(uploads: Store, tmp_path: Path) -> None:
    contents = {f"in/{number % 3}/{number}": bytes([number]) * number for number in range(40)}
    contents |= {"in/large": LARGE, "in/\u00fc ?&": b"odd", "other/x": b"not below"}
    for key, content in contents.items():
        put_object(uploads, key, content)
    put_object(uploads, "in/empty/")
    put_object(uploads, "in/own", b"own", Metadata=ATTRIBUTES)
    put_object(uploads, "in/large", LARGE, Metadata=ATTRIBUTES)
    uploads.proxy.reset()

    manifest = tmp_path / "manifest"
    uploads.run("pack", *STORED, f"s3://{BUCKET}/in/", URL, "--verify", "--manifest", manifest)
    below = {key[3:]: content for key, content in contents.items() if key.startswith("in/")}
    with stored(uploads, tmp_path) as fs:
        found = {path[1:]: file.read() for path, _, file in fs.walk_files()}
        assert found == below | {"own": b"own"}
        assert fs.stat("/empty").kind is s3archivefs.FileKind.DIRECTORY
        for own in (fs.stat("/own"), fs.stat("/large")):
            assert (own.mode, own.uid, own.gid, own.mtime) == (0o100600, 1000, 100, 1_600_000_000)
    assert sum(is_get_of("in/large", each) for each in uploads.proxy.requests) == 1
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert {line["key"] for line in lines} == {
        *(key for key in contents if key.startswith("in/")),
        "in/own",
        "in/empty/",
    }
    sizes = {key: len(content) for key, content in contents.items()}
    sizes |= {"in/own": 3, "in/empty/": 0}
    assert all(line["size"] == sizes[line["key"]] for line in lines)
    assert {*contents} <= {*uploads.keys()}


def test_objects_that_are_left_out_are_neither_fetched_nor_listed(
    uploads: Store, tmp_path: Path
) -> None:
    for key in ("in/a", "in/b.tmp", "in/c.tmp/d", "in/e/f", "in/e/g.tmp/"):
        put_object(uploads, key, b"" if key.endswith("/") else b"content")
    manifest = tmp_path / "manifest"
    options = ("--exclude", "*.tmp", "--manifest", manifest)
    uploads.run("pack", *options, f"s3://{BUCKET}/in/", URL)
    with stored(uploads, tmp_path) as fs:
        assert [path for path, _, _ in fs.walk_files()] == ["/a", "/e/f"]
    keys = [json.loads(line)["key"] for line in manifest.read_text().splitlines()]
    assert keys == ["in/a", "in/e/f"]
    assert fetched(uploads) == ["in/a", "in/e/f"]


# The bucket's name differs by process, and a test's must not.
@pytest.mark.parametrize("bucket", [f"s3://{BUCKET}", f"s3://{BUCKET}/"], ids=["bare", "slash"])
def test_the_archive_is_no_member_of_itself(swift: Store, tmp_path: Path, bucket: str) -> None:
    put_object(swift, "in/a", b"content")
    put_object(swift, "a.sqfs.old", b"another")
    for _ in range(2):
        swift.run("pack", "--force", bucket, URL)
    swift.run("append", URL, bucket, "--into", "again")
    with stored(swift, tmp_path) as fs:
        found = [path for path, _, _ in fs.walk_files()]
    assert sorted(found) == ["/a.sqfs.old", "/again/a.sqfs.old", "/again/in/a", "/in/a"]


def test_objects_that_come_first_are_fetched_once(uploads: Store, tmp_path: Path) -> None:
    keys = [f"in/{number % 3}/{number}" for number in range(20)]
    for key in keys:
        put_object(uploads, key, key.encode())
    put_object(uploads, "in/large", LARGE)
    order, manifest = tmp_path / "order", tmp_path / "manifest"
    order.write_text("2/17\nlarge\n0/3\n")
    options = ("--order", order, "--manifest", manifest)
    uploads.run("pack", *STORED, *options, f"s3://{BUCKET}/in/", URL)
    with stored(uploads, tmp_path) as fs:
        assert {path[1:]: file.read() for path, _, file in fs.walk_files()} == {
            **{key[3:]: key.encode() for key in keys},
            "large": LARGE,
        }
    listed = [json.loads(line)["key"] for line in manifest.read_text().splitlines()]
    assert listed[:3] == ["in/2/17", "in/large", "in/0/3"]
    assert sorted(listed) == fetched(uploads) == sorted([*keys, "in/large"])


def test_an_object_that_is_replaced_meanwhile_is_an_error(uploads: Store) -> None:
    for number in range(3):
        put_object(uploads, f"in/{number}", b"content")

    def is_second(request: object) -> bool:
        return "/in/1" in getattr(request, "path", "")

    before(uploads, is_second, lambda: put_object(uploads, "in/1", b"another"))
    written = uploads.run("pack", f"s3://{BUCKET}/in/", URL, status=1)
    assert f"s3archivefs: s3://{BUCKET}/in/1: the object was replaced" in written
    assert uploads.keys().count("a.sqfs") == 0


def test_an_object_whose_connection_is_lost_again_and_again_is_packed(
    swift: Store, tmp_path: Path
) -> None:
    put_object(swift, "in/large", LARGE)
    put_object(swift, "in/small", LARGE[:100_000])
    swift.proxy.inject(CutBody(1 << 20), times=15, match=partial(is_get_of, "in/large"))
    swift.proxy.inject(CutBody(10), times=4, match=partial(is_get_of, "in/small"))
    swift.run("pack", *STORED, f"s3://{BUCKET}/in/", URL)
    assert sum(is_get_of("in/large", each) for each in swift.proxy.requests) == 16
    with stored(swift, tmp_path) as fs:
        assert fs.read_bytes("/large") == LARGE
        assert fs.read_bytes("/small") == LARGE[:100_000]


def test_an_object_whose_connection_stays_lost_is_told(swift: Store) -> None:
    put_object(swift, "in/large", LARGE)
    swift.proxy.inject(CutBody(1000), times=99, match=partial(is_get_of, "in/large"))
    written = swift.run("pack", *STORED, f"s3://{BUCKET}/in/", URL, status=1)
    missing = f"{len(LARGE) - 5000} of {len(LARGE)} bytes missing, also when asked for again"
    assert f"s3://{BUCKET}/in/large: the body ended with {missing}; " in written


@pytest.mark.parametrize("is_fault", [False, True], ids=["ctrl-c", "fault"])
def test_objects_that_stall_are_not_waited_for_at_an_end(
    swift: Store, tmp_path: Path, *, is_fault: bool
) -> None:
    """They are asked for again after a minute, until the process ends."""
    keys = ["in/0", "in/1", "in/1//no path", "in/2", "in/3"]
    for key in keys if is_fault else [*keys[:2], *keys[3:]]:
        put_object(swift, key, b"content")
    arrived = threading.Semaphore(0)

    def stalls(request: Request) -> bool:
        if request.method != "GET" or not request.path.endswith(("in/2", "in/3")):
            return False
        arrived.release()
        return True

    swift.proxy.inject(Stall(None), times=99, match=stalls)
    command = ("pack", f"s3://{BUCKET}/in/", str(tmp_path / "a.sqfs"))
    with swift.program.start(*command, environ=swift.environ) as running:
        if not is_fault:
            for _ in range(2):
                assert arrived.acquire(timeout=WAIT_SECONDS)
            os.kill(running.pid, signal.SIGINT)
        done = running.wait()
    assert done.returncode == (1 if is_fault else 130)
    assert [*Counter(fetched(swift)).values()] == [1] * (5 if is_fault else 4)
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


@pytest.mark.parametrize("key", ["a//b", "/b", "../b", "a/./b", "b/"])
def test_keys_that_no_path_can_be_are_named(uploads: Store, key: str) -> None:
    put_object(uploads, "in/b", b"another")  # for which none may be taken
    put_object(uploads, f"in/{key}", b"content")
    written = uploads.run("pack", f"s3://{BUCKET}/in/", URL, status=1)
    assert f"s3archivefs: {key}: a path with b'" in written
    assert uploads.keys().count("a.sqfs") == 0


def test_an_archive_in_s3_is_a_source_too(uploads: Store, source: Path, tmp_path: Path) -> None:
    uploads.run("pack", *STORED, source, URL)
    uploads.run("pack", URL, f"s3://{BUCKET}/b.sqfs", "--compressor", "lz4")
    with stored(uploads, tmp_path, "b.sqfs") as fs:
        assert fs.read_bytes("/in/large") == LARGE
