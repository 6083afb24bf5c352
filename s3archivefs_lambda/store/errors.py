"""The errors of reading an archive in S3, made of the client's exceptions."""

from __future__ import annotations

from contextlib import contextmanager
from errno import ESTALE
from typing import TYPE_CHECKING, ClassVar, Self

from s3archivefs_lambda.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.exceptions import ClientError

__all__ = [
    "ArchiveAccessError",
    "ArchiveCredentialsError",
    "ArchiveForbiddenError",
    "ArchiveNotFoundError",
    "ArchiveReplacedError",
    "ArchiveSilentError",
    "ArchiveThrottledError",
    "ArchiveUnavailableError",
    "ArchiveUnchangedError",
    "StoreRefusedError",
    "StoreSettingsError",
    "client_faults",
    "mapped_errors",
    "object_url",
    "refusals",
]


class ArchiveAccessError(OSError):
    """An archive could not be read; the message says which, why, and what to do."""

    advice: ClassVar[str] = "check the object and the store"
    status: int | None = None
    """The HTTP status of S3's answer, or None for no answer."""
    code: str | None = None
    """S3's code of the refusal; None where there is none, as of a HEAD."""

    @classmethod
    def of(cls, bucket: str, key: str, what: str, status: int | None = None) -> Self:
        """Return the error about s3://bucket/key."""
        error = cls(f"{object_url(bucket, key)}: {what}; {cls.advice}")
        error.status = status
        return error


class ArchiveNotFoundError(ArchiveAccessError, FileNotFoundError):
    """There is no such object or bucket."""

    advice = "check the mapping's bucket and key, and that the archive was uploaded"


class ArchiveForbiddenError(ArchiveAccessError):
    """S3 refuses the object to these credentials."""

    advice = "check the credentials, and that they allow s3:GetObject on this object"


class ArchiveCredentialsError(ArchiveForbiddenError):
    """The credentials are invalid or missing, which says nothing about the object."""

    advice = "check the credentials"


class ArchiveReplacedError(ArchiveAccessError):
    """The object is no longer the version that was opened.

    The number says so to programs that know of no objects, such as a mount.
    """

    advice = "open it again"
    errno: int | None = ESTALE


class ArchiveUnchangedError(ArchiveAccessError):
    """The object is still the version that the caller has."""

    version_id: str | None = None
    """The id of that version, if the answer names it."""


class ArchiveThrottledError(ArchiveAccessError):
    """S3 throttled the request through all retries."""

    advice = "try again later"


class ArchiveUnavailableError(ArchiveAccessError):
    """No answer came, or a wrong one.

    With a `status` below 500 the store works, and this is no outage.
    """

    advice = "check the store, the network and the region, and try again"


class ArchiveSilentError(ArchiveUnavailableError):
    """No answer came at all; most likely none comes for the store's other objects either."""


class StoreSettingsError(ValueError):
    """Settings for AWS cannot be used: a profile, half a key, an endpoint, ..."""


class StoreRefusedError(Exception):
    """The store's refusal of a request for an object, which is the client's to know."""

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        headers: Mapping[str, str],
        elements: Mapping[str, str],
    ) -> None:
        """`elements` are the further ones of S3's error document."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.headers = headers
        self.elements = elements


_CREDENTIAL_CODES = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_CREDENTIAL_ELEMENTS = {"AWSAccessKeyId", "CanonicalRequest", "StringToSign", "Token-0"}
"""What answers repeat of a request's credentials."""
_THROTTLING_CODES = {
    "503",  # in place of a code if there is no body: the answer to a HEAD
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}


_REFUSALS = {
    304: "NotModified",
    400: "BadRequest",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    414: "InvalidURI",
    416: "InvalidRange",
    431: "RequestHeaderSectionTooLarge",
}
"""Statuses that concern a request, with S3's code of each for answers without a body."""
_PASSED_CODES = {"InvalidObjectState"}
"""Codes that concern an object, whatever their status: one in Glacier."""


