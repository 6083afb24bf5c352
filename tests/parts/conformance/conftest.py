"""The four servers, each with the same keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.parts.conformance.cases import Scope, Server
from tests.parts.conformance.keys import BUCKET, objects, tree
from tests.parts.conformance.servers import (
    CREDENTIALS,
    bucket_behind_endpoint,
    endpoint_on,
    object_lambda_on,
)
from tests.support.images.fixtures import make_image
from tests.support.processes.made_once import made_once
from tests.support.servers.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.radosgw_server import RadosGateway
    from tests.support.servers.swift_store import Credentials, SwiftStore


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of all keys as mksquashfs packs it."""
    return make_image(tmp_path_factory.mktemp("conformance"), tree())


@pytest.fixture(scope="session")
def endpoint(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The HTTP endpoint, which wants signatures."""
    with endpoint_on({"": image}, tmp_path_factory.mktemp("endpoint")) as server:
        yield server


@pytest.fixture(scope="session")
def open_endpoint(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The HTTP endpoint, which wants none."""
    log = tmp_path_factory.mktemp("open-endpoint") / "log"
    with served("--map", f"={image}", "--bucket", BUCKET, environ={}, log=log) as url:
        scopes = frozenset({Scope.OPEN, Scope.OURS, Scope.ENDPOINT})
        yield Server(name="open endpoint", url=url, credentials=CREDENTIALS, scopes=scopes)


@pytest.fixture(scope="session")
def object_lambda(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The function in Lambda's own runtime client, behind an access point that checks nothing."""
    with object_lambda_on({"": image}, tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture(scope="session")
def swift(store: SwiftStore, run_directory: Path) -> Server:
    """Swift's s3api."""
    made_once(run_directory / "swift filled", lambda _: _fill(store.client()))
    return _server("swift", store.url, store.owner)


@pytest.fixture(scope="session")
def radosgw(gateway: RadosGateway, run_directory: Path) -> Server:
    """Ceph's RADOS gateway."""
    made_once(run_directory / "radosgw filled", lambda _: _fill(gateway.client()))
    return _server("radosgw", gateway.url, gateway.owner)


@pytest.fixture(scope="session")
def passed_through(radosgw: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The HTTP endpoint in front of the gateway's bucket, whose objects it passes through."""
    directory = tmp_path_factory.mktemp("passed-through")
    with bucket_behind_endpoint(radosgw, directory) as server:
        yield server


def _fill(client: S3Client) -> None:
    """Store all keys, in the bucket that all processes of this run read."""
    client.create_bucket(Bucket=BUCKET)

    def put(item: tuple[str, bytes]) -> None:
        client.put_object(Bucket=BUCKET, Key=item[0], Body=item[1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, objects().items()))


def _server(name: str, url: str, credentials: Credentials) -> Server:
    scopes = frozenset({Scope.ANY, Scope.SIGNED})
    return Server(name=name, url=url, credentials=credentials, scopes=scopes)
