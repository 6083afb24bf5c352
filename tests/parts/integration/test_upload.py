"""`s3archivefs upload` on real S3 servers, and what an interruption leaves there."""

from __future__ import annotations

import base64
import hashlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.counting_proxy import Answer, CountingProxy, Reset, Stall
from tests.support.server_keeper import own
from tests.support.swift_store import REGION
from tests.support.trees import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.counting_proxy import Fault
    from tests.support.radosgw_server import RadosGateway
    from tests.support.recorded import Recorded, Request
    from tests.support.swift_store import SwiftStore

BUCKET = own("uploads")
FIXTURES = Path(__file__).parents[3] / "fixtures"
PART_BYTES = 5 << 20
"""The shortest that S3 takes."""
WAIT_SECONDS = 200


@dataclass(frozen=True)
class Store:
    """A store, the proxy in front of it, and the command that is sent there."""

    store: SwiftStore | RadosGateway
    proxy: CountingProxy
    directory: Path
    environ: dict[str, str] = field(repr=False)

    def upload(self, *arguments: object, status: int = 0) -> str:
        """Run `s3archivefs upload` to its end, which must have `status`; what it wrote."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environ,
            check=False,
            capture_output=True,
            text=True,
        )
        written = done.stdout + done.stderr
        assert done.returncode == status, written
        assert "Traceback" not in written
        return written

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "s3archivefs.cli", "upload", *map(str, arguments)]

    def interrupt(self, number: int, *arguments: object, part: int) -> str:
        """Send a signal to the command when `part` waits for its answer; what it wrote.

        The store holds all parts before it then, and none of those after it.
        """
        arrived = threading.Event()

        def match(request: Request) -> bool:
            if part_number(request) < part:
                return False
            arrived.set()
            return True

        self.proxy.inject(Stall(None), times=99, match=match)
        with subprocess.Popen(
            self.command(*arguments),
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            assert arrived.wait(WAIT_SECONDS)
            self._wait_for_parts({*range(1, part)})
            running.send_signal(number)
            written, _ = running.communicate()
        self.proxy.heal()
        self.proxy.reset()  # waits for what is still on its way to the store
        assert running.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), written
        assert "Traceback" not in written
        return written

    def _wait_for_parts(self, numbers: set[int]) -> None:
        """Wait until an unfinished upload holds these parts."""
        until = time.monotonic() + WAIT_SECONDS
        while numbers and not any(self.parts(key) >= numbers for key in self.unfinished()):
            assert time.monotonic() < until

    def unfinished(self) -> list[str]:
        """The keys of unfinished uploads."""
        found = self.store.client().list_multipart_uploads(Bucket=BUCKET)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def parts(self, key: str) -> set[int]:
        """The parts that the unfinished upload to `key` holds."""
        client = self.store.client()
        found = client.list_multipart_uploads(Bucket=BUCKET, Prefix=key)["Uploads"]
        (upload,) = [upload for upload in found if upload["Key"] == key]
        parts = client.list_parts(Bucket=BUCKET, Key=key, UploadId=upload["UploadId"])
        return {part["PartNumber"] for part in parts.get("Parts", [])}

    def keys(self) -> list[str]:
        found = self.store.client().list_objects_v2(Bucket=BUCKET)
        return [there["Key"] for there in found.get("Contents", [])]

    def hash(self, key: str) -> str:
        body = self.store.client().get_object(Bucket=BUCKET, Key=key)["Body"]
        digest = hashlib.sha256()
        for piece in body.iter_chunks(1 << 20):
            digest.update(piece)
        return digest.hexdigest()

    def superblock(self, key: str) -> bytes:
        metadata = self.store.client().head_object(Bucket=BUCKET, Key=key)["Metadata"]
        return base64.b64decode(metadata["s3archivefs-superblock"])


@pytest.fixture(params=["swift", "radosgw"])
def uploads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty bucket of each store; the gateway heeds other conditions, and answers otherwise."""
    server = request.getfixturevalue("store" if request.param == "swift" else "gateway")
    yield from _empty_bucket(server, tmp_path)


