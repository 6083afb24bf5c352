"""The fsspec filesystem over an archive in a store that checks signatures, without s3fs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from s3archivefs.filesystem import ArchiveFileSystem
from s3archivefs_lambda.store.errors import ArchiveForbiddenError
from tests.parts.integration.clients.conftest import contents
from tests.support.images.trees import odd_names, pack, write_tree
from tests.support.processes.forked import in_child
from tests.support.servers.transports import upload

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(odd_names(), tmp_path_factory.mktemp("filesystem") / "tree")


@pytest.fixture(scope="module")
def url(store: SwiftStore, tree: Path) -> str:
    return upload(store, pack(tree, tree.with_name("t.sqfs")), "filesystem.sqfs", superblock=True)


@pytest.fixture
def options(store: SwiftStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of s3fs that reach the store; nothing of the environment does."""
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))
    environ = store.environ()
    return {
        "key": environ["AWS_ACCESS_KEY_ID"],
        "secret": environ["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": store.url,
        "client_kwargs": {"region_name": environ["AWS_REGION"]},
    }


def test_all_files_are_read_with_the_keys_of_the_options(
    url: str, tree: Path, options: dict[str, Any]
) -> None:
    expected = contents(tree)
    with ArchiveFileSystem(url, target_options=options) as fs:
        assert fs.find("") == sorted(expected)
        assert fs.cat("", recursive=True) == expected
        name = min(expected)
        assert in_child(lambda: fs.cat_file(name)) == expected[name]
    bucket_and_key = url.removeprefix("s3://")
    with fsspec.filesystem(
        "s3archivefs", fo=bucket_and_key, target_protocol="s3", target_options=options
    ) as fs:
        assert fs.exists(name)


def test_the_options_may_stand_in_the_configuration_of_fsspec(
    url: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    with ArchiveFileSystem(url) as fs:
        assert fs.exists("odd names")


def test_wrong_keys_are_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ArchiveForbiddenError, match="the credentials were refused"):
        ArchiveFileSystem(url, target_options=options | {"secret": "wrong"}).ls("")
