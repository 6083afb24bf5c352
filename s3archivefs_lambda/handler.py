"""The Lambda function: `s3archivefs_lambda.handler.lambda_handler`.

The function reads its settings and makes its S3 clients when it starts: Lambda then gives it a
whole processor, however small its memory. Malformed settings keep it from serving anything: the log
names each fault at once, and every request is answered with an error, since S3 Object Lambda would
tell the client nothing better.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.names import BUCKET_ARCHIVES
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.log_lines import LineFilter
from s3archivefs_lambda.object_lambda.transport import ObjectLambda
from s3archivefs_lambda.request_log import write_bare_lines
from s3archivefs_lambda.s3api.errors import internal_error
from s3archivefs_lambda.store.client import make_response_client
from s3archivefs_lambda.store.presigned import CLIENT
from s3archivefs_lambda.store.process_client import process_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.bucket.operations import S3Operations
    from s3archivefs_lambda.s3api.messages import S3Request, S3Response

__all__ = ["lambda_handler"]

_LOG = logging.getLogger("s3archivefs")
_LOG.setLevel(logging.INFO)  # Lambda's own handler on the root logger writes the lines
_LOG.addFilter(LineFilter())
# The request log goes past that handler, which puts level, time and id before each line, or makes
# it a member of its own JSON: CloudWatch takes metrics only from an event that is the document.
write_bare_lines(sys.stdout)


def _configure() -> Config | None:
    try:
        config = _without_buckets(Config.from_environ(os.environ))
        if config.bucket_archives is not None:
            _with_bucket(config, "any-bucket")  # finds an archive at the root
    except SettingError as error:
        for line in str(error).splitlines():
            _LOG.critical("%s", line)
        return None
    if not config.mappings and config.bucket_archives is None:
        names = "S3ARCHIVEFS_PREFIX_VMAP1, S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE"
        _LOG.warning("nothing is served: set %s or %s", names, BUCKET_ARCHIVES)
    return config


def _without_buckets(config: Config) -> Config:
    """Raise SettingError for prefixes of buckets: requests of Object Lambda name none."""
    faults = [
        f"{mapping.origin}: the prefix names the bucket {mapping.bucket}, but a function has none; "
        "write what follows it alone"
        for mappings in config.further_buckets.values()
        for mapping in mappings
    ]
    if faults:
        raise SettingError("\n".join(faults))
    return config


class _Unusable:
    """The operations of a function whose settings are malformed: each answers so."""

    def answer(self, _operation: str, _request: S3Request) -> S3Response:
        message = "The function's settings are malformed; its log names each fault."
        return internal_error(message).response()


class _SupportingBuckets:
    """The operations on the bucket behind each access point, in which archives are found."""

    def __init__(self, archives: Archives, config: Config) -> None:
        self._archives = archives
        self._config = config
        self._of: dict[str, Operations] = {}

    def answer(self, operation: str, request: S3Request) -> S3Response:
        """Answer as the operations on the request's bucket do."""
        bucket = request.bucket
        if not bucket:
            message = "The event names no supporting access point, whose objects are to be served."
            return internal_error(message).response()
        if bucket not in self._of:
            mappings = _with_bucket(self._config, bucket)
            self._of[bucket] = Operations(self._archives, mappings=mappings)
        return self._of[bucket].answer(operation, request)


def _with_bucket(config: Config, bucket: str) -> PrefixMap:
    """Return the mappings, and one to the bucket's own objects.

    Raises SettingError if the archive at the root would hide them all.
    """
    location = Location("s3", bucket, "")
    own = PrefixMapping("", location, BUCKET_ARCHIVES, archives=config.bucket_archives)
    return PrefixMap.from_mappings([own, *config.mappings])


def _ready(make: Callable[[], S3Client]) -> S3Client:
    client = process_client(make)
    client.meta  # noqa: B018 -- makes it now
    return client


def _object_lambda(config: Config | None) -> ObjectLambda:
    response_client = _ready(make_response_client)
    if config is None:
        return ObjectLambda(_Unusable(), lambda: response_client)
    client = _ready(make_archive_client)
    archives = Archives(config, lambda: client)
    operations: S3Operations = Operations(archives)
    if config.bucket_archives is not None:
        CLIENT.meta  # noqa: B018 -- makes it now
        operations = _SupportingBuckets(archives, config)
    return ObjectLambda(operations, lambda: response_client, emf=config.metrics == "emf")


def _start() -> ObjectLambda:
    """Make the function ready, without collecting garbage meanwhile.

    To go through the 100,000 objects of botocore again and again takes a quarter of the start.
    They live as long as the process, so later collections leave them out too.
    """
    gc.disable()
    try:
        return _object_lambda(_configure())
    finally:
        gc.freeze()
        gc.enable()


_OBJECT_LAMBDA = _start()


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 -- Lambda's signature
    """Answer one S3 Object Lambda event: GetObject, HeadObject, ListObjectsV2 or ListObjects."""
    return _OBJECT_LAMBDA.handle(event)
