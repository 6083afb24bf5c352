"""Libraries of Python that read S3."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import boto3
import botocore.session
import duckdb
import duckdb_extension_httpfs
import minio
import obstore
import obstore.store
import pyarrow.fs
from botocore.config import Config
from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client
from s3transfer.crt import (
    BotocoreCRTCredentialsWrapper,
    BotocoreCRTRequestSerializer,
    CRTTransferManager,
    create_s3_crt_client,
)

from tests.clients.conftest import BUCKET, CREDENTIALS
from tests.clients.reader import Reader

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGION = "us-east-1"


class Boto3(Reader):
    style: ClassVar[Literal["path", "virtual"]] = "path"

    @property
    def client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint.url,
            config=Config(signature_version="s3v4", s3={"addressing_style": self.style}),
        )

    def keys(self, prefix: str) -> dict[str, int]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {found["Key"]: found["Size"] for page in pages for found in page["Contents"]}

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def part(self, key: str, start: int, stop: int) -> bytes:
        part = f"bytes={start}-{stop - 1}"
        return self.client.get_object(Bucket=BUCKET, Key=key, Range=part)["Body"].read()

    def size(self, key: str) -> int:
        return self.client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]

    def url(self, key: str) -> str:
        asked = {"Bucket": BUCKET, "Key": key}
        return self.client.generate_presigned_url("get_object", Params=asked)


class Boto3ByHost(Boto3):
    style = "virtual"


class S3TransferCrt(Reader):
    """What boto3 downloads with if told to: the AWS Common Runtime, in parts at the same time.

    boto3 itself lets it speak HTTPS alone, with the system's authorities.
    """

    cannot = frozenset({"keys", "part", "size", "url"})

    def get(self, key: str) -> bytes:
        target = self.directory / "downloaded"
        session = botocore.session.Session()
        credentials = BotocoreCRTCredentialsWrapper(session.get_credentials())
        client = create_s3_crt_client(
            REGION,
            crt_credentials_provider=credentials.to_crt_credentials_provider(),
            use_ssl=False,
        )
        by_path = Config(s3={"addressing_style": "path"})
        settings = {"region_name": REGION, "endpoint_url": self.endpoint.url, "config": by_path}
        serializer = BotocoreCRTRequestSerializer(session, settings)
        with CRTTransferManager(client, serializer) as transfers:
            transfers.download(BUCKET, key, str(target)).result()
        return target.read_bytes()


class Minio(Reader):
    @property
    def client(self) -> minio.Minio:
        return minio.Minio(
            self.endpoint.url.removeprefix("http://"),
            access_key=CREDENTIALS.access_key,
            secret_key=CREDENTIALS.secret_key,
            secure=False,
        )

    def keys(self, prefix: str) -> dict[str, int]:
        found = self.client.list_objects(BUCKET, prefix, recursive=True)
        return {each.object_name: each.size for each in found}

    def get(self, key: str) -> bytes:
        return self._read(key)

    def part(self, key: str, start: int, stop: int) -> bytes:
        return self._read(key, offset=start, length=stop - start)

    def _read(self, key: str, **part: int) -> bytes:
        response = self.client.get_object(BUCKET, key, **part)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def size(self, key: str) -> int:
        return self.client.stat_object(BUCKET, key).size

    def url(self, key: str) -> str:
        return self.client.presigned_get_object(BUCKET, key)


class Obstore(Reader):
    @property
    def store(self) -> obstore.store.S3Store:
        return obstore.store.S3Store(
            BUCKET,
            endpoint=self.endpoint.url,
            region=REGION,
            access_key_id=CREDENTIALS.access_key,
            secret_access_key=CREDENTIALS.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def keys(self, prefix: str) -> dict[str, int]:
        pages = obstore.list(self.store, prefix)
        return {found["path"]: found["size"] for page in pages for found in page}

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def part(self, key: str, start: int, stop: int) -> bytes:
        return bytes(obstore.get_range(self.store, key, start=start, end=stop))

    def size(self, key: str) -> int:
        return obstore.head(self.store, key)["size"]

    def url(self, key: str) -> str:
        return obstore.sign(self.store, "GET", key, timedelta(minutes=1))


class PyArrow(Reader):
    cannot = frozenset({"url"})

    @property
    def files(self) -> pyarrow.fs.S3FileSystem:
        return pyarrow.fs.S3FileSystem(
            endpoint_override=self.endpoint.url.removeprefix("http://"),
            scheme="http",
            region=REGION,
            access_key=CREDENTIALS.access_key,
            secret_key=CREDENTIALS.secret_key,
        )

    def keys(self, prefix: str) -> dict[str, int]:
        below = pyarrow.fs.FileSelector(f"{BUCKET}/{prefix}", recursive=True)
        found = self.files.get_file_info(below)
        return {each.path.removeprefix(f"{BUCKET}/"): each.size for each in found if each.is_file}

    def get(self, key: str) -> bytes:
        with self.files.open_input_stream(f"{BUCKET}/{key}") as stream:
            return stream.read()

    def part(self, key: str, start: int, stop: int) -> bytes:
        with self.files.open_input_file(f"{BUCKET}/{key}") as file:
            return file.read_at(stop - start, start)

    def size(self, key: str) -> int:
        return self.files.get_file_info(f"{BUCKET}/{key}").size


class S3TorchConnector(Reader):
    """The client under s3torchconnector, which is Mountpoint's; PyTorch has no part in it."""

    cannot = frozenset({"url"})

    @property
    def client(self) -> MountpointS3Client:
        return MountpointS3Client(REGION, "test", endpoint=self.endpoint.url, force_path_style=True)

    def keys(self, prefix: str) -> dict[str, int]:
        pages = self.client.list_objects(BUCKET, prefix)
        return {found.key: found.size for page in pages for found in page.object_info}

    def get(self, key: str) -> bytes:
        return b"".join(self.client.get_object(BUCKET, key))

    def part(self, key: str, start: int, stop: int) -> bytes:
        return b"".join(self.client.get_object(BUCKET, key, start=start, end=stop))

    def size(self, key: str) -> int:
        return self.client.head_object(BUCKET, key).size


