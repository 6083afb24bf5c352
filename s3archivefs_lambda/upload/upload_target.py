"""The place in S3 for an image: its object, and unfinished uploads to it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.store.errors import object_url
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError, upload_errors
from s3archivefs_lambda.upload.threads import run_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

__all__ = ["Unfinished", "UploadTarget"]

_ABORT_SECONDS = 10.0
"""Seconds to wait for S3 where a failure or an interruption ends an upload."""


class Unfinished(NamedTuple):
    """A multipart upload that was begun and neither completed nor aborted."""

    upload_id: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """The object s3://bucket/key; methods that ask S3 raise UploadError."""

    client: S3Client
    bucket: str
    key: str

    def __str__(self) -> str:
        return object_url(self.bucket, self.key)

    @property
    def name(self) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        """The arguments that name the object in each request."""
        return {"Bucket": self.bucket, "Key": self.key}

    @contextmanager
    def errors(self, *, part: int = 0) -> Iterator[None]:
        """Turn what the client raises, as of sending a part, into UploadErrors."""
        with upload_errors(self.bucket, self.key, part=part):
            yield

    # ---- The object ----------------------------------------------------------------------------

    def head(self) -> Any:  # noqa: ANN401 -- types of S3's answers are not there at run time
        """Return S3's answer to HEAD, or None for no such object or no permission."""
        try:
            with self.errors():
                return self.client.head_object(**self.name)
        except UploadError as error:
            # Without s3:ListBucket S3 answers 403 for a missing object too.
            if error.is_missing or error.is_forbidden:
                return None
            raise

    def require_bucket(self) -> None:
        """Raise UploadError if the bucket is missing; pass if S3 refuses to tell."""
        try:
            with self.errors():
                self.client.head_bucket(Bucket=self.bucket)
        except UploadError as error:
            if not error.is_forbidden:
                raise

    def require_absence(self) -> None:
        """Raise OtherObjectError if the object exists."""
        if self.head() is not None:
            raise self.exists()

    def exists(self) -> OtherObjectError:
        """Return the error that says the object exists."""
        return OtherObjectError(f"{self} is there already")

    # ---- Unfinished uploads --------------------------------------------------------------------

    def unfinished(self) -> list[Unfinished]:
        """Return the unfinished uploads to this key, the newest first."""
        with self.errors():
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self.key
            )
            listed = [upload for page in pages for upload in page.get("Uploads", [])]
        uploads = [upload for upload in listed if upload["Key"] == self.key]  # not key + suffix
        uploads.sort(key=lambda upload: upload["Initiated"], reverse=True)
        return [
            Unfinished(upload["UploadId"], upload.get("StorageClass", "STANDARD"))
            for upload in uploads
        ]

    def parts(self, upload_id: str) -> Iterator[Any]:
        """Yield the parts of an unfinished upload as S3 lists them."""
        with self.errors():
            pages = self.client.get_paginator("list_parts").paginate(
                **self.name, UploadId=upload_id
            )
            for page in pages:
                yield from page.get("Parts", [])

    def abort(self, upload_id: str) -> None:
        """Delete the parts of an unfinished upload, if S3 still knows it."""
        try:
            with self.errors():
                self.client.abort_multipart_upload(**self.name, UploadId=upload_id)
        except UploadError as error:
            if not error.is_missing:
                raise

    def abort_own(self, upload_id: str, *, seconds: float = _ABORT_SECONDS) -> None:
        """Delete the parts of an upload that fails, or was interrupted.

        Raises UploadError, too, where they are not deleted in that time.
        """
        if not run_within(seconds, lambda: self.abort(upload_id)):
            raise UploadError(f"{self}: not deleted within {seconds:.0f} seconds")

    def abort_all(self) -> int:
        """Abort every unfinished upload to this key, whoever began it; return their number."""
        uploads = self.unfinished()
        for upload in uploads:
            self.abort(upload.upload_id)
        return len(uploads)
