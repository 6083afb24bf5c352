"""The headers of a member: ETag, attributes, content type, and what the query asks for."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from base64 import b64encode
from pathlib import Path

import pytest

import s3archivefs
from fixtures.tree import directory, file, symlink
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.s3api.messages import S3Request, S3Response
from tests.support.adapter.local_archives import (
    ask,
    content,
    get,
    head,
    list_keys,
    list_page,
    operations_on,
    refused,
)
from tests.support.images.fixtures import FIXTURES, make_image


@pytest.fixture
def plain() -> Operations:
    """The plain tree of the fixtures, at the root."""
    return operations_on({"": FIXTURES["gzip"].image})


def test_an_object_has_the_headers_of_s3_and_the_attributes_of_the_file(plain: Operations) -> None:
    response = head(plain, "docs/guide.txt")
    etag = response.headers.pop("ETag")
    assert re.fullmatch(r'"[0-9a-f]{32}-1"', etag)
    assert response.headers == {
        "Accept-Ranges": "bytes",
        "Content-Length": "4596",
        "Content-Type": "text/plain",
        "Last-Modified": "Fri, 14 Jul 2017 02:40:01 GMT",
        "x-amz-meta-file-owner": "1000",
        "x-amz-meta-file-group": "100",
        "x-amz-meta-file-permissions": "0100644",
        "x-amz-meta-file-mtime": "1500000001000000000ns",
    }


def test_permissions_keep_the_set_uid_bit(plain: Operations) -> None:
    assert head(plain, "noise.bin").headers["x-amz-meta-file-permissions"] == "0104755"


# ---- Checksums ----------------------------------------------------------------------------------


CONTENT = b"content " * 20_000
CHECKSUM = {"user.sha256": hashlib.sha256(CONTENT).hexdigest().encode()}
TOLD = {
    "x-amz-checksum-sha256": b64encode(hashlib.sha256(CONTENT).digest()).decode(),
    "x-amz-checksum-type": "FULL_OBJECT",
}


@pytest.fixture(scope="module")
def summed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose files have attributes of all kinds."""
    tree = (
        file("a", CONTENT, xattrs=CHECKSUM | {"user.other": b"value"}),
        file("capitals", CONTENT, xattrs={"user.sha256": CHECKSUM["user.sha256"].upper()}),
        file("none", CONTENT, xattrs={"user.other": b"value"}),
        file("plain", CONTENT),
        symlink("link", "a"),
        *(
            file(f"odd{number}", CONTENT, xattrs={"user.sha256": value})
            for number, value in enumerate(
                (b"x" * 64, CHECKSUM["user.sha256"][1:], b"0x" + b"1" * 62)
            )
        ),
    )
    return make_image(tmp_path_factory.mktemp("summed"), tree)


def checksums(response: S3Response) -> dict[str, str]:
    response.close()
    return {
        name: value for name, value in response.headers.items() if name.startswith("x-amz-checksum")
    }


def test_a_whole_object_has_the_checksum_that_its_file_has_where_it_is_asked_for(
    summed: Path,
) -> None:
    operations = operations_on({"": summed})
    for key, told in {
        "a": TOLD,
        "capitals": TOLD,
        "link": TOLD,
        **{name: {} for name in ("none", "plain", "odd0", "odd1", "odd2")},
    }.items():
        for operation in ("GetObject", "HeadObject"):
            for mode, expected in (("ENABLED", told), ("DISABLED", {}), ("", {})):
                request = S3Request(key=key, headers={"x-amz-checksum-mode": mode})
                assert checksums(ask(operations, operation, request)) == expected
    assert checksums(ask(operations, "GetObject", S3Request(key="a"))) == {}


def test_a_part_of_an_object_has_no_checksum(summed: Path) -> None:
    operations = operations_on({"": summed})
    enabled = {"x-amz-checksum-mode": "ENABLED"}
    for request in (
        S3Request(key="a", headers=enabled | {"range": "bytes=0-"}),
        S3Request(key="a", headers=enabled | {"range": "bytes=5-9"}),
        S3Request(key="a", headers=enabled, query={"partNumber": "1"}),
    ):
        for operation in ("GetObject", "HeadObject"):
            response = ask(operations, operation, request)
            assert (response.status, checksums(response)) == (206, {})
    unheeded = S3Request(key="a", headers=enabled | {"range": "lines=0-1"})
    assert checksums(ask(operations, "GetObject", unheeded)) == TOLD


def test_damaged_attributes_leave_the_object_readable(summed: Path, tmp_path: Path) -> None:
    with s3archivefs.open(summed) as fs:
        table = fs.superblock.xattr_table_start
    damaged = bytearray(summed.read_bytes())
    damaged[table + 8 : table + 12] = bytes(4)  # the number of sets
    (tmp_path / "damaged").write_bytes(damaged)
    request = S3Request(key="a", headers={"x-amz-checksum-mode": "ENABLED"})
    response = ask(operations_on({"": tmp_path / "damaged"}), "GetObject", request)
    assert checksums(response) == {}
    assert response.status == 200


# ---- ETags ---------------------------------------------------------------------------------------