def client_faults() -> tuple[type[Exception], ...]:
    """Return the exceptions that a failed request or body raises; any other is a bug.

    ValueError stands for a header of the answer that botocore cannot parse.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- local images do without
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 -- likewise

    return (BotoCoreError, ClientError, HTTPError, OSError, ValueError)


@contextmanager
def mapped_errors(bucket: str, key: str) -> Iterator[None]:
    """Turn what the client raises about s3://bucket/key into ArchiveAccessErrors.

    Their messages repeat codes and types only, as the originals may hold URLs and headers. An
    ArchiveAccessError, which is an OSError too, stays as it is.
    """
    try:
        yield
    except ArchiveAccessError:
        raise
    except client_faults() as error:
        raise _access_error(error, bucket, key) from error


@contextmanager
def refusals(*, concerns_request: bool) -> Iterator[None]:
    """Raise StoreRefusedError for answers that concern the request or the object.

    `concerns_request` says whether the request may be malformed: without a body, the answer to a
    HEAD does not tell that from refused credentials.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- local images do without

    try:
        yield
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        status = metadata["HTTPStatusCode"]
        told = {k: v for k, v in error.response.get("Error", {}).items() if isinstance(v, str)}
        code, message = told.pop("Code", ""), told.pop("Message", "")
        is_bare = code in {"", str(status)}
        is_passed = code in _PASSED_CODES or (status in _REFUSALS and code not in _THROTTLING_CODES)
        if (
            not is_passed
            or _is_of_credentials(error)
            or (is_bare and status == 400 and not concerns_request)
        ):
            raise
        raise StoreRefusedError(
            _REFUSALS[status] if is_bare else code,
            status,
            message,
            metadata.get("HTTPHeaders", {}),
            told,
        ) from error


def object_url(bucket: str, key: str) -> str:
    """Return the object's URL on one line, for a message.

    A URL that cannot be printed is quoted for a shell.
    """
    url = f"s3://{bucket}/{key}"
    return url if url.isprintable() else shell_word(url)


def _access_error(error: Exception, bucket: str, key: str) -> ArchiveAccessError:
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- likewise

    if isinstance(error, ClientError):
        return _answered_error(error, bucket, key)
    name = type(error).__name__
    if "Credential" in name or "Token" in name:
        return ArchiveCredentialsError.of(bucket, key, f"there are no usable credentials ({name})")
    # After ValueError an answer came, but botocore could not parse it.
    kind = ArchiveUnavailableError if isinstance(error, ValueError) else ArchiveSilentError
    return kind.of(bucket, key, f"the request failed ({name})")


def _is_of_credentials(error: ClientError) -> bool:
    """Return whether the store refused the credentials, which are nothing for a client to know."""
    told = error.response.get("Error", {})
    return told.get("Code") in _CREDENTIAL_CODES or not _CREDENTIAL_ELEMENTS.isdisjoint(told)


def _answered_error(error: ClientError, bucket: str, key: str) -> ArchiveAccessError:
    code = error.response.get("Error", {}).get("Code", "")
    metadata = error.response["ResponseMetadata"]
    status = metadata["HTTPStatusCode"]
    kind: type[ArchiveAccessError] = ArchiveUnavailableError
    what = "the request failed"
    if status == 304:
        unchanged = ArchiveUnchangedError.of(bucket, key, "the object is unchanged", status)
        unchanged.version_id = metadata.get("HTTPHeaders", {}).get("x-amz-version-id")
        return unchanged
    if 300 <= status < 400:
        what = "the store redirects requests, which are not followed"
    elif status in {412, 416}:
        # 416 for a range inside the pinned version means that the object is shorter now.
        kind, what = ArchiveReplacedError, "the object was replaced"
    elif _is_of_credentials(error) or (code == "400" and error.operation_name == "HeadObject"):
        # The status is 400 or 403. Without a body, as for a HEAD, there is no code, and it is 400.
        kind, what = ArchiveCredentialsError, "the credentials were refused"
    elif status == 404 or code == "InvalidURI":  # the store can have no such key
        kind, what = ArchiveNotFoundError, "there is no such object or bucket"
    elif status in {401, 403}:
        kind, what = ArchiveForbiddenError, "access was refused"
    elif status == 429 or code in _THROTTLING_CODES:
        kind, what = ArchiveThrottledError, "S3 asks for fewer requests"
    request = metadata.get("RequestId") or "unknown"
    told = kind.of(bucket, key, f"{what} (status {status}, {code}, request {request})", status)
    told.code = None if code in {"", str(status)} else code
    return told
