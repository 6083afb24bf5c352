"""Both ways to an archive, as servers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.parts.conformance.cases import Scope, Server
from tests.parts.conformance.keys import BUCKET
from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.servers.served import served
from tests.support.servers.swift_store import Credentials, environ_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CREDENTIALS = Credentials("CONFORMANCE", "a secret of the endpoint")


@contextmanager
def endpoint_on(images: Mapping[str, Path], directory: Path) -> Iterator[Server]:
    """The HTTP endpoint, which wants signatures, over images by virtual prefix."""
    log = directory / "log"
    maps = [f"--map={prefix}={image}" for prefix, image in images.items()]
    environ = {
        "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    }
    with served(*maps, "--bucket", BUCKET, environ=environ, log=log) as url:
        yield Server(
            name="endpoint",
            url=url,
            credentials=CREDENTIALS,
            scopes=frozenset({Scope.ANY, Scope.SIGNED, Scope.OURS, Scope.ENDPOINT}),
            log=log.read_text,
        )


@contextmanager
def bucket_behind_endpoint(store: Server, directory: Path) -> Iterator[Server]:
    """The HTTP endpoint over the objects of a store's bucket."""
    environ = environ_of(store.credentials, store.url) | {
        "S3ARCHIVEFS_CACHE_DIR": str(directory),
        "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    }
    with served("--bucket", f"s3://{BUCKET}", environ=environ, log=directory / "log") as url:
        scopes = frozenset({Scope.ANY, Scope.SIGNED, Scope.ENDPOINT})
        yield Server(name="passed through", url=url, credentials=CREDENTIALS, scopes=scopes)


@contextmanager
def object_lambda_on(images: Mapping[str, Path], directory: Path) -> Iterator[Server]:
    """The function in Lambda's own runtime client, behind an access point that checks nothing."""
    with AccessPoint("http://127.0.0.1:9", bucket=BUCKET) as access_point:
        environ = {
            "AWS_ENDPOINT_URL_S3": access_point.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
            "S3ARCHIVEFS_CACHE_DIR": str(directory),
        }
        environ |= {
            f"S3ARCHIVEFS_PREFIX_VMAP{number}": f"{prefix}|file://{image}"
            for number, (prefix, image) in enumerate(images.items(), 1)
        }
        with RuntimeApi(environ) as function:
            access_point.function = function
            yield Server(
                name="object lambda",
                url=access_point.url,
                credentials=CREDENTIALS,
                scopes=frozenset({Scope.ANY, Scope.OURS}),
            )
