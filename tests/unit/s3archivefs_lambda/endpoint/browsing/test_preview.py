"""A look at an object: pictures, the beginning of texts, and nothing of anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.endpoint.browsing.page_request import PageRequest
from s3archivefs_lambda.endpoint.browsing.preview import PICTURE_BYTES, preview
from s3archivefs_lambda.endpoint.browsing.s3_reader import S3Reader
from s3archivefs_lambda.endpoint.bucket_operations import EndpointOperations, ServedBucket
from s3archivefs_lambda.endpoint.cors import Cors
from tests.support.adapter.browsed import browse, browsed, packed, seen
from tests.support.adapter.fake_operations import FakeOperations

if TYPE_CHECKING:
    from pathlib import Path

    from s3archivefs_lambda.endpoint.messages import HttpApplication

FILES = {
    b"a b&c.txt": b"<b>text</b> &amp; more\n",
    b"blob.bin": b"\0\1\2",
    b"coloured.log": b"\x1b[31mred\x1b[0m\r\n\tand\x0c",
    b"empty": b"",
    b"latin-1": b"caf\xe9",
    b"picture.svg": b"<svg/>",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> HttpApplication:
    return browsed({"docs": packed(FILES, tmp_path_factory.mktemp("preview") / "image")})


def test_a_text_is_shown_as_text(app: HttpApplication) -> None:
    found = seen(browse(app, "/archive/docs/a%20b%26c.txt?preview"))
    assert found.text("pre") == ["\n<b>text</b> &amp; more\n"]
    assert "/archive/docs/a%20b%26c.txt" in found.links
    assert "s3 cp 's3://archive/docs/a b&c.txt' ." in found.main
    assert "text/plain" in found.main


def test_of_a_long_text_the_beginning_is_shown_in_whole_characters(tmp_path: Path) -> None:
    content = "a" + "\u00fc" * 50_000
    app = browsed({"": packed({b"long": content.encode()}, tmp_path / "image")})
    (text,) = seen(browse(app, "/archive/long?preview")).text("pre")
    assert text == "\n" + content[: 1 << 15]


def test_a_picture_is_shown_and_what_is_neither_is_not(app: HttpApplication) -> None:
    found = seen(browse(app, "/archive/docs/picture.svg?preview"))
    assert [each["src"] for each in found.all("img")] == ["/archive/docs/picture.svg"]
    assert found.text("pre") == []
    for name, told in (("blob.bin", "not a text"), ("empty", "is empty")):
        found = seen(browse(app, f"/archive/docs/{name}?preview"))
        assert told in found.main
        assert found.text("pre") == []


def test_escapes_of_terminals_and_bytes_that_are_not_utf_8_are_text(app: HttpApplication) -> None:
    for name, text in (
        ("coloured.log", "\x1b[31mred\x1b[0m\r\n\tand\x0c"),
        ("latin-1", "caf\ufffd"),
    ):
        assert seen(browse(app, f"/archive/docs/{name}?preview")).text("pre") == ["\n" + text]


def test_a_picture_that_is_too_large_is_not_loaded() -> None:
    operations = FakeOperations()
    endpoint = EndpointOperations({"archive": ServedBucket(operations)}, "us-east-1", Cors())
    request = PageRequest(bucket="archive", key="large.png")
    reader = S3Reader(endpoint, request, None)
    for size, is_shown in ((PICTURE_BYTES, True), (PICTURE_BYTES + 1, False)):
        made = preview(request, reader, "Image/PNG; a=b", size, name="large.png")
        assert ("<img " in made) is is_shown
    assert operations.asked == []
