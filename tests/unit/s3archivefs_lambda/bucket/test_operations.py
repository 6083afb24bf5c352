"""GetObject and HeadObject over mapped images: what is an object, and what is said of it."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import HOLE, noise, text
from fixtures.tree import Node, directory, file, hard_link, symlink
from s3archivefs import FileKind
from s3archivefs_lambda.archives.archives import Archive, Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from tests.support.adapter.local_archives import (
    ask,
    config_for,
    content,
    get,
    head,
    list_keys,
    location_of,
    operations_on,
    refused,
)
from tests.support.drawn.trees import build_tree
from tests.support.images.damaged_copy import DamagedCopy
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, Fixture, make_image, open_fixture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.config.location import Location

each_fixture = pytest.mark.parametrize(
    "fixture",
    [fixture for fixture in FIXTURES.values() if fixture.offset == 0],
    ids=lambda fixture: fixture.name,
)


@pytest.fixture
def plain() -> Operations:
    """The plain tree of the fixtures, at the root."""
    return operations_on({"": FIXTURES["gzip"].image})


# ---- Content -------------------------------------------------------------------------------------


@each_fixture
@pytest.mark.parametrize("prefix", ["", "virtual/prefix"])
def test_every_file_is_an_object_and_every_object_a_file(fixture: Fixture, prefix: str) -> None:
    operations = operations_on({prefix: fixture.image})
    files = {node.path: node.sha256 for node in fixture.tree if node.kind == "file"}
    with open_fixture(fixture) as fs:
        for link in (node.path for node in fixture.tree if node.kind == "symlink"):
            if fs.exists(link) and fs.stat(link).kind is FileKind.FILE:
                files[link] = hashlib.sha256(fs.read_bytes(link)).hexdigest()
    keys = {prefix + path if prefix else path[1:]: sha256 for path, sha256 in files.items()}
    assert sorted(list_keys(operations)) == sorted(keys)
    for key, sha256 in keys.items():
        response = ask(operations, "GetObject", S3Request(key=key))
        body = content(response)
        assert response.status == 200
        assert hashlib.sha256(body).hexdigest() == sha256
        assert response.headers["Content-Length"] == str(len(body))
        assert head(operations, key).headers == response.headers


def test_a_symlink_to_a_file_is_that_file(plain: Operations) -> None:
    assert head(plain, "guide").headers["ETag"] == head(plain, "docs/guide.txt").headers["ETag"]
    assert head(plain, "guide").headers["x-amz-meta-file-permissions"] == "0100644"


# ---- Ranges --------------------------------------------------------------------------------------

LAYERED = text(9000) + HOLE * 2 + noise(5000) + text(100)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Operations:
    """A file of compressed and stored blocks, holes and a fragment; and two smaller ones."""
    tree = (file("layered", LAYERED), file("empty"), file("ten", b"0123456789"))
    return operations_on({"": make_image(tmp_path_factory.mktemp("layered"), tree)})


@given(st.integers(0, len(LAYERED) - 1), st.integers(0, len(LAYERED) + 10))
def test_any_range_is_that_slice_of_the_content(layered: Operations, start: int, last: int) -> None:
    last = max(start, last)
    request = S3Request(key="layered", headers={"range": f"bytes={start}-{last}"})
    response = ask(layered, "GetObject", request)
    body = content(response)
    assert body == LAYERED[start : last + 1]
    assert response.status == 206
    assert response.headers["Content-Length"] == str(len(body))
    end = start + len(body) - 1
    assert response.headers["Content-Range"] == f"bytes {start}-{end}/{len(LAYERED)}"
    whole = head(layered, "layered").headers
    assert {"ETag": whole["ETag"], "Content-Type": whole["Content-Type"]}.items() <= (
        response.headers.items()
    )


def test_head_of_a_range_has_its_length() -> None:
    operations = operations_on({"": FIXTURES["gzip"].image})
    response = head(operations, "short.txt", range="bytes=-7")
    assert response.status == 206
    assert response.headers["Content-Length"] == "7"
    assert response.headers["Content-Range"] == "bytes 693-699/700"


def test_a_range_may_come_in_the_query_and_a_part_is_the_whole(layered: Operations) -> None:
    request = S3Request(key="ten", headers={"range": "bytes=2-4"})
    assert content(ask(layered, "GetObject", request)) == b"234"
    response = ask(layered, "GetObject", S3Request(key="ten", query={"partNumber": "1"}))
    assert response.status == 206
    assert response.headers["Content-Range"] == "bytes 0-9/10"
    assert content(response) == b"0123456789"


@pytest.mark.parametrize("key", ["ten", "empty"])
def test_a_range_past_the_end_is_416(layered: Operations, key: str) -> None:
    error = refused(layered, S3Request(key=key, headers={"range": "bytes=10-"}))
    assert (error.code, error.status) == ("InvalidRange", 416)


def test_a_missing_key_wins_over_its_range(layered: Operations) -> None:
    request = S3Request(key="none", headers={"range": "bytes=100-", "if-match": '"x"'})
    assert refused(layered, request).code == "NoSuchKey"


def test_a_range_that_is_ignored_gives_the_whole(layered: Operations) -> None:
    request = S3Request(key="ten", headers={"range": "bytes=0-1,3-4"})
    response = ask(layered, "GetObject", request)
    assert response.status == 200
    assert "Content-Range" not in response.headers
    assert content(response) == b"0123456789"


# ---- Preconditions -------------------------------------------------------------------------------


def test_preconditions_hold_for_the_etag_and_date_that_were_told(plain: Operations) -> None:
    told = head(plain, "short.txt").headers
    assert head(plain, "short.txt", if_match=told["ETag"]).status == 200
    assert head(plain, "short.txt", if_unmodified_since=told["Last-Modified"]).status == 200
    for headers in (
        {"if-none-match": told["ETag"]},
        {"if-modified-since": told["Last-Modified"]},
    ):
        for operation in ("GetObject", "HeadObject"):
            response = plain.answer(operation, S3Request(key="short.txt", headers=headers))
            assert (response.status, response.error, content(response)) == (304, None, b"")
            assert response.headers["ETag"] == told["ETag"]


def test_a_failed_precondition_is_412_and_wins_over_the_range(plain: Operations) -> None:
    headers = {"if-match": '"other"', "range": "bytes=10000-"}
    error = refused(plain, S3Request(key="short.txt", headers=headers))
    assert (error.code, error.status) == ("PreconditionFailed", 412)


def test_a_range_of_the_version_that_if_range_names_is_served(plain: Operations) -> None:
    told = head(plain, "short.txt").headers
    for known in (told["ETag"], f" {told['ETag']} "):
        headers = {"range": "bytes=1-", "if-range": known}
        response = ask(plain, "GetObject", S3Request(key="short.txt", headers=headers))
        assert response.status == 206
        assert int(response.headers["Content-Length"]) == int(told["Content-Length"]) - 1
        response.close()


@pytest.mark.parametrize("asked", ["bytes=1-", "bytes=10000-"])
@pytest.mark.parametrize(
    "known",
    [
        '"other-1"',
        "W/{ETag}",
        "{ETag}x",
        "*",
        "",
        "{Last-Modified}",
        "Thu, 01 Jan 1970 00:00:01 GMT",
        "Fri, 31 Dec 2100 23:59:59 GMT",
        "yesterday",
    ],
)
def test_a_range_of_another_version_gives_the_whole(
    plain: Operations, known: str, asked: str
) -> None:
    told = head(plain, "short.txt").headers
    headers = {"range": asked, "if-range": known.format(**told)}
    response = ask(plain, "GetObject", S3Request(key="short.txt", headers=headers))
    assert response.status == 200
    assert "Content-Range" not in response.headers
    assert len(content(response)) == int(told["Content-Length"])


def test_if_range_is_nothing_without_a_range_and_after_the_other_preconditions(
    plain: Operations,
) -> None:
    assert head(plain, "short.txt", if_range='"other"').status == 200
    headers = {"range": "bytes=1-", "if-range": '"other"', "if-match": '"other"'}
    assert refused(plain, S3Request(key="short.txt", headers=headers)).status == 412


# ---- What is no object ---------------------------------------------------------------------------

LINKED: tuple[Node, ...] = (
    directory("d"),
    file("d/file", b"x"),
    symlink("to-directory", "d"),
    symlink("to-nowhere", "nowhere"),
    symlink("to-itself", "to-itself"),
    symlink("through-file", "d/file/x"),
    symlink("d/up", ".."),
    hard_link("again", to="d/file"),
)


@pytest.mark.parametrize(
    "key",
    [
        "p",
        "p/",
        "p/d",
        "p/d/",
        "p/d/file/",
        "p/d/file/x",
        "p//d/file",
        "p/d//file",
        "/p/d/file",
        "p/./d/file",
        "p/d/./file",
        "p/d/../d/file",
        "p/../p/d/file",
        "p/to-directory",
        "p/to-nowhere",
        "p/to-itself",
        "p/through-file",
        "p/none",
        "p/d/none",
        "p/D/file",
        "p/d/file\0",
        "p/d/\udcff",
        "p/" + "d/" * 600,
        "p/" + "n" * 5000,
        "q/d/file",
        "d/file",
        "pd/file",
        "",
    ],
)
def test_a_key_that_is_no_file_is_404(tmp_path: Path, key: str) -> None:
    operations = operations_on({"p": make_image(tmp_path, LINKED)})
    assert get(operations, "p/d/file") == b"x"
    error = refused(operations, S3Request(key=key))
    assert (error.code, error.status) == ("NoSuchKey", 404)
    assert error.message == "The specified key does not exist."
    assert error.extra == {"Key": key}


@pytest.mark.parametrize("key", ["p/to-directory/file", "p/d/up/d/file"])
def test_a_key_is_resolved_through_symlinks_to_directories(tmp_path: Path, key: str) -> None:
    operations = operations_on({"p": make_image(tmp_path, LINKED)})
    assert get(operations, key) == b"x"
    response = ask(operations, "ListObjectsV2", S3Request(query={"prefix": "p/"}))
    assert key.encode() not in b"".join(response.body)  # its content is there once


@pytest.mark.parametrize("node", FIXTURES["special"].tree, ids=lambda node: node.path)
def test_devices_fifos_sockets_and_directories_are_no_objects(node: Node) -> None:
    operations = operations_on({"": FIXTURES["special"].image})
    assert refused(operations, S3Request(key=node.path[1:])).code == "NoSuchKey"


def test_the_longest_prefix_owns_a_key(tmp_path: Path) -> None:
    outer = make_image(tmp_path, (directory("in"), file("in/x", b"outer"), file("y", b"outer")))
    inner = make_image(tmp_path, (file("x", b"inner"),), name="inner")
    operations = operations_on({"": outer, "in": inner})
    assert get(operations, "in/x") == b"inner"
    assert get(operations, "y") == b"outer"
    assert refused(operations, S3Request(key="in/y")).code == "NoSuchKey"


@pytest.mark.property
@given(data=st.data())
def test_any_request_is_answered_or_refused(layered: Operations, data: st.DataObject) -> None:
    anything = st.text(max_size=20)
    headers = ("type", "language", "disposition", "encoding")
    overrides = ["expires", "cache-control", *(f"content-{each}" for each in headers)]
    names = st.sampled_from(
        ["partNumber", "Range", "max-keys", "prefix", "delimiter"]
        + [f"response-{each}" for each in overrides]
    )
    request = S3Request(
        key=data.draw(st.sampled_from(["layered", "empty"]) | anything),
        query=data.draw(
            st.dictionaries(
                names | st.sampled_from(["encoding-type", "start-after", "continuation-token"]),
                anything,
            )
        ),
        headers=data.draw(
            st.dictionaries(
                st.sampled_from(["range", "if-match", "if-none-match", "if-modified-since"]),
                anything | st.from_regex(r"bytes=\d*-\d*", fullmatch=True),
            )
        ),
    )
    for operation in ("GetObject", "HeadObject", "ListObjectsV2"):
        try:
            response = ask(layered, operation, request)
        except S3Error as error:
            error.to_xml("R").decode()
            continue
        body = content(response)
        assert len(body) == int(response.headers["Content-Length"]) or not body


@pytest.mark.parametrize("tool", ["mksquashfs", "tar2sqfs"])
def test_an_empty_directory_is_not_taken_for_one_whose_listing_begins_where_its_own_would(
    tmp_path: Path, tool: str
) -> None:
    image = tmp_path / "image"
    build_tree({b"a": {b"a": {}}, b"b": {b"a": {b"x": b"1"}}}, image, tool)
    operations = operations_on({"": image})
    assert refused(operations, S3Request(key="a/a/x")).code == "NoSuchKey"
    assert get(operations, "b/a/x") == b"1"


# ---- Streaming -----------------------------------------------------------------------------------

MIB = 1 << 20
LARGE = 64 * MIB


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 64 MiB of text, and a small file."""
    tree = (file("large", text(MIB) * 64), file("small", b"small"))
    where = tmp_path_factory.mktemp("large")
    return make_image(where, tree, "-b", "131072", "-comp", "lz4")


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_a_large_body_streams_in_bounded_memory(large: Path) -> None:
    operations = operations_on({"": large})
    response = ask(operations, "GetObject", S3Request(key="large"))
    digest = hashlib.sha256()
    length = 0
    for piece in response.body:
        digest.update(piece)
        length += len(piece)
    response.close()
    _, peak = tracemalloc.get_traced_memory()
    assert length == LARGE
    assert digest.digest() == hashlib.sha256(text(MIB) * 64).digest()
    assert peak < 32 * MIB