class DuckDb(Reader):
    """Its extension httpfs, which PyPI has as a wheel."""

    cannot = frozenset({"part", "url"})

    def keys(self, prefix: str) -> dict[str, int]:
        return dict(self._ask("SELECT filename, size FROM read_blob(?)", f"{prefix}**"))

    def get(self, key: str) -> bytes:
        ((_, content),) = self._ask("SELECT filename, content FROM read_blob(?)", key)
        return content

    def size(self, key: str) -> int:
        ((_, size),) = self._ask("SELECT filename, size FROM read_blob(?)", key)
        return size

    def _ask(self, query: str, key: str) -> list[tuple[str, Any]]:
        with duck(self.endpoint.url) as database:
            found = database.execute(query, [f"s3://{BUCKET}/{key}"]).fetchall()
        return [(name.removeprefix(f"s3://{BUCKET}/"), value) for name, value in found]


def duck(url: str) -> duckdb.DuckDBPyConnection:
    """DuckDB with httpfs, which asks there."""
    database = duckdb.connect()
    (extension,) = Path(duckdb_extension_httpfs.__path__[0]).rglob("*.duckdb_extension")
    database.load_extension(str(extension))
    database.execute(
        "CREATE SECRET (TYPE s3, KEY_ID $key, SECRET $secret, REGION $region, ENDPOINT $endpoint,"
        " URL_STYLE 'path', USE_SSL false)",
        {
            "key": CREDENTIALS.access_key,
            "secret": CREDENTIALS.secret_key,
            "region": REGION,
            "endpoint": url.removeprefix("http://"),
        },
    )
    return database


LIBRARIES = (Boto3, Boto3ByHost, S3TransferCrt, Minio, Obstore, PyArrow, S3TorchConnector, DuckDb)
