"""What identifies an archive's bytes, and that every cache and ETag is told apart by it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.s3 import S3Opener
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.store.identity import object_identity, version_identity
from tests.support.adapter.local_archives import config_for
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import SECRETS, ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3archivefs_lambda.archives.archives import Archive
    from s3archivefs_lambda.config.settings import Config

AT_S3 = Location("s3", "bucket", "a.sqfs")


class Meta:
    def __init__(self, endpoint_url: str, region_name: str) -> None:
        self.endpoint_url = endpoint_url
        self.region_name = region_name


class Client:
    """A client as far as its identity goes: what its `meta` says."""

    def __init__(self, endpoint: str = "https://s3.example.com", region: str = "r") -> None:
        self.meta = Meta(endpoint, region)


def identity_of(client: Any = None, **changes: Any) -> str:  # noqa: ANN401 -- a stand-in
    client = client or Client()
    facts: dict[str, Any] = {"bucket": "b", "key": "k", "etag": '"e"', "version_id": "v", "size": 9}
    return version_identity(client, **(facts | changes))


@pytest.mark.parametrize(
    "other",
    [
        partial(identity_of, Client("http://s3.example.com")),
        partial(identity_of, Client("https://s3.example.org")),
        partial(identity_of, Client("https://s3.example.com:8443")),
        partial(identity_of, Client("https://s3.example.com/tenant")),
        partial(identity_of, Client(region="other")),
        partial(identity_of, bucket="arn:aws:s3:r:111111111111:accesspoint/b"),
        partial(identity_of, bucket="b\0k", key=""),
        partial(identity_of, key="other"),
        partial(identity_of, etag='"other"'),
        partial(identity_of, version_id=None),
        partial(identity_of, size=10),
    ],
)
def test_each_part_counts(other: Callable[[], str]) -> None:
    assert other() != identity_of()


@pytest.mark.parametrize(
    "same",
    [
        "HTTPS://S3.Example.COM",
        "https://s3.example.com:443",
        "https://s3.example.com/",
        "https://user:secret@s3.example.com",
    ],
)
def test_a_store_is_the_same_however_its_endpoint_is_written(same: str) -> None:
    assert identity_of(Client(same)) == identity_of()


def test_no_credential_is_a_part() -> None:
    with ScriptedStore(b"") as store:
        for text in (identity_of(store.client()), object_identity(store.client(), "b", "k")):
            assert not any(secret in text for secret in SECRETS)
            json.loads(text)
    assert "secret" not in identity_of(Client("https://user:secret@s3.example.com"))


def test_an_object_is_told_apart_by_its_store_and_name() -> None:
    client: Any = Client()
    other: Any = Client("https://s3.example.org")
    same = object_identity(client, "b", "k")
    assert object_identity(client, "b", "k") == same
    assert same not in {object_identity(other, "b", "k"), object_identity(client, "b", "l")}


# ---- In use --------------------------------------------------------------------------------------


def settings(cache: Path) -> Config:
    return replace(config_for({}), cache_dir=cache, cache_chunk_size=4096, tail_bytes=4096)


def open_at(store: ScriptedStore, cache: Path) -> Archive:
    return Archives(settings(cache), store.client).get(AT_S3)


def image_of(directory: Path, seed: bytes) -> bytes:
    """An image like any other of these, but for what its file holds."""
    content = seed + noise(100_000)[len(seed) :]
    return make_image(directory, (file("a", content),), name=seed.hex()).read_bytes()


def test_archives_of_equal_names_and_etags_in_two_stores_are_told_apart(tmp_path: Path) -> None:
    one, other = image_of(tmp_path, b"one"), image_of(tmp_path, b"two")
    assert len(one) == len(other)
    cache = tmp_path / "cache"
    with ScriptedStore(one) as first, ScriptedStore(other) as second:
        of_first, of_second = open_at(first, cache), open_at(second, cache)
        assert of_first.image.read_bytes("/a").startswith(b"one")
        assert of_second.image.read_bytes("/a").startswith(b"two")
        stats = of_first.image.stat("/a"), of_second.image.stat("/a")
        assert stats[0].reference == stats[1].reference
        assert of_first.etags(stats[:1]) != of_second.etags(stats[1:])


def test_versions_of_equal_etags_are_told_apart(tmp_path: Path) -> None:
    """As a store may number its ETags, or hash less than the content."""
    with ScriptedStore(image_of(tmp_path, b"one")) as store:

        def open_version(version: str) -> Archive:
            store.script(lambda _, reply: reply.with_headers(x_amz_version_id=version), times=9)
            return open_at(store, tmp_path / "cache")

        first = open_version("v1")
        assert first.image.read_bytes("/a").startswith(b"one")
        store.content = image_of(tmp_path, b"two")
        second = open_version("v2")
        assert second.image.read_bytes("/a").startswith(b"two")
        assert second.identity != first.identity


def test_a_version_of_another_id_is_a_replaced_archive(tmp_path: Path) -> None:
    with ScriptedStore(image_of(tmp_path, b"one")) as store:
        store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v1"), times=2)
        archives = Archives(
            replace(settings(tmp_path / "cache"), revalidate_seconds=0), store.client
        )
        first = archives.get(AT_S3)
        store.content = image_of(tmp_path, b"two")
        store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v2"), times=9)
        assert archives.get(AT_S3) is not first


def tails(store: ScriptedStore) -> list[str]:
    return [asked for asked in map(str, store.ranges) if asked.startswith("bytes=-")]


def test_what_opening_took_is_remembered_for_each_store(tmp_path: Path) -> None:
    names = sorted(hashlib.sha256(b"%d" % number).hexdigest() for number in range(3000))
    long = make_image(tmp_path, tuple(file(name, b"") for name in names)).read_bytes()
    with ScriptedStore(long) as first, ScriptedStore(long) as second:
        for store in (first, second, first):
            opener = S3Opener(settings(tmp_path / "cache"), store.client)
            opener.open(AT_S3, opener.recall(AT_S3), refetch=False)
        before, after = tails(first)
        assert before == "bytes=-4096" != after
        assert tails(second) == [before]
