"""The errors of an upload, each one line for the person who started it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    mapped_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OtherObjectError", "UploadError", "upload_errors"]

_PART_SIZE = "S3ARCHIVEFS_MPU_CHUNK_SIZE"
_ADVICE_BY_CODE = {
    "ConditionalRequestConflict": "another program is writing to it: upload it again",
    "InvalidArgument": "check the storage class: the store may not have it",
    "InvalidPart": "another program has ended the upload: upload it again",
    "InvalidStorageClass": "check the storage class: the store may not have it",
    "NoSuchUpload": "another program has ended the upload: upload it again",
}
_ADVICE: dict[type[ArchiveAccessError], str] = {
    ArchiveReplacedError: "the object is there already",
    ArchiveNotFoundError: "make the bucket first, or correct its name",
    ArchiveCredentialsError: ArchiveCredentialsError.advice,
    ArchiveForbiddenError: "check the credentials, and that they allow s3:PutObject on this object",
}


class UploadError(Exception):
    """The image is not in S3; the message says why, and what to do."""

    @property
    def status(self) -> int | None:
        """The HTTP status of the answer that caused this, if one did."""
        cause = self.__cause__
        return cause.status if isinstance(cause, ArchiveAccessError) else None

    @property
    def is_missing(self) -> bool:
        """Whether S3 answered that the requested thing does not exist."""
        return isinstance(self.__cause__, ArchiveNotFoundError)

    @property
    def is_forbidden(self) -> bool:
        """Whether S3 refused the request though it accepts the credentials."""
        cause = self.__cause__
        return isinstance(cause, ArchiveForbiddenError) and not isinstance(
            cause, ArchiveCredentialsError
        )


class OtherObjectError(UploadError):
    """Another object than the image is in its place; `ImageUpload.replace` overwrites it."""


@contextmanager
def upload_errors(bucket: str, key: str, *, part: int = 0) -> Iterator[None]:
    """Turn what a client raises about s3://bucket/key into UploadErrors.

    Their messages end with advice for someone who writes the object, or sends that part of it.
    """
    try:
        with mapped_errors(bucket, key):
            yield
    except ArchiveAccessError as error:
        kind = OtherObjectError if isinstance(error, ArchiveReplacedError) else UploadError
        raise kind(str(error).removesuffix(error.advice) + _advice(error, part)) from error


def _advice(error: ArchiveAccessError, part: int) -> str:
    """Return what a writer of the object can do about the error."""
    response = getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    if code == "InvalidArgument" and part > 1:  # as Swift says of part 1,001
        return f"the store may take fewer than {part:,} parts: set {_PART_SIZE} to more bytes"
    if code in _ADVICE_BY_CODE:
        return _ADVICE_BY_CODE[code]
    return next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), error.advice)
