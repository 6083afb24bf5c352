"""What can go wrong with an upload, as one line for who started it."""

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

__all__ = ["UploadError", "upload_errors"]

_ADVICE_BY_CODE = {
    "ConditionalRequestConflict": "another program is writing to it: run the command again",
    "InvalidArgument": "check the options: the store may not have the storage class",
    "InvalidPart": "another program has ended the upload: run the command again",
    "InvalidStorageClass": "check the options: the store may not have the storage class",
    "NoSuchUpload": "another program has ended the upload: run the command again",
}
_ADVICE: dict[type[ArchiveAccessError], str] = {
    ArchiveReplacedError: "it is there already; --force replaces it",
    ArchiveNotFoundError: "make the bucket first, or correct its name",
    ArchiveCredentialsError: ArchiveCredentialsError.advice,
    ArchiveForbiddenError: "check the credentials, and that they allow s3:PutObject on this object",
}


class UploadError(Exception):
    """The image is not in S3; the message says why, and what to do, on one line."""

    @property
    def status(self) -> int | None:
        """The HTTP status of S3's answer, if that is the reason."""
        cause = self.__cause__
        return cause.status if isinstance(cause, ArchiveAccessError) else None

    @property
    def is_missing(self) -> bool:
        """Whether S3 says that what was asked for is not there."""
        return isinstance(self.__cause__, ArchiveNotFoundError)

    @property
    def is_forbidden(self) -> bool:
        """Whether S3 refuses it to these credentials, which are good otherwise."""
        cause = self.__cause__
        return isinstance(cause, ArchiveForbiddenError) and not isinstance(
            cause, ArchiveCredentialsError
        )


@contextmanager
def upload_errors(bucket: str, key: str) -> Iterator[None]:
    """Turn what a client raises about s3://bucket/key into UploadErrors, with advice for who
    writes.
    """
    try:
        with mapped_errors(bucket, key):
            yield
    except ArchiveAccessError as error:
        raise UploadError(str(error).removesuffix(error.advice) + _advice(error)) from error


def _advice(error: ArchiveAccessError) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    if code in _ADVICE_BY_CODE:
        return _ADVICE_BY_CODE[code]
    return next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), error.advice)
