"""The four servers, each with the same keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.parts.conformance.cases import Scope, Server
from tests.parts.conformance.keys import BUCKET, objects, tree
from tests.parts.conformance.servers import CREDENTIALS, endpoint_on, object_lambda_on
from tests.support.images import make_image
from tests.support.radosgw_server import RadosGateway
from tests.support.served import served
from tests.support.swift_store import SwiftStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.swift_store import Credentials


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
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Swift's s3api."""
    with SwiftStore.start(tmp_path_factory.mktemp("swift")) as store:
        yield _filled("swift", store.url, store.owner, store.client())


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ceph's RADOS gateway."""
    with RadosGateway.start(tmp_path_factory.mktemp("radosgw")) as gateway:
        yield _filled("radosgw", gateway.url, gateway.owner, gateway.client())


def _filled(name: str, url: str, credentials: Credentials, client: S3Client) -> Server:
    client.create_bucket(Bucket=BUCKET)

    def put(item: tuple[str, bytes]) -> None:
        client.put_object(Bucket=BUCKET, Key=item[0], Body=item[1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, objects().items()))
    return Server(
        name=name,
        url=url,
        credentials=credentials,
        scopes=frozenset({Scope.ANY, Scope.SIGNED}),
    )
