"""The S3 client that reads archives, one for a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.archives.open_ahead import OPEN_AHEAD_THREADS
from s3archivefs_lambda.cache.background import AHEAD_THREADS
from s3archivefs_lambda.store.access import STANDARD_ACCESS, StoreAccess
from s3archivefs_lambda.store.client import READ_TIMEOUT, make_s3_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["make_archive_client"]

_CONNECTIONS_PER_REQUEST = 2  # opening an archive reads both its ends at once


def make_archive_client(
    *,
    requests: int = 1,
    bodies: int = 0,
    read_timeout: float = READ_TIMEOUT,
    access: StoreAccess = STANDARD_ACCESS,
) -> S3Client:
    """Make the client, for `requests` requests answered in parallel.

    It keeps connections for `bodies` that pass through besides. Raises StoreSettingsError.
    """
    opening = _CONNECTIONS_PER_REQUEST * (requests + OPEN_AHEAD_THREADS)
    connections = opening + AHEAD_THREADS + bodies
    return make_s3_client(connections=connections, read_timeout=read_timeout, access=access)