@pytest.fixture
def swift(store: SwiftStore, tmp_path: Path) -> Iterator[Store]:
    """An empty bucket of the one."""
    yield from _empty_bucket(store, tmp_path)


def _empty_bucket(server: SwiftStore | RadosGateway, directory: Path) -> Iterator[Store]:
    client = server.client()
    client.create_bucket(Bucket=BUCKET)
    (directory / "temporary").mkdir()
    with CountingProxy(server.url) as proxy:
        environ = os.environ | {
            "AWS_ACCESS_KEY_ID": server.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": server.owner.secret_key,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": proxy.url,
            "S3ARCHIVEFS_MPU_CHUNK_SIZE": str(PART_BYTES),
            "TMPDIR": str(directory / "temporary"),
        }
        yield Store(server, proxy, directory, environ)
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for there in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=there["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def small_image() -> Path:
    """An image that is sent in one request."""
    return FIXTURES / "gzip.sqfs"


@pytest.fixture(scope="session")
def image_in_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of five parts, no two of them equal."""
    directory = tmp_path_factory.mktemp("parts")
    (directory / "content").mkdir()
    data = Random(5).randbytes(4 * PART_BYTES + 1000)
    (directory / "content" / "file").write_bytes(data)
    return pack(directory / "content", directory / "parts.sqfs")


@pytest.fixture
def some_of_the_tree(tree: Path, tmp_path: Path) -> Path:
    """Two of its directories: all of it takes ten seconds to pack as well as the command does."""
    for name in ("email", "awkward names"):
        shutil.copytree(tree / name, tmp_path / "some" / name, symlinks=True)
    return tmp_path / "some"


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_number(request: Request) -> int:
    """Which part a request sends; 0 where it sends none."""
    query = parse_qs(urlsplit(request.path).query)
    return int(query["partNumber"][0]) if request.method == "PUT" and "partNumber" in query else 0


def parts_sent(requests: list[Recorded]) -> list[int]:
    return sorted(part_number(request) for request in requests if part_number(request))


def is_write(request: Request) -> bool:
    return request.method in {"PUT", "POST"}


def completes(request: Request) -> bool:
    return request.method == "POST" and "uploadId=" in request.path


# ---- Interruptions -------------------------------------------------------------------------------


def test_ctrl_c_says_how_to_go_on(uploads: Store, image_in_parts: Path) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    written = uploads.interrupt(signal.SIGINT, image_in_parts, url, "--force", part=5)
    command = f"s3archivefs upload {image_in_parts} {url} --force --part-size {PART_BYTES}"
    assert f"to go on: {command};" in written
    assert f"s3archivefs upload --abort {url}" in written
    there = uploads.parts("a.sqfs")
    uploads.proxy.reset()
    uploads.upload(image_in_parts, url, "--force")
    assert parts_sent(uploads.proxy.requests) == sorted({1, 2, 3, 4, 5} - there)


def test_an_upload_may_be_interrupted_again_and_again(uploads: Store, image_in_parts: Path) -> None:
    there: set[int] = set()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        uploads.interrupt(number, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=5)
        before, there = there, uploads.parts("a.sqfs")
        assert there
        assert before <= there
    uploads.proxy.reset()
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert parts_sent(uploads.proxy.requests) == sorted({1, 2, 3, 4, 5} - there)
    assert uploads.unfinished() == []
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_upload_that_holds_no_part_yet_leaves_nothing_when_interrupted(
    number: int, uploads: Store, image_in_parts: Path
) -> None:
    written = uploads.interrupt(number, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=1)
    assert "to go on" not in written
    assert uploads.unfinished() == []


def test_other_uploads_are_left_alone_and_named(uploads: Store, image_in_parts: Path) -> None:
    for _ in range(2):
        uploads.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=1)
    written = uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert uploads.unfinished() == ["a.sqfs", "a.sqfs"]
    assert "keep parts in S3 (2 of them)" in written
    assert f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs" in written


def test_an_upload_without_the_first_part_may_have_been_begun_with_other_metadata(
    uploads: Store, image_in_parts: Path
) -> None:
    client = uploads.store.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="a.sqfs")["UploadId"]
    with image_in_parts.open("rb") as image:
        content = os.pread(image.fileno(), PART_BYTES, PART_BYTES)
        superblock = os.pread(image.fileno(), 96, 0)
    client.upload_part(Bucket=BUCKET, Key="a.sqfs", UploadId=upload, PartNumber=2, Body=content)
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.superblock("a.sqfs") == superblock
    assert uploads.unfinished() == ["a.sqfs"]


def test_an_unfinished_upload_is_deleted_on_demand(uploads: Store, image_in_parts: Path) -> None:
    for key in ("a.sqfs", "a.sqfs.other"):
        uploads.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/{key}", part=3)
    written = uploads.upload("--abort", f"s3://{BUCKET}/a.sqfs")
    assert written == f"s3://{BUCKET}/a.sqfs: 1 unfinished upload deleted\n"
    assert uploads.unfinished() == ["a.sqfs.other"]
    assert "0 unfinished uploads deleted" in uploads.upload("--abort", f"s3://{BUCKET}/a.sqfs")


def test_an_unfinished_upload_of_another_image_is_not_gone_on_from(
    uploads: Store, image_in_parts: Path, tmp_path: Path
) -> None:
    uploads.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=5)
    content = bytearray(image_in_parts.read_bytes())
    for part in range(5):
        content[part * PART_BYTES + 500] ^= 1
    other = tmp_path / "other.sqfs"
    other.write_bytes(content)
    written = uploads.upload("--no-verify", other, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(other)
    assert uploads.unfinished() == ["a.sqfs"]
    assert f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs" in written


def test_a_directory_leaves_nothing_when_interrupted(uploads: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(6).randbytes(3 * PART_BYTES))
    written = uploads.interrupt(signal.SIGTERM, tree, f"s3://{BUCKET}/a.sqfs", part=2)
    assert "to go on" not in written
    assert uploads.unfinished() == []
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_a_terminal_that_is_closed_ends_it_as_ctrl_c_does(uploads: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(8).randbytes(3 * PART_BYTES))
    uploads.interrupt(signal.SIGHUP, tree, f"s3://{BUCKET}/a.sqfs", part=2)
    assert uploads.unfinished() == []
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_a_directory_whose_parts_cannot_be_deleted_says_so(swift: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(9).randbytes(3 * PART_BYTES))
    refused = Answer(403, "AccessDenied")
    swift.proxy.inject(refused, times=9, match=lambda request: request.method == "DELETE")
    written = swift.interrupt(signal.SIGTERM, tree, f"s3://{BUCKET}/a.sqfs", part=2)
    assert "what was sent is still in S3" in written
    assert f"to delete it: s3archivefs upload --abort s3://{BUCKET}/a.sqfs\n" in written
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_the_kept_image_of_a_directory_is_gone_on_from(uploads: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(7).randbytes(4 * PART_BYTES + 1))
    image = tmp_path / "kept.sqfs"
    folder = f"s3://{BUCKET}/folder/"
    written = uploads.interrupt(signal.SIGINT, tree, folder, "--image", image, part=5)
    url = f"{folder}tree.sqfs"
    assert f"to go on: s3archivefs upload {image} {url} --part-size {PART_BYTES};" in written
    assert f"to delete it: s3archivefs upload --abort {url}\n" in written
    there = uploads.parts("folder/tree.sqfs")
    uploads.proxy.reset()
    uploads.upload(image, url)
    assert not there & {*parts_sent(uploads.proxy.requests)}
    assert uploads.hash("folder/tree.sqfs") == hash_of(image)


# ---- What is there already -----------------------------------------------------------------------


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_an_object_is_replaced_by_force_alone(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    uploads.store.client().put_object(Bucket=BUCKET, Key="a.sqfs", Body=b"precious")
    written = uploads.upload(path, f"s3://{BUCKET}/a.sqfs", status=1)
    assert f"s3://{BUCKET}/a.sqfs is there already; --force replaces it" in written
    assert not any(is_write(request) for request in uploads.proxy.requests)
    assert uploads.hash("a.sqfs") == hashlib.sha256(b"precious").hexdigest()
    uploads.upload(path, f"s3://{BUCKET}/a.sqfs", "--force")
    assert uploads.hash("a.sqfs") == hash_of(path)


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_an_object_that_comes_to_be_there_meanwhile_is_not_replaced(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    before(uploads, is_write, partial(_put, uploads, b"precious"))
    written = uploads.upload(request.getfixturevalue(which), f"s3://{BUCKET}/a.sqfs", status=1)
    assert "--force replaces it" in written
    assert uploads.hash("a.sqfs") == hashlib.sha256(b"precious").hexdigest()


def test_the_last_request_of_all_still_asks_that_nothing_is_there(
    swift: Store, image_in_parts: Path
) -> None:
    before(swift, completes, partial(_put, swift, b"precious"))
    swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", status=1)
    assert swift.hash("a.sqfs") == hashlib.sha256(b"precious").hexdigest()
    assert swift.unfinished() == ["a.sqfs"]
    swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", "--force")
    assert swift.hash("a.sqfs") == hash_of(image_in_parts)
    assert swift.unfinished() == []


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_an_image_that_is_stored_already_is_not_sent_again(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    uploads.upload(path, f"s3://{BUCKET}/a.sqfs")
    uploads.proxy.reset()
    written = uploads.upload(path, f"s3://{BUCKET}/a.sqfs")
    assert f"{path.stat().st_size:,} bytes stored already\n" in written
    assert not any(is_write(request) for request in uploads.proxy.requests)


def test_an_image_with_the_same_superblock_is_another_image(
    uploads: Store, image_in_parts: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.sqfs"
    content = bytearray(image_in_parts.read_bytes())
    content[PART_BYTES] ^= 1
    other.write_bytes(content)
    uploads.upload("--no-verify", other, f"s3://{BUCKET}/a.sqfs")
    written = uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "--force replaces it" in written


def test_another_image_with_the_same_superblock_that_comes_meanwhile_is_not_taken_for_this_one(
    uploads: Store, small_image: Path
) -> None:
    other = bytearray(small_image.read_bytes())
    other[100] ^= 1
    metadata = {"s3archivefs-superblock": base64.b64encode(other[:96]).decode()}

    def store() -> None:
        client = uploads.store.client()
        client.put_object(Bucket=BUCKET, Key="a.sqfs", Body=bytes(other), Metadata=metadata)

    before(uploads, is_write, store)
    written = uploads.upload(small_image, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "--force replaces it" in written


def test_an_image_is_stored_again_in_another_storage_class_by_force_alone(
    swift: Store, small_image: Path
) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    swift.upload(small_image, url)
    swift.upload(small_image, url, "--storage-class", "STANDARD")
    assert "--force" in swift.upload(small_image, url, "--storage-class", "GLACIER_IR", status=1)


def test_a_directory_is_not_packed_for_a_place_that_is_taken(swift: Store, tree: Path) -> None:
    _put(swift, b"precious")
    written = swift.upload(tree, f"s3://{BUCKET}/a.sqfs", status=1)
    assert written == f"s3archivefs: s3://{BUCKET}/a.sqfs is there already; --force replaces it\n"


# ---- Answers that are lost -----------------------------------------------------------------------


def test_storing_in_one_request_whose_answer_is_lost(uploads: Store, small_image: Path) -> None:
    def store() -> None:
        content = small_image.read_bytes()
        metadata = {"s3archivefs-superblock": base64.b64encode(content[:96]).decode()}
        client = uploads.store.client()
        client.put_object(Bucket=BUCKET, Key="a.sqfs", Body=content, Metadata=metadata)

    before(uploads, is_write, store)  # so that the attempt that is seen is the second
    assert " bytes stored\n" in uploads.upload(small_image, f"s3://{BUCKET}/a.sqfs")
    assert [each.status for each in uploads.proxy.requests if is_write(each)] == [412]


@pytest.mark.parametrize(
    "answer", [None, Answer(404, "NoSuchUpload"), Answer(412, "PreconditionFailed")], ids=repr
)
def test_completing_parts_when_the_answer_is_lost(
    answer: Answer | None, uploads: Store, image_in_parts: Path
) -> None:
    """Whatever the second attempt is told: AWS and these stores differ in that."""

    def complete() -> None:
        client = uploads.store.client()
        (upload,) = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
        target: Any = {"Bucket": BUCKET, "Key": "a.sqfs", "UploadId": upload["UploadId"]}
        parts: Any = [
            {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
            for part in client.list_parts(**target)["Parts"]
        ]
        client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    before(uploads, completes, complete, then=answer)
    forbidden = Answer(403, "AccessDenied")
    uploads.proxy.inject(forbidden, times=9, match=lambda request: request.method == "DELETE")
    assert " bytes stored\n" in uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert uploads.unfinished() == []


def test_an_upload_that_another_program_ends(swift: Store, image_in_parts: Path) -> None:
    def end() -> None:
        client = swift.store.client()
        (upload,) = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
        client.abort_multipart_upload(Bucket=BUCKET, Key="a.sqfs", UploadId=upload["UploadId"])

    before(swift, completes, end)
    written = swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "another program has ended the upload: upload it again" in written
    assert "to go on" not in written
    assert swift.keys() == []


def before(
    uploads: Store,
    match: Callable[[Request], bool],
    act: Callable[[], object],
    *,
    then: Fault | None = None,
) -> None:
    """Act when the first request that matches has come, and before it is passed on, or `then`
    befalls it.
    """
    acted = threading.Event()

    def matched(request: Request) -> bool:
        if not match(request) or acted.is_set():
            return False
        acted.set()
        act()
        return then is not None

    uploads.proxy.inject(then or Answer(500), match=matched)


def _put(uploads: Store, content: bytes) -> None:
    uploads.store.client().put_object(Bucket=BUCKET, Key="a.sqfs", Body=content)


# ---- Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Answer(500, "InternalError"), Answer(503, "SlowDown"), Reset()], ids=repr
)
def test_a_fault_of_the_network_or_the_store_is_tried_again(
    fault: Fault, uploads: Store, image_in_parts: Path
) -> None:
    uploads.proxy.inject(fault, times=3, match=lambda request: part_number(request) > 1)
    uploads.proxy.inject(fault, match=lambda request: request.method == "POST")
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert sum(request.fault == fault for request in uploads.proxy.requests) == 4
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert uploads.unfinished() == []


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_a_write_whose_answer_is_lost_is_no_failure(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)

    def writes_the_object(request: Request) -> bool:
        completes = request.method == "POST" and "uploadId=" in request.path
        return completes or (request.method == "PUT" and "partNumber" not in request.path)

    uploads.proxy.inject(Reset(0), match=writes_the_object)
    uploads.upload(path, f"s3://{BUCKET}/a.sqfs")
    assert any(request.fault == Reset(0) for request in uploads.proxy.requests)
    assert uploads.hash("a.sqfs") == hash_of(path)


def test_a_store_that_fails_for_good_leaves_what_it_has(swift: Store, image_in_parts: Path) -> None:
    environ = swift.environ | {"AWS_MAX_ATTEMPTS": "2"}
    swift.proxy.inject(Answer(503), times=99, match=lambda request: part_number(request) == 5)
    done = subprocess.run(
        swift.command(image_in_parts, f"s3://{BUCKET}/a.sqfs"),
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "S3 asks for fewer requests" in done.stderr
    assert "to go on: " in done.stderr
    swift.proxy.heal()
    swift.proxy.reset()
    there = swift.parts("a.sqfs")
    swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert parts_sent(swift.proxy.requests) == sorted({1, 2, 3, 4, 5} - there)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.utime(path, (1, 1)),
        lambda path: os.truncate(path, path.stat().st_size - PART_BYTES),
    ],
    ids=["written to", "shortened"],
)
def test_an_image_that_changes_meanwhile_is_not_completed(
    change: Callable[[Path], None], swift: Store, image_in_parts: Path, tmp_path: Path
) -> None:
    image = tmp_path / "changing.sqfs"
    image.write_bytes(image_in_parts.read_bytes())
    before(swift, lambda request: part_number(request) == 1, partial(change, image))
    written = swift.upload(image, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "the image changed while it was read" in written
    assert swift.keys() == swift.unfinished() == []


def test_a_bucket_that_is_not_there(uploads: Store, small_image: Path) -> None:
    written = uploads.upload(small_image, "s3://no-such-bucket/a.sqfs", status=1)
    assert "s3://no-such-bucket/a.sqfs: there is no such object or bucket" in written
    assert "make the bucket first" in written
    assert "Verifying" not in written


def test_credentials_that_may_not_write(swift: Store, store: SwiftStore, small_image: Path) -> None:
    environ = store.environ(store.stranger, endpoint_url=swift.proxy.url)
    done = subprocess.run(
        swift.command(small_image, f"s3://{BUCKET}/a.sqfs"),
        env=swift.environ | environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "s3:PutObject" in done.stderr
    assert store.stranger.secret_key not in done.stdout + done.stderr


@pytest.mark.parametrize("answer", [Answer(403, "AccessDenied"), Answer(404, "NoSuchUpload")])
def test_an_upload_whose_parts_cannot_be_listed_is_let_alone(
    swift: Store, image_in_parts: Path, answer: Answer
) -> None:
    def lists_parts(request: Request) -> bool:
        return request.method == "GET" and "uploadId=" in request.path

    swift.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=3)
    swift.proxy.inject(answer, times=99, match=lists_parts)
    written = swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert swift.hash("a.sqfs") == hash_of(image_in_parts)
    assert swift.unfinished() == ["a.sqfs"]
    assert f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs" in written


def test_credentials_that_may_only_write(uploads: Store, image_in_parts: Path) -> None:
    def reads(request: Request) -> bool:
        return request.method in {"GET", "HEAD"}

    uploads.proxy.inject(Answer(403, "AccessDenied"), times=99, match=reads)
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)


def test_a_storage_class_is_asked_for(
    uploads: Store, small_image: Path, image_in_parts: Path
) -> None:
    for path in (small_image, image_in_parts):
        uploads.proxy.reset()
        url = f"s3://{BUCKET}/a.sqfs"
        uploads.upload(path, url, "--storage-class", "STANDARD", "--force")
        first = next(request for request in uploads.proxy.requests if is_write(request))
        assert first.headers["x-amz-storage-class"] == "STANDARD"


@pytest.mark.parametrize(
    ("value", "asked"),
    [("STANDARD", "STANDARD"), ("INT", "INTELLIGENT_TIERING"), ("GIR", "GLACIER_IR")],
)
def test_a_storage_class_is_asked_for_by_the_variable(
    swift: Store, small_image: Path, value: str, asked: str
) -> None:
    swift = replace(swift, environ=swift.environ | {"S3ARCHIVEFS_STORAGE_CLASS": value})
    # Swift has the one class.
    swift.upload(small_image, f"s3://{BUCKET}/a.sqfs", status=int(value != "STANDARD"))
    first = next(request for request in swift.proxy.requests if is_write(request))
    assert first.headers["x-amz-storage-class"] == asked


@pytest.mark.parametrize(
    ("option", "variable", "parts"),
    [
        ((), {}, [1, 2]),  # 16 MiB
        ((), {"S3ARCHIVEFS_MPU_CHUNK_SIZE": str(10 << 20)}, [1, 2, 3]),
        (("--part-size", str(7 << 20)), {"S3ARCHIVEFS_MPU_CHUNK_SIZE": str(10 << 20)}, [1, 2, 3]),
    ],
)
def test_parts_have_the_size_that_is_asked_for(
    uploads: Store,
    image_in_parts: Path,
    option: tuple[str, ...],
    variable: dict[str, str],
    parts: list[int],
) -> None:
    environ = uploads.environ.copy()
    del environ["S3ARCHIVEFS_MPU_CHUNK_SIZE"]
    uploads = replace(uploads, environ=environ | variable)
    url = f"s3://{BUCKET}/a.sqfs"
    written = uploads.interrupt(signal.SIGINT, image_in_parts, url, *option, part=parts[-1])
    asked = option or tuple(f"--part-size {size}" for size in variable.values())
    command = " ".join(["s3archivefs upload", str(image_in_parts), url, *asked])
    assert f"to go on: {command};" in written
    there = uploads.parts("a.sqfs")
    uploads.proxy.reset()
    uploads.upload(image_in_parts, url, *option)
    assert parts_sent(uploads.proxy.requests) == sorted({*parts} - there)
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert "stored already" in uploads.upload(image_in_parts, url, *option)


def test_a_storage_class_that_the_store_has_not(uploads: Store, small_image: Path) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    written = uploads.upload(small_image, url, "--storage-class", "NONE_SUCH", status=1)
    assert "check the storage class: the store may not have it" in written
    assert uploads.keys() == []


def test_a_terminal_shows_progress(swift: Store, image_in_parts: Path) -> None:
    terminal, its_end = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        with os.fdopen(its_end, "wb", buffering=0) as stderr:
            command = swift.command(image_in_parts, f"s3://{BUCKET}/a.sqfs")
            done = subprocess.run(
                command, env=swift.environ, check=True, stdout=subprocess.PIPE, stderr=stderr
            )
            assert b"bytes stored\n" in done.stdout
            os.write(its_end, b"END")
        written = bytearray()
        while not written.endswith(b"END"):
            written += shown.read(4096)
    assert b"21.0/21.0 MB" in written


# ---- What is refused -----------------------------------------------------------------------------


def no_image(path: Path, image: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n" * 100)


def empty(path: Path, image: Path) -> None:
    path.touch()


def truncated(path: Path, image: Path) -> None:
    path.write_bytes(image.read_bytes()[:-8192])


def damaged_data(path: Path, image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [no_image, empty, truncated, damaged_data])
def test_what_is_no_sound_image_is_refused_before_a_byte_is_sent(
    spoil: Callable[[Path, Path], None], swift: Store, image: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.sqfs"
    spoil(path, image)
    written = swift.upload(path, f"s3://{BUCKET}/a.sqfs", status=1)
    said = written.splitlines()[-1]
    assert said.startswith(f"s3archivefs: {path}: ")
    assert said.endswith("; nothing was uploaded")
    assert {request.method for request in swift.proxy.requests} <= {"HEAD"}


def test_damaged_data_is_not_looked_for_without_verification(
    swift: Store, image: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.sqfs"
    damaged_data(path, image)
    swift.upload(path, f"s3://{BUCKET}/a.sqfs", "--no-verify")
    assert swift.hash("a.sqfs") == hash_of(path)


# ---- Directories ---------------------------------------------------------------------------------


def test_a_directory_is_packed_and_stored(
    uploads: Store, some_of_the_tree: Path, tmp_path: Path
) -> None:
    tree = some_of_the_tree
    uploads.upload(tree, f"s3://{BUCKET}/folder/")
    key = f"folder/{tree.name}.sqfs"
    assert uploads.keys() == [key]
    content = uploads.store.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    image = tmp_path / "downloaded.sqfs"
    image.write_bytes(content)
    assert uploads.superblock(key) == content[:96]
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", tmp_path / "unpacked", image],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "unpacked"], check=True)
    assert [*(tmp_path / "temporary").iterdir()] == []
