"""Keys, mappings and names as an attacker would choose them."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from s3archivefs import BytesDevice
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from tests.support.adapter.local_archives import ask, content, get, list_keys, operations_on
from tests.support.images.built import Link, build, directory, file

if TYPE_CHECKING:
    from pathlib import Path

    from s3archivefs_lambda.bucket.operations import Operations

NAMES = (
    *(b"a\r\nX-Injected: 1", b"<&>]]>\"'", b"\x01\x1f\x7f", b"\xff\xfe", b"%2e%2e", b"..."),
    *(" \u2028\ufffe".encode(), b"a+b c", b"\xed\xa0\x80"),
)


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    tree = {name: file(name) for name in sorted(NAMES)}
    image = tmp_path / "image.sqfs"
    image.write_bytes(bytes(build(directory(tree, extended=True))))
    (tmp_path / "secret").write_bytes(b"outside")
    return operations_on({"m": image})


@pytest.mark.parametrize(
    "key",
    [
        *("m/../secret", "m/..", "m/.", "m/./a+b c", "m//a+b c", "m/a+b c/", "m/a+b c/..", "m"),
        *("m/\0", "m/a+b c\0", "../secret", "/m/a+b c", "m/%2e%2e/secret", "m/" + "x" * 10_240),
        *("m/" + "x/" * 5000, "", "/", "\udcff", "m/\udcff\udcff"),
    ],
)
def test_key_that_names_no_member_is_no_such_key(operations: Operations, key: str) -> None:
    for operation in ("GetObject", "HeadObject"):
        with pytest.raises(S3Error) as caught:
            ask(operations, operation, S3Request(key=key))
        assert (caught.value.code, caught.value.status) == ("NoSuchKey", 404)


def test_names_of_any_bytes_are_keys_that_are_listed_and_read(operations: Operations) -> None:
    keys = list_keys(operations)
    names = [key.encode("utf-8", "surrogateescape")[2:] for key in keys]
    assert names == sorted(NAMES)
    for key, name in zip(keys, names, strict=True):
        assert get(operations, key) == name


def test_names_reach_no_header_and_break_no_xml(operations: Operations) -> None:
    for key in list_keys(operations):
        response = ask(operations, "GetObject", S3Request(key=key))
        content(response)
        for header, value in response.headers.items():
            assert (header + value).isprintable(), header
    document = content(ask(operations, "ListObjectsV2", S3Request(query={"encoding-type": "url"})))
    assert len(ET.fromstring(document).findall("{*}Contents")) == len(NAMES)  # noqa: S314 -- ours


@pytest.mark.parametrize("levels", [60, 500])
def test_listing_of_directories_with_two_parents_each_ends(
    levels: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    below = directory()
    for _ in range(levels):
        below = directory({b"a": below, b"b": Link(below)})
    image = tmp_path / "image.sqfs"
    image.write_bytes(bytes(build(below)))
    operations = operations_on({"m": image})
    with caplog.at_level(logging.ERROR), pytest.raises(S3Error) as caught:
        list_keys(operations)
    assert (caught.value.code, caught.value.status) == ("InternalError", 500)
    assert "in the tree twice" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "location",
    [
        *("../../outside", "/etc", "..", "a/../../b", "\0", "~root", "x" * 2000, "a\nb"),
        *("..\\..\\b", "\udcff", "file:///etc/passwd", ""),
    ],
)
def test_no_name_of_an_archive_leaves_the_cache_directory(location: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (tmp_path / "bystander").write_bytes(b"as it was")
    everything = sorted(tmp_path.rglob("*"))

    device = BytesDevice(bytes(100_000))

    def cached_device() -> CachedDevice:
        store = ChunkStore(cache, 1 << 20)
        return CachedDevice(device, location, 4096, memory=ChunkMemory(0), store=store)

    cached = cached_device()
    assert cached.pread(0, 70_000) == bytes(70_000)
    assert cached_device().pread(9, 9) == bytes(9)

    new = [path for path in sorted(tmp_path.rglob("*")) if path not in everything]
    assert sum(path.is_file() for path in new) > 10
    assert all(cache in path.parents and path.resolve().is_relative_to(cache) for path in new)
    assert not any(path.is_symlink() for path in new)
    assert (tmp_path / "bystander").read_bytes() == b"as it was"
