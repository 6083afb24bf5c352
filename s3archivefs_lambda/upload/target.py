"""A place in S3 as whoever stores an object there sees it: what is there, what was begun."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.store.errors import object_url
from s3archivefs_lambda.upload.errors import UploadError, upload_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

__all__ = ["EXISTS", "Unfinished", "UploadTarget"]

EXISTS = "is there already; --force replaces it"


class Unfinished(NamedTuple):
    """An upload that was begun, and neither completed nor aborted."""

    upload_id: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """s3://bucket/key. What its methods ask of S3 raises UploadError."""

    client: S3Client
    bucket: str
    key: str

    def __str__(self) -> str:
        return object_url(self.bucket, self.key)

    @property
    def name(self) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        """What names the object in each request."""
        return {"Bucket": self.bucket, "Key": self.key}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the client raises into UploadErrors."""
        with upload_errors(self.bucket, self.key):
            yield

    def head(self) -> Any:  # noqa: ANN401 -- types of S3's answers are not there at run time
        """S3's answer to HEAD; None where there is no such object, or S3 does not tell."""
        try:
            with self.errors():
                return self.client.head_object(**self.name)
        except UploadError as error:
            # 403 is S3's answer for a missing object too, to who may not list.
            if error.is_missing or error.is_forbidden:
                return None
            raise

    def require_bucket(self) -> None:
        """Raise UploadError where the bucket is not there, as far as these credentials may know."""
        try:
            with self.errors():
                self.client.head_bucket(Bucket=self.bucket)
        except UploadError as error:
            if not error.is_forbidden:
                raise

    def refuse_existing(self) -> None:
        """Raise UploadError where the object is there."""
        if self.head() is not None:
            raise UploadError(f"{self} {EXISTS}")

    # ---- Unfinished uploads --------------------------------------------------------------------

    def unfinished(self) -> list[Unfinished]:
        """The unfinished uploads to this key, the newest first."""
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
        """The parts that an unfinished upload holds, as S3 lists them."""
        with self.errors():
            pages = self.client.get_paginator("list_parts").paginate(
                **self.name, UploadId=upload_id
            )
            for page in pages:
                yield from page.get("Parts", [])

    def abort(self, upload_id: str) -> None:
        """Delete the parts of an unfinished upload; no fault where it is unfinished no more."""
        try:
            with self.errors():
                self.client.abort_multipart_upload(**self.name, UploadId=upload_id)
        except UploadError as error:
            if not error.is_missing:
                raise

    def abort_all(self) -> int:
        """Delete the parts of every unfinished upload to this key, whoever began it; returns their
        number.
        """
        found = self.unfinished()
        for upload in found:
            self.abort(upload.upload_id)
        return len(found)
