"""Pages of the store's keys from any place on, in their byte order."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.store.errors import (
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveUnavailableError,
    mapped_errors,
    object_url,
    refusals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.store.device import Facts

__all__ = ["KeyPage", "StoredKey", "key_page", "text_below"]

_LAST_CHARACTER = chr(0x10FFFF)
_EMPTY_PAGES = 100
"""Pages without a key, at most, that are read in a row."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the store lists it. A common prefix has the key alone."""

    key: bytes
    size: int = 0
    modified: int = 0
    """Seconds since the epoch."""
    etag: str = ""
    storage_class: str | None = None
    """None for a common prefix."""

    @property
    def is_common_prefix(self) -> bool:
        """Whether it is the beginning of keys."""
        return self.storage_class is None


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Keys and common prefixes, in order."""

    keys: tuple[StoredKey, ...]
    is_last: bool


def key_page(
    client: S3Client, bucket: str, prefix: bytes, delimiter: bytes, floor: bytes, *, max_keys: int
) -> KeyPage:
    """Return keys under `prefix`, grouped by `delimiter`, that are not below `floor`.

    The store's may be lower than `floor` by a few: those that no text names. Raises
    StoreRefusedError and ArchiveAccessError.
    """
    text, rest = _text_of(prefix)
    group, rest_of_group = _text_of(delimiter)
    parameters: dict[str, Any] = {"Prefix": text}
    if group and not rest and not rest_of_group:  # else the caller cuts keys itself
        parameters["Delimiter"] = group
    start = text_below(floor)
    if floor > text.encode():
        parameters["StartAfter"] = start
    for _ in range(_EMPTY_PAGES):
        # Of a single key, a store may return the common prefix that `start` lies in.
        answer = _list(client, bucket, {**parameters, "MaxKeys": max(max_keys, 2)})
        keys = sorted(_keys(answer), key=lambda found: found.key)
        token = answer.get("NextContinuationToken")
        is_last = not answer.get("IsTruncated") or not token
        if keys and (is_last or keys[-1].key > start.encode()):
            return KeyPage(tuple(keys), is_last=is_last)
        if is_last:
            return KeyPage((), is_last=True)
        parameters["ContinuationToken"] = token
    raise ArchiveUnavailableError.of(bucket, parameters["Prefix"], "its listing does not go on")


def text_below(floor: bytes) -> str:
    """Return text below `floor`, with next to no keys between the two.

    A listing that starts after it begins at `floor`, but for keys in which U+10FFFF follows it.
    """
    text, last = _text_of(floor)
    if not last:
        text, last = text[:-1], text[-1:].encode()
    # The order of UTF-8 is that of the characters.
    at = bisect_left(range(0x110000), last, key=_utf_8) - 1
    if at < 0:
        return text
    return text + chr(at if not _is_surrogate(at) else 0xD7FF) + _LAST_CHARACTER


def _text_of(raw: bytes) -> tuple[str, bytes]:
    """Return the longest beginning that is UTF-8, as text, and the rest."""
    try:
        return raw.decode(), b""
    except UnicodeDecodeError as error:
        return raw[: error.start].decode(), raw[error.start :]


def _utf_8(character: int) -> bytes:
    return chr(character).encode("utf-8", "surrogatepass")


def _is_surrogate(character: int) -> bool:
    return 0xD800 <= character < 0xE000


def _list(client: S3Client, bucket: str, parameters: dict[str, Any]) -> Facts:
    prefix = parameters["Prefix"]
    try:
        with mapped_errors(bucket, prefix), refusals(concerns_request=True):
            return client.list_objects_v2(Bucket=bucket, **parameters)
    except ArchiveForbiddenError as error:
        if isinstance(error, ArchiveCredentialsError):
            raise
        what = "check that the credentials allow s3:ListBucket on this bucket"
        url = object_url(bucket, prefix)
        raise ArchiveForbiddenError(f"{url}: listing it was refused; {what}") from error


def _keys(answer: Facts) -> Iterator[StoredKey]:
    contents = answer.get("Contents", [])
    if any(first["Key"].encode() >= second["Key"].encode() for first, second in pairwise(contents)):
        bucket, prefix = answer.get("Name", ""), answer.get("Prefix", "")
        raise ArchiveUnavailableError.of(bucket, prefix, "the store lists keys out of their order")
    for found in contents:
        yield StoredKey(
            found["Key"].encode(),
            found["Size"],
            int(found["LastModified"].timestamp()),
            found["ETag"],
            found.get("StorageClass", "STANDARD"),
        )
    for group in answer.get("CommonPrefixes", []):
        yield StoredKey(group["Prefix"].encode())
