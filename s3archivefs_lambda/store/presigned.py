"""Objects by pre-signed URLs, with the rights of those whose they are.

S3 Object Lambda gives a function such a URL for each request: it answers what S3 would answer the
caller. botocore speaks to it as to any object, through a client that signs nothing: each of its
requests goes to the URL instead.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

from s3archivefs_lambda.store.client import make_unsigned_client
from s3archivefs_lambda.store.errors import StoreRefusedError, mapped_errors, refusals
from s3archivefs_lambda.store.objects import StoredObject, get_object, head_object
from s3archivefs_lambda.store.process_client import process_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_s3 import S3Client

__all__ = ["CLIENT", "CallersObjects"]

_BUCKET = "presigned"
"""The bucket of requests before they go to their URL."""
_SIGNED_PARAMETERS = {"ChecksumMode", "ExpectedBucketOwner", "RequestPayer", "VersionId"}
"""What a URL's signature covers: it says so itself, or it is not asked for."""

_NOT_THERE = {"NoSuchKey", "NoSuchVersion"}
"""S3's codes of what is not there. Who may not know that is told 403.

What else S3 refuses, such as a key that is too long, it may refuse before it judges rights.
"""
_PLACE = "continuation-token"
"""The parameter of a listing that holds where a page begins."""


class _Target(NamedTuple):
    url: str
    headers: Mapping[str, str]


_target: ContextVar[_Target | None] = ContextVar("s3archivefs_presigned", default=None)


def _to_target(request: Any, **_: object) -> None:  # noqa: ANN401 -- botocore's AWSPreparedRequest
    """Send a request that is about to be sent to its URL."""
    target = _target.get()
    if target is not None:
        request.url = target.url
        for name in [name for name in request.headers if name.lower().startswith("x-amz-")]:
            del request.headers[name]  # S3 refuses those that are not signed
        for name, value in target.headers.items():
            request.headers[name] = value


def _make_client() -> S3Client:
    client = make_unsigned_client()
    client.meta.events.register("before-send.s3", _to_target)
    return client


CLIENT = process_client(_make_client)
"""The client of all such URLs, made on first use."""


class CallersObjects:
    """What a caller may read, by the URL that S3 signed for its request."""

    def __init__(self, bucket: str, url: str, headers: Mapping[str, str]) -> None:
        """Take the URL, and the caller's header fields by lower-case name.

        `bucket` is for messages: the URL knows which it is.
        """
        self._bucket = bucket
        query = parse_qs(urlsplit(url).query)
        self._has_token = _PLACE in query
        signed = query.get("X-Amz-SignedHeaders", [""])[0].split(";")
        # All that are signed must be sent again, but for the host, which goes with the URL.
        self._target = _Target(
            url, {name: headers[name] for name in signed if name != "host" and name in headers}
        )

    def get(self, key: str, parameters: Mapping[str, Any]) -> StoredObject:
        """Return the answer to GetObject; see `store.objects`."""
        return get_object(cast("S3Client", self), self._bucket, key, _unsigned(parameters))

    def head(self, key: str, parameters: Mapping[str, Any]) -> StoredObject:
        """Return the answer to HeadObject, likewise."""
        client = cast("S3Client", self)
        return head_object(client, self._bucket, key, _unsigned(parameters), by_url=True)

    def check(self, operation: str, key: str) -> None:
        """Return if S3's answer says that the caller may have what is asked for.

        So does an object, that there is none, and a listing, or that its token is unknown. Raises
        StoreRefusedError for any other refusal, and ArchiveAccessError.
        """
        try:
            match operation:
                case "GetObject":
                    self.get(key, {}).body.close()
                case "HeadObject":
                    self.head(key, {})
                case _:
                    with (
                        mapped_errors(self._bucket, key),
                        refusals(concerns_request=True),
                        self._aimed(),
                    ):
                        CLIENT.list_objects_v2(Bucket=_BUCKET)
        except StoreRefusedError as error:
            is_listing = operation not in {"GetObject", "HeadObject"}
            if not (self._is_token_unknown(error) if is_listing else error.code in _NOT_THERE):
                raise

    def _is_token_unknown(self, error: StoreRefusedError) -> bool:
        """Return whether S3 has nothing against a listing but the function's own token."""
        return (
            self._has_token
            and error.code == "InvalidArgument"
            and error.elements.get("ArgumentName") == _PLACE
        )

    # ---- What `store.objects` needs of a client --------------------------------------------------

    @property
    def meta(self) -> Any:  # noqa: ANN401 -- botocore's
        """The client's."""
        return CLIENT.meta

    def get_object(self, **parameters: Any) -> Any:  # noqa: ANN401 -- botocore's
        """Ask the URL, signed for GET."""
        with self._aimed():
            return CLIENT.get_object(**parameters | {"Bucket": _BUCKET})

    def head_object(self, **parameters: Any) -> Any:  # noqa: ANN401 -- botocore's
        """Ask the URL, signed for HEAD."""
        with self._aimed():
            return CLIENT.head_object(**parameters | {"Bucket": _BUCKET})

    @contextmanager
    def _aimed(self) -> Iterator[None]:
        token = _target.set(self._target)
        try:
            yield
        finally:
            _target.reset(token)


def _unsigned(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in parameters.keys() - _SIGNED_PARAMETERS}
