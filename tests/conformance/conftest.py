"""The four servers, each with the same keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.conformance.cases import Scope, Server
from tests.conformance.keys import BUCKET, objects, tree
from tests.support.images import make_image
from tests.support.object_lambda import AccessPoint, RuntimeApi
from tests.support.radosgw_server import RadosGateway
from tests.support.served import served
from tests.support.swift_store import Credentials, SwiftStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

CREDENTIALS = Credentials("CONFORMANCE", "a secret of the endpoint")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of all keys as mksquashfs packs it."""
    return make_image(tmp_path_factory.mktemp("conformance"), tree())


@pytest.fixture(scope="session")
def endpoint(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The HTTP endpoint, which wants signatures."""
    log = tmp_path_factory.mktemp("endpoint") / "log"
    environ = {
        "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    }
    with served("--map", f"={image}", "--bucket", BUCKET, environ=environ, log=log) as url:
        scopes = frozenset({Scope.ANY, Scope.SIGNED, Scope.OURS, Scope.ENDPOINT})
        yield Server(
            name="endpoint", url=url, credentials=CREDENTIALS, scopes=scopes, log=log.read_text
        )


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
    with AccessPoint("http://127.0.0.1:9", bucket=BUCKET) as access_point:
        environ = {
            "AWS_ENDPOINT_URL_S3": access_point.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
            "S3ARCHIVEFS_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
            "S3ARCHIVEFS_PREFIX_VMAP1": f"|file://{image}",
        }
        with RuntimeApi(environ) as function:
            access_point.function = function
            yield Server(
                name="object lambda",
                url=access_point.url,
                credentials=CREDENTIALS,
                scopes=frozenset({Scope.ANY, Scope.OURS}),
            )


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
