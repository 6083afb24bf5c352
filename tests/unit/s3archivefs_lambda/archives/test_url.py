"""The image at an s3:// URL, as the command and programs open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fixtures.tree import file
from s3archivefs.cli import main
from s3archivefs_lambda.archives.url import open_url
from s3archivefs_lambda.cache.device import CachedDevice
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "none-such"), ("AWS_SECRET_ACCESS_KEY", "")]
)
def test_settings_for_aws_that_cannot_be_used_are_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv(name, value)
    assert main(["ls", "s3://bucket/key"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("s3archivefs: s3://bucket/key: the settings for AWS: ")
    assert (value or name) in said
    assert said.count("\n") == 1


def test_archives_of_a_store_share_threads_and_the_memory_for_chunks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = make_image(tmp_path, (file("a", b"a"),)).read_bytes()
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))
    with ScriptedStore(image) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        opened = [open_url(f"s3://bucket/{name}.sqfs") for name in "ab"]
    devices = [each for each in opened if isinstance(each, CachedDevice)]
    assert len({each.identity for each in devices}) == 2
    assert len({id(each.background) for each in devices}) == 1