def etags(operations: Operations) -> dict[str, str]:
    """ETag by key, the same in a listing, GetObject and HeadObject."""
    listed = {found.key.decode(): found.etag for found in list_page(operations).objects}
    for key, etag in listed.items():
        response = ask(operations, "GetObject", S3Request(key=key))
        response.close()
        assert response.headers["ETag"] == etag
        assert head(operations, key).headers["ETag"] == etag
    return listed


def test_an_etag_never_looks_like_the_md5_of_the_content(plain: Operations) -> None:
    for etag in etags(plain).values():
        assert re.fullmatch(r'"[!#-~]+"', etag)
        assert not re.fullmatch(r"[0-9a-fA-F]{32}", etag.strip('"'))


def test_files_differ_in_their_etags_and_hard_links_do_not() -> None:
    found = etags(operations_on({"": FIXTURES["hard-links"].image}))
    linked = {found[key] for key in ("001-root-file", "002-subdir/004-link", "005-link")}
    assert len(linked) == 1
    assert found["002-subdir/003-file"] not in linked
    plain = etags(operations_on({"": FIXTURES["gzip"].image}))
    assert len(set(plain.values())) == len(plain) - 1  # "guide" is a symlink to another


def test_an_etag_is_the_same_for_any_instance_and_any_prefix(plain: Operations) -> None:
    image = FIXTURES["gzip"].image
    assert etags(operations_on({"": image})) == etags(plain)
    moved = etags(operations_on({"p": image}))
    assert {key.removeprefix("p/"): etag for key, etag in moved.items()} == etags(plain)


def test_a_replaced_archive_has_other_etags(tmp_path: Path) -> None:
    image = make_image(tmp_path, (file("a", b"1"), file("b", b"2")))
    operations = operations_on({"": image}, revalidate_seconds=0)
    before = etags(operations)
    make_image(tmp_path, (file("a", b"1"), file("b", b"3")), name="new").replace(image)
    after = etags(operations)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert get(operations, "b") == b"3"


# ---- Headers that the client asks for ------------------------------------------------------------

OVERRIDES = {
    "response-content-type": ("Content-Type", "image/svg+xml"),
    "response-content-language": ("Content-Language", "mi, en"),
    "response-expires": ("Expires", "Thu, 01 Dec 1994 16:00:00 GMT"),
    "response-cache-control": ("Cache-Control", "no-store"),
    "response-content-disposition": ("Content-Disposition", 'attachment; filename="ü.txt"'),
    "response-content-encoding": ("Content-Encoding", "gzip"),
}


def test_the_query_overrides_headers(plain: Operations) -> None:
    query = {name: value for name, (_, value) in OVERRIDES.items()}
    for headers in ({}, {"range": "bytes=0-0"}):
        request = S3Request(key="short.txt", query=query, headers=headers)
        for operation in ("GetObject", "HeadObject"):
            response = ask(plain, operation, request)
            response.close()
            assert dict(OVERRIDES.values()).items() <= response.headers.items()


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: b", "a\x00", "日本", "\udcff", "a\x7f", "\x85"]
)
def test_a_header_that_http_cannot_carry_is_refused(plain: Operations, value: str) -> None:
    for name in OVERRIDES:
        error = refused(plain, S3Request(key="short.txt", query={name: value}))
        assert (error.code, error.status) == ("InvalidArgument", 400)
        assert error.extra == {"ArgumentName": name, "ArgumentValue": value}


def test_an_unsigned_request_may_not_override_headers(plain: Operations) -> None:
    request = S3Request(key="short.txt", query={"response-expires": "0"}, is_anonymous=True)
    error = refused(plain, request)
    assert (error.code, error.status) == ("InvalidRequest", 400)
    content(ask(plain, "GetObject", S3Request(key="short.txt", is_anonymous=True)))


# ---- Content types -------------------------------------------------------------------------------

TYPES = {
    "page.html": "text/html",
    "UPPER.HTML": "text/html",
    "style.css": "text/css",
    "data.json": "application/json",
    "image.png": "image/png",
    "README": "binary/octet-stream",
    ".html": "binary/octet-stream",
    "x.unknown-suffix": "binary/octet-stream",
    "dump.tar.gz": "application/gzip",
    "page.html.gz": "application/gzip",
    "log.bz2": "application/x-bzip2",
    "log.xz": "application/x-xz",
    "old.Z": "binary/octet-stream",
    "data:text,html.png": "text/plain",  # to Python's table, a URL
    "new\nline.txt": "text/plain",
    "\udcff.txt": "text/plain",
}


def test_the_content_type_follows_from_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(tmp_path, tuple(file(name, b"x") for name in TYPES))
    # What the machine's own table says does not matter.
    monkeypatch.setitem(mimetypes.types_map, ".unknown-suffix", "text/html")
    monkeypatch.setitem(mimetypes.types_map, ".html", "text/other")
    operations = operations_on({"": image})
    found = {key: head(operations, key).headers["Content-Type"] for key in list_keys(operations)}
    assert found == TYPES


def test_the_directory_has_no_say_in_the_content_type(tmp_path: Path) -> None:
    image = make_image(tmp_path, (directory("d.html"), file("d.html/x", b"x")))
    found = head(operations_on({"": image}), "d.html/x")
    assert found.headers["Content-Type"] == "binary/octet-stream"
