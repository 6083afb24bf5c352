"""Archives in a real store, and both ways to read them as S3 objects."""

from __future__ import annotations

from base64 import b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.servers.served import served
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.swift_store import SwiftStore

STORE_BUCKET = own("archives")
"""Where the archives are kept."""
BUCKET = "archive"
"""What clients address."""
LARGE_FILE_BYTES = 64 << 20
"""Bytes of the file in the archive of a large one."""


@dataclass(frozen=True)
class Transport:
    """A way to read archives as S3 objects: a client, and the log of the server behind it."""

    name: str
    client: S3Client
    url: str
    log: Path | RuntimeApi

    def log_lines(self) -> list[str]:
        """What the server has logged so far."""
        text = self.log.log if isinstance(self.log, RuntimeApi) else self.log.read_text()
        return text.splitlines()


@contextmanager
def open_transport(
    name: str,
    store: SwiftStore,
    directory: Path,
    mappings: dict[str, str],
    *,
    store_url: str | None = None,
    settings: dict[str, str] | None = None,
    port: int = 0,
) -> Iterator[Transport]:
    """Serve archives by one of the transports; `settings` go before all that is set here. `port` is
    where the function finds the store: at its access point.
    """
    settings = {
        "S3ARCHIVEFS_CACHE_DIR": str(directory / "cache"),
        **{
            f"S3ARCHIVEFS_PREFIX_VMAP{number}": f"{prefix}|{url}"
            for number, (prefix, url) in enumerate(mappings.items(), 1)
        },
        **(settings or {}),
    }
    (directory / "cache").mkdir(exist_ok=True)
    store_url = store_url or store.url
    with ExitStack() as stack:
        if name == "endpoint":
            environ = store.environ(endpoint_url=store_url) | settings
            log = directory / "endpoint.log"
            url = stack.enter_context(served(environ=environ, log=log))
            yield Transport(name, store.client(endpoint_url=url), url, log)
        else:
            access_point = stack.enter_context(AccessPoint(store_url, bucket=BUCKET, port=port))
            environ = store.environ(endpoint_url=access_point.url) | settings
            function = stack.enter_context(RuntimeApi(environ))
            access_point.function = function
            client = store.client(endpoint_url=access_point.url)
            yield Transport(name, client, access_point.url, function)


def upload(store: SwiftStore, image: Path, key: str, *, superblock: bool) -> str:
    """Store an image; its URL."""
    content = image.read_bytes()
    metadata = {"s3archivefs-superblock": b64encode(content[:96]).decode()} if superblock else {}
    store.client().put_object(Bucket=STORE_BUCKET, Key=key, Body=content, Metadata=metadata)
    return f"s3://{STORE_BUCKET}/{key}"
