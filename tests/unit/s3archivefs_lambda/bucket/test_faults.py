"""What goes wrong with an archive: the S3 error, the one log line, and the next request."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

import pytest

import s3archivefs
from fixtures.shapes import text
from fixtures.tree import file
from s3archivefs_lambda.archives import local as local_archive
from s3archivefs_lambda.archives.archives import Archive, Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.faults import answer_or_error
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMap
from s3archivefs_lambda.s3api.messages import Piece, S3Error, S3Request, S3Response
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
)
from tests.support.adapter.local_archives import (
    ask,
    config_for,
    content,
    get,
    list_keys,
    list_page,
    location_of,
    operations_on,
)
from tests.support.images.fixtures import FIXTURES, CountingDevice, make_image

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

KEY = "bad/short.txt"


def refused(operations: Operations, key: str) -> tuple[str, int]:
    """Code and status that both operations on an object end with."""
    seen = []
    for operation in ("GetObject", "HeadObject"):
        with pytest.raises(S3Error) as caught:
            ask(operations, operation, S3Request(key=key))
        seen.append((caught.value.code, caught.value.status))
    assert seen[0] == seen[1]
    return seen[0]


def get_range(operations: Operations, wanted: str) -> bytes:
    """Part of the object `large`."""
    return content(ask(operations, "GetObject", S3Request(key="large", headers={"range": wanted})))


# ---- Archives that cannot be opened --------------------------------------------------------------


def no_image(path: Path) -> None:
    path.write_bytes(b"not an image" * 100)


def too_short(path: Path) -> None:
    path.write_bytes(b"hsqs")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(FIXTURES["gzip"].image.read_bytes()[:600])


def missing(path: Path) -> None:
    """Leave it away."""


def directory_instead(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (no_image, ("InternalError", 500)),
        (too_short, ("InternalError", 500)),
        (empty, ("InternalError", 500)),
        (truncated, ("InternalError", 500)),
        (missing, ("NoSuchKey", 404)),
        (directory_instead, ("ServiceUnavailable", 503)),
    ],
)
def test_an_archive_that_cannot_be_opened(
    spoil: Callable[[Path], None],
    expected: tuple[str, int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = tmp_path / "bad"
    spoil(bad)
    operations = operations_on({"bad": bad, "good": FIXTURES["gzip"].image})
    assert refused(operations, KEY) == expected
    assert len(caplog.records) == 2  # one a request
    for record in caplog.records:
        assert record.levelname == "ERROR"
        line = record.getMessage()
        assert line.startswith(f"file://{bad}: ")
        assert line.endswith(f" (key {KEY!r})")
        assert line.count(str(bad)) == line.count(KEY) == 1
        assert "\n" not in line
    assert get(operations, "good/short.txt") == text(700)
    # Once it is in order, it is served.
    if bad.is_dir():
        bad.rmdir()
    bad.write_bytes(FIXTURES["gzip"].image.read_bytes())
    assert get(operations, KEY) == text(700)


def test_an_archive_that_may_not_be_read_is_403(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(file: BinaryIO) -> s3archivefs.FileDevice:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file.name)

    operations = operations_on({"bad": FIXTURES["gzip"].image})
    with monkeypatch.context() as patch:  # root may read anything, so no mode would do
        patch.setattr(local_archive, "FileDevice", refuse)
        assert refused(operations, KEY) == ("AccessDenied", 403)
    assert "Permission denied" in caplog.messages[0]
    assert get(operations, KEY) == text(700)


# ---- Damage inside an archive --------------------------------------------------------------------

LARGE = text(1 << 20) * 12


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, int]:
    """An image whose large file has a block amidst that does not decompress; where that is."""
    tree = (file("large", LARGE), file("small", b"small"))
    image = make_image(tmp_path, tree, "-b", "131072", "-comp", "gzip", "-no-fragments")
    data = bytearray(image.read_bytes())
    with s3archivefs.open(image) as fs:
        place = fs.superblock.inode_table_start * 6 // 10
    data[place : place + 50] = bytes(byte ^ 0x55 for byte in data[place : place + 50])
    image.write_bytes(data)
    return image, place


def test_a_block_that_does_not_decompress_is_500_and_the_log_says_where(
    damaged: tuple[Path, int], caplog: pytest.LogCaptureFixture
) -> None:
    image, place = damaged
    operations = operations_on({"": image})
    request = S3Request(key="large", headers={"range": "bytes=7400000-7700000"})
    with pytest.raises(S3Error) as caught:
        ask(operations, "GetObject", request)
    assert (caught.value.code, caught.value.status) == ("InternalError", 500)
    (line,) = caplog.messages
    assert str(image) in line
    assert (found := re.search(r"at byte (\d+) of the image", line))
    assert 0 <= place - int(found[1]) < 131072
    assert get(operations, "small") == b"small"
    assert get_range(operations, "bytes=100-199") == LARGE[100:200]


def test_a_bad_block_amidst_a_body_breaks_the_body_off(
    damaged: tuple[Path, int], caplog: pytest.LogCaptureFixture
) -> None:
    image, _ = damaged
    operations = operations_on({"": image})
    response = ask(operations, "GetObject", S3Request(key="large"))
    assert response.status == 200
    sent: list[Piece] = []
    with pytest.raises(S3Error, match="InternalError"):
        sent.extend(response.body)
    response.close()
    assert sent
    assert LARGE.startswith(b"".join(sent))
    (line,) = caplog.messages
    assert str(image) in line
    assert "at byte" in line
    assert get(operations, "small") == b"small"


class FailingFile(s3archivefs.FileDevice):
    """A file on a disk that fails once told to."""

    failing = False

    def pread(self, offset: int, length: int) -> bytes:
        if FailingFile.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pread(offset, length)


def test_a_disk_that_fails_is_503_and_not_a_missing_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(local_archive, "FileDevice", FailingFile)
    image = make_image(tmp_path, (file("large", LARGE), file("small", b"small")))
    operations = operations_on({"": image})
    response = ask(operations, "GetObject", S3Request(key="large"))
    monkeypatch.setattr(FailingFile, "failing", True)
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        content(response)
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        ask(operations, "GetObject", S3Request(key="small"))
    assert all(str(image) in line and "Input/output error" in line for line in caplog.messages)
    assert len(caplog.messages) == 2
    monkeypatch.setattr(FailingFile, "failing", False)
    assert get(operations, "small") == b"small"


# ---- Archives in S3 ------------------------------------------------------------------------------


class ScriptedArchives:
    """Archives that open to what a test prepared, or raise it."""

    limits = s3archivefs.Limits()

    def __init__(self, outcomes: Iterable[Archive | Exception]) -> None:
        self.outcomes = list(outcomes)
        self.discarded: list[Archive] = []

    @property
    def mappings(self) -> PrefixMap:
        return config_for({"": FIXTURES["gzip"].image}).mappings

    def get(self, location: Location) -> Archive:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def discard(self, archive: Archive) -> None:
        self.discarded.append(archive)


def scripted(*outcomes: Archive | Exception) -> tuple[Operations, ScriptedArchives]:
    archives = ScriptedArchives(outcomes)
    return Operations(cast("Archives", archives)), archives


class ReplacedDevice(CountingDevice):
    """An object in S3 that is replaced, once `after` more requests have been answered."""

    after = 1_000_000

    def pread(self, offset: int, length: int) -> bytes:
        if self.after <= 0:
            raise ArchiveReplacedError("s3://bucket/key: the object was replaced; open it again")
        self.after -= 1
        return super().pread(offset, length)


def version(image: Path, *, answers: int = 1_000_000) -> Archive:
    """An open archive that goes on answering so many requests."""
    archive, device = version_and_device(image)
    device.after = answers
    return archive


def version_and_device(image: Path) -> tuple[Archive, ReplacedDevice]:
    device = ReplacedDevice(image.read_bytes())
    fs = s3archivefs.open(device)
    return Archive(location_of(image), fs, f"version of {image}"), device


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ArchiveNotFoundError("s3://b/k: gone"), ("NoSuchKey", 404)),
        (ArchiveForbiddenError("s3://b/k: no"), ("AccessDenied", 403)),
        (ArchiveCredentialsError("s3://b/k: who?"), ("AccessDenied", 403)),
        (ArchiveThrottledError("s3://b/k: slow"), ("SlowDown", 503)),
        (ArchiveUnavailableError("s3://b/k: no answer"), ("ServiceUnavailable", 503)),
        (ArchiveReplacedError("s3://b/k: replaced"), ("ServiceUnavailable", 503)),
        (ArchiveAccessError("s3://b/k: unknown"), ("ServiceUnavailable", 503)),
    ],
)
def test_a_fault_of_s3_is_the_clients_error_and_the_operators_line(
    error: ArchiveAccessError, expected: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    operations, _ = scripted(error, error, error)
    assert refused(operations, "x") == expected
    with pytest.raises(S3Error) as caught:
        ask(operations, "ListObjectsV2", S3Request())
    assert (caught.value.code, caught.value.status) == expected
    assert caplog.messages == [f"{error} (key 'x')"] * 2 + [f"{error} (key '')"]


class OneFailing(Archives):
    """Archives of which one fails."""

    failing: Location
    error: Exception

    def get(self, location: Location) -> Archive:
        if location == self.failing:
            raise self.error
        return super().get(location)


def listing_across(image: Path, error: Exception) -> Operations:
    """A sound archive at `a` and `z`, and one between them that fails."""
    archives = OneFailing(
        config_for({"a": image, "bad": image.with_name("bad"), "z": image}), make_archive_client
    )
    archives.failing = location_of(image.with_name("bad"))
    archives.error = error
    return Operations(archives)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make_image(tmp_path, (file("x", b"x"),))


@pytest.mark.parametrize(
    "error",
    [
        ArchiveNotFoundError("s3://b/k: gone"),
        ArchiveForbiddenError("s3://b/k: no"),
        s3archivefs.NotSquashfsError("no image"),
        s3archivefs.CorruptImageError("damaged", 7),
        s3archivefs.UnsupportedError("squashfs 3"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_listing_across_archives_leaves_out_one_that_is_no_use_to_anybody(
    small: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    operations = listing_across(small, error)
    assert list_keys(operations) == ["a/x", "z/x"]
    (line,) = caplog.messages
    assert str(error) in line
    with pytest.raises(S3Error):
        list_keys(operations, prefix="bad/")


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ArchiveThrottledError("s3://b/k: slow"), "SlowDown", 503),
        (ArchiveUnavailableError("s3://b/k: no answer"), "ServiceUnavailable", 503),
        (ArchiveReplacedError("s3://b/k: replaced"), "ServiceUnavailable", 503),
        (ArchiveCredentialsError("s3://b/k: expired"), "AccessDenied", 403),
        (OSError(errno.EIO, "Input/output error"), "ServiceUnavailable", 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_a_listing_across_archives_fails_rather_than_leave_out_one_that_may_come_back(
    small: Path, error: Exception, code: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    operations = listing_across(small, error)
    with pytest.raises(S3Error) as caught:
        list_keys(operations)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert len(caplog.messages) == 1
    assert list_keys(operations, prefix="z/") == ["z/x"]
    assert list_page(operations, delimiter="/").prefixes == (b"a/", b"bad/", b"z/")


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    """An archive and the one that replaces it."""
    old, new = (
        make_image(tmp_path, (file("large", letter * (12 << 20)),), name=letter.decode())
        for letter in (b"a", b"b")
    )
    return old, new


def test_an_archive_replaced_before_the_answer_is_asked_for_anew(
    images: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    old, new = (version(images[0], answers=0), version(images[1]))
    operations, archives = scripted(old, new)
    assert get_range(operations, "bytes=0-1") == b"bb"
    assert archives.discarded == [old]
    assert caplog.messages == []


def test_an_archive_replaced_twice_in_a_row_is_unavailable(images: tuple[Path, Path]) -> None:
    old, new = (version(image, answers=0) for image in images)
    operations, archives = scripted(old, new)
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        ask(operations, "GetObject", S3Request(key="large"))
    assert archives.discarded == [old, new]


def test_an_archive_replaced_amidst_a_body_breaks_it_off(images: tuple[Path, Path]) -> None:
    (old, device), (new, _) = map(version_and_device, images)
    operations, archives = scripted(old, new)
    response = ask(operations, "GetObject", S3Request(key="large"))
    device.after = 0
    sent: list[Piece] = []
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        sent.extend(response.body)
    assert 0 < sum(map(len, sent)) < 12 << 20
    assert set(b"".join(sent)) == {ord("a")}  # never bytes of two versions
    assert archives.discarded == [old]
    assert get_range(operations, "bytes=-1") == b"b"


def test_an_archive_replaced_amidst_a_listing_is_opened_anew_by_the_next(
    images: tuple[Path, Path],
) -> None:
    old, new = (version(images[0], answers=0), version(images[1]))
    operations, archives = scripted(old, new)
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        ask(operations, "ListObjectsV2", S3Request())
    assert archives.discarded == [old]
    assert b"<Key>large</Key>" in content(ask(operations, "ListObjectsV2", S3Request()))


# ---- What is no fault of an archive --------------------------------------------------------------


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject", "ListObjectsV2", "ListObjects"])
def test_a_bug_is_an_internal_error_and_one_line_with_a_traceback(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    operations, _ = scripted(ZeroDivisionError("bug"))
    response = operations.answer(operation, S3Request(key="x", request_id="REQUEST"))
    assert (response.status, response.error_code, content(response)) == (500, "InternalError", b"")
    (record,) = caplog.records
    assert record.getMessage() == f"request REQUEST failed ({operation}, key 'x')"
    assert record.exc_info


def test_a_request_that_is_refused_is_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    operations, _ = scripted()
    response = operations.answer("ListObjectsV2", S3Request(query={"max-keys": "x"}))
    assert (response.status, response.error_code) == (400, "InvalidArgument")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("pieces", "sent", "why"),
    [
        ([b"ab"], b"ab", "2 bytes are missing"),
        ([b"ab", b"cde"], b"ab", "there are 1 bytes too many"),
        ([b"ab", ZeroDivisionError("bug")], b"ab", "bug"),
        ([b"ab", S3Error("SlowDown", 503, "slow")], b"ab", "SlowDown: slow"),
    ],
    ids=["short", "long", "bug", "error"],
)
def test_a_body_that_is_not_what_was_announced_is_one_line_and_an_error(
    pieces: list[bytes | Exception], sent: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    def body() -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    announced = S3Response(status=200, headers={"Content-Length": "4"}, body=body())
    request = S3Request(key="x", request_id="REQUEST")
    response = answer_or_error("GetObject", lambda _: announced, request)
    got: list[Piece] = []
    with pytest.raises(S3Error):
        got.extend(response.body)
    assert b"".join(got) == sent
    assert list(response.body) == []
    response.close()
    (record,) = caplog.records
    assert record.getMessage() == f"request REQUEST broke off after 2 bytes (key 'x'): {why}"
    assert bool(record.exc_info) is (why == "bug")