def test_a_body_left_half_read_can_be_closed(large: Path) -> None:
    operations = operations_on({"": large})
    response = ask(operations, "GetObject", S3Request(key="large"))
    first = next(iter(response.body))
    assert 0 < len(first) < LARGE // 8
    response.close()
    assert list(response.body) == []
    assert get(operations, "small") == b"small"


def test_a_body_not_read_at_all_can_be_closed(large: Path) -> None:
    operations = operations_on({"": large})
    ask(operations, "GetObject", S3Request(key="large")).close()
    assert get(operations, "small") == b"small"


def test_bodies_of_one_file_are_independent(large: Path) -> None:
    operations = operations_on({"": large})
    one, other = (ask(operations, "GetObject", S3Request(key="large")) for _ in range(2))
    digests = [hashlib.sha256(), hashlib.sha256()]
    for pieces in zip(one.body, other.body, strict=True):
        for digest, piece in zip(digests, pieces, strict=True):
            digest.update(piece)
    assert digests[0].digest() == digests[1].digest()


# ---- Damage to a copy that the cache keeps -------------------------------------------------------


class OneArchive(Archives):
    """Archives of which there is one, open."""

    found: Archive

    def get(self, location: Location) -> Archive:
        return self.found


def test_an_object_is_read_again_where_a_copy_in_the_cache_is_damaged(tmp_path: Path) -> None:
    image = draft(tmp_path, (file("a", text(1000)),))
    path = tmp_path / "image.sqfs"
    path.write_bytes(image.data)
    entry = image.get(image["fragment_table_start"], "Q") + 2  # behind the block's header
    device = DamagedCopy(bytes(image.data), entry + 10, 0x40)
    archives = OneArchive(config_for({"": path}), make_archive_client)
    archives.found = Archive(location_of(path), s3archivefs.open(device), "damaged")
    assert get(Operations(archives), "a") == text(1000)
