"""Objects of the store that pass through, as the store answers for them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from s3archivefs import NotCachedError, SquashfsError, may_wait
from s3archivefs_lambda.bucket.faults import ArchiveFaultError
from s3archivefs_lambda.bucket.headers import overrides
from s3archivefs_lambda.s3api.dates import parse_http_date
from s3archivefs_lambda.s3api.errors import (
    invalid_argument,
    invalid_request,
    key_too_long,
    no_such_key,
)
from s3archivefs_lambda.s3api.key_space import MAX_KEY_BYTES
from s3archivefs_lambda.s3api.messages import S3Error, S3Response
from s3archivefs_lambda.s3api.ranges import part_number
from s3archivefs_lambda.store.errors import ArchiveAccessError, StoreRefusedError
from s3archivefs_lambda.text import header_text, to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeAlias

    from s3archivefs_lambda.archives.store_objects import (
        CallersObjects,
        StoredObject,
        StoreObjects,
    )
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.s3api.messages import Piece, S3Request

    Ask: TypeAlias = Callable[[str, Mapping[str, Any]], StoredObject]

__all__ = ["check_caller", "owning_archive", "passed_through", "refusal"]

_TEXT_PARAMETERS = {
    "if-match": "IfMatch",
    "if-none-match": "IfNoneMatch",
    "range": "Range",
    "x-amz-checksum-mode": "ChecksumMode",
    "x-amz-expected-bucket-owner": "ExpectedBucketOwner",
    "x-amz-request-payer": "RequestPayer",
}
"""Header fields of a request, and the parameters of GetObject and HeadObject that send them."""
_TIME_PARAMETERS = {
    "if-modified-since": "IfModifiedSince",
    "if-unmodified-since": "IfUnmodifiedSince",
}
_FIELDS = {
    name.lower(): name
    for name in (
        "Accept-Ranges",
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Content-Range",
        "Content-Type",
        "ETag",
        "Expires",
        "Last-Modified",
    )
}
"""Header fields of an answer that pass, besides S3's own."""
_OF_THE_EXCHANGE = {
    "x-amz-bucket-region",
    "x-amz-cf-id",
    "x-amz-id-2",
    "x-amz-request-charged",
    "x-amz-request-id",
}
"""Of S3's own, those that concern the request to the store."""


def owning_archive(store: StoreObjects, key: str) -> tuple[Location, str] | None:
    """Return the archive that owns a key, and the path in it.

    None for an ordinary key. Raises S3Error if it cannot be known.
    """
    for location, path in store.above(to_bytes(key)):
        try:
            if store.open(location) is not None:
                return location, to_text(path)
        except (OSError, SquashfsError) as error:
            raise ArchiveFaultError(error, location, key) from error
    return None


def passed_through(store: StoreObjects, request: S3Request, *, with_body: bool) -> S3Response:
    """Answer GetObject or HeadObject as the store does; raise S3Error likewise.

    Raises NotCachedError within `only_cached`.
    """
    if not may_wait():
        raise NotCachedError
    try:
        encoded = request.key.encode()
    except UnicodeEncodeError:
        raise no_such_key(request.key) from None  # S3's keys are UTF-8
    if len(encoded) > MAX_KEY_BYTES:  # else it makes a URL that is too long for the store
        raise key_too_long(len(encoded))
    fault = partial(ArchiveFaultError, location=store.location(encoded), key=request.key)
    overridden = overrides(request)
    objects: StoreObjects | CallersObjects = store
    if request.callers_url:
        if "partNumber" in request.query:
            raise invalid_request("partNumber is not supported for an object of the bucket.")
        objects = store.for_caller(request.callers_url, request.headers)
    try:
        found = _found(objects.get if with_body else objects.head, request)
    except StoreRefusedError as error:
        raise refusal(error) from error
    except ArchiveAccessError as error:
        raise fault(error) from error
    headers = _passed(found.headers) | {"Content-Length": str(found.length)} | overridden
    body = _Body(found.body, fault) if with_body else ()
    return S3Response(status=found.status, headers=headers, body=body)


def check_caller(store: StoreObjects, operation: str, request: S3Request) -> None:
    """Raise S3Error unless the store lets the caller itself have what it asks for.

    Without a URL of the caller's, whoever is answered may have it all.
    """
    if not request.callers_url:
        return
    try:
        store.for_caller(request.callers_url, request.headers).check(operation, request.key)
    except StoreRefusedError as error:
        raise refusal(error) from error
    except ArchiveAccessError as error:
        location = store.location(to_bytes(request.key))
        raise ArchiveFaultError(error, location, request.key) from error


def refusal(error: StoreRefusedError) -> S3Error:
    """Return the store's refusal as the client gets it."""
    message = error.message or error.code
    headers = _passed(error.headers)
    headers.pop("Content-Type", None)  # of the document that says so
    return S3Error(error.code, error.status, message, headers=headers, extra=error.elements)


def _found(ask: Ask, request: S3Request) -> StoredObject:
    """Return the store's answer, which minds If-Range: as If-Match, which every store has."""
    parameters = _parameters(request)
    version = request.headers.get("if-range")
    if version is not None and "Range" in parameters and "IfMatch" not in parameters:
        if version.strip().startswith('"'):
            try:
                return ask(request.key, parameters | {"IfMatch": header_text(version.strip())})
            except StoreRefusedError as error:
                if error.code != "PreconditionFailed":
                    raise
        del parameters["Range"]
    return ask(request.key, parameters)


def _parameters(request: S3Request) -> dict[str, Any]:
    """Return what GetObject and HeadObject take of a request, besides bucket and key."""
    headers, query = request.headers, request.query
    parameters: dict[str, Any] = {
        parameter: header_text(headers[name])
        for name, parameter in _TEXT_PARAMETERS.items()
        if name in headers
    }
    if "," in parameters.get("Range", ""):
        del parameters["Range"]  # S3 ignores several ranges; others answer with several parts
    for name, parameter in _TIME_PARAMETERS.items():
        if (time := parse_http_date(headers.get(name, ""))) is not None:
            parameters[parameter] = time
    if "versionId" in query:
        parameters["VersionId"] = _sent(query["versionId"])
    if "partNumber" in query:
        parameters["PartNumber"] = part_number(query["partNumber"])
    return parameters


def _sent(version: str) -> str:
    """Return a versionId as it is sent, which is UTF-8; raise S3Error for any other."""
    try:
        version.encode()
    except UnicodeEncodeError:
        raise invalid_argument("Invalid version id specified", "versionId", version) from None
    return version


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the header fields that pass, by the names that answers have for them."""
    return {
        _FIELDS.get(name, name): value
        for name, value in headers.items()
        if name in _FIELDS or (name.startswith("x-amz-") and name not in _OF_THE_EXCHANGE)
    }


class _Body:
    """A body of the store, whose faults are S3's."""

    def __init__(
        self,
        pieces: Generator[Piece, None, None],
        fault: Callable[[ArchiveAccessError], ArchiveFaultError],
    ) -> None:
        self._pieces = pieces
        self._fault = fault

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        try:
            return next(self._pieces)
        except ArchiveAccessError as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """Give the connection back, or close it."""
        self._pieces.close()
