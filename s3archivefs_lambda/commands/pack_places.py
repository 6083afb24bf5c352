"""Places in S3 for the reader's `pack`, which finds these functions as entry points."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError as CommandUsageError
from s3archivefs.writer import PackingError
from s3archivefs_lambda.commands.errors import UsageError, made_client, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.writer import Takes
    from s3archivefs_lambda.upload.image_stream import ImageStream
    from s3archivefs_lambda.upload.prefix_members import PackedObject, PrefixMembers

__all__ = ["CONNECTIONS", "StoredOutput", "members_at", "output_at", "translated"]

CONNECTIONS = 32
"""Connections to the store, at most."""


def output_at(url: str, *, estimate: int | None, replace: bool) -> StoredOutput:
    """Return what stores an image at an s3:// URL.

    `estimate` is about how many bytes it will have, or None where nobody knows.
    Length of parts and storage class come from the environment, as for `upload`. Raises
    FileExistsError for an object that stands there and is not to be replaced, and PackingError.
    """
    from s3archivefs_lambda.commands.upload_settings import part_bytes, storage_class
    from s3archivefs_lambda.config.location import parse_location
    from s3archivefs_lambda.store.client import make_upload_client
    from s3archivefs_lambda.upload.image_stream import ImageStream, streamed_part_size
    from s3archivefs_lambda.upload.upload_target import UploadTarget

    location = parse_location(url)
    with translated(url):
        require("botocore", extra="lambda", what="packing into S3")
        client = made_client(lambda: make_upload_client(threads=CONNECTIONS))
        target = UploadTarget(client, location.bucket, location.key)
        target.require_bucket()  # before packing takes time
        stream = ImageStream(
            target,
            part_bytes=part_bytes("", os.environ) or streamed_part_size(estimate),
            replace=replace,
            storage_class=storage_class("", os.environ),
        )
    return StoredOutput(stream, url)


def members_at(
    url: str, packed: Callable[[PackedObject], object], takes: Takes | None
) -> PrefixMembers | None:
    """Return the objects below s3://bucket/prefix/ as members, or None for a URL of one object.

    `takes` is as that of PrefixMembers.
    """
    from s3archivefs_lambda.store.client import make_s3_client
    from s3archivefs_lambda.upload.prefix_members import PrefixMembers

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith("/"):
        return None
    with translated(url):
        require("botocore", extra="lambda", what="packing from S3")
        client = made_client(lambda: make_s3_client(connections=CONNECTIONS, read_timeout=60))
    return PrefixMembers(client, bucket, prefix, packed=packed, takes=takes)


class StoredOutput:
    """The output for an object, with the errors that the reader's writer and command know."""

    def __init__(self, stream: ImageStream, url: str) -> None:
        self._stream = stream
        self._url = url

    def write(self, content: bytes) -> None:
        """Append to the image."""
        with translated(self._url):
            self._stream.write(content)

    def finish(self, superblock: bytes) -> None:
        """Store the rest; the object appears."""
        with translated(self._url):
            self._stream.finish(superblock)
        self._tell_others()

    def abandon(self) -> None:
        """Leave nothing in S3; say so where that cannot be."""
        from s3archivefs_lambda.commands.upload_leftovers import leftovers_told

        with leftovers_told(self._stream.target):
            self._stream.abandon()
            self._tell_others()

    def _tell_others(self) -> None:
        """Tell of an upload without parts, which an answer that was lost may have left."""
        from s3archivefs_lambda.commands.upload_leftovers import tell_others

        if self._stream.was_begun_again:
            self._stream.was_begun_again = False  # it is told once
            tell_others(self._stream.target)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what the adapter raises into errors that the reader's command knows."""
    from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError

    try:
        yield
    except OtherObjectError as error:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url) from error
    except UploadError as error:
        raise PackingError(str(error)) from error
    except UsageError as error:
        raise CommandUsageError(str(error)) from error
