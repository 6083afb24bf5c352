"""Where an archive is stored: s3:// and file:// URLs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from s3archivefs_lambda.config.errors import SettingError, shown

__all__ = [
    "BUCKET_NAME_RULE",
    "Location",
    "is_bucket_name",
    "parse_bucket_location",
    "parse_location",
]

BUCKET_NAME_RULE = (
    "3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or "
    "digit, with no two dots in a row, and not an IP address"
)
"""S3's rules for names of buckets, in words, for messages."""

_MAX_KEY_BYTES = 1024
"""Bytes of an object's key, at most: S3's limit."""
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IPV4_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
# Both spellings are in use, accesspoint/name and accesspoint:name; a multi-region access point has
# no region.
_ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:s3:[a-z0-9-]*:[0-9]{12}:accesspoint[/:]"
    r"[a-z0-9][a-z0-9.-]++(?<=[a-z0-9])(?=/)"
)


@dataclass(frozen=True, slots=True)
class Location:
    """Where an archive is stored; str() is its URL."""

    scheme: Literal["s3", "file"]
    bucket: str
    """Bucket name or access point ARN; empty for files."""
    key: str
    """Object key, or the file's absolute path (with surrogateescape)."""

    @property
    def is_local(self) -> bool:
        """Whether the archive is a file on this machine."""
        return self.scheme == "file"

    def __str__(self) -> str:
        return _file_url(self.key) if self.is_local else f"s3://{self.bucket}/{self.key}"


@lru_cache(maxsize=1024)  # each line of the request log has some
def _file_url(path: str) -> str:
    return "file://" + quote(os.fsencode(path))


def parse_location(url: str) -> Location:
    """Return the location that an s3:// or file:// URL names.

    Keys in s3:// URLs are taken literally, as the AWS CLI does; paths in file:// URLs are
    percent-decoded (RFC 8089). Raises SettingError for any other text.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "s3":
        return _parse_s3(rest)
    if separator and scheme == "file":
        return _parse_file(rest)
    raise SettingError("does not go to s3://bucket/prefix/object or file:///absolute/path")


def parse_bucket_location(url: str) -> Location:
    """Return the location of all keys that ``s3://bucket[/prefix]`` names.

    Its own key is what they begin with: empty, or ending in a slash. Raises SettingError.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "s3":
        raise SettingError("is not of the form s3://bucket or s3://bucket/prefix")
    bucket, prefix = _split_s3(rest.rstrip("/") + "/")
    if prefix:
        _check_key(prefix)
    return Location("s3", bucket, prefix)


def is_bucket_name(name: str) -> bool:
    """Return whether S3's rules allow the name.

    They reserve some endings too, which pass here: aliases of access points have one of them.
    """
    return bool(
        _BUCKET_NAME.fullmatch(name) and ".." not in name and not _IPV4_ADDRESS.fullmatch(name)
    )


def _parse_s3(rest: str) -> Location:
    bucket, key = _split_s3(rest)
    if not key:
        raise SettingError("names no object after the bucket")
    _check_key(key)
    return Location("s3", bucket, key)


def _split_s3(rest: str) -> tuple[str, str]:
    """Return bucket and key of a URL without its scheme."""
    if rest.startswith("arn:"):
        match = _ACCESS_POINT.match(rest)
        if not match:
            raise SettingError(
                "has a malformed access point; write"
                " s3://arn:aws:s3:region:account:accesspoint/name/object"
            )
        return match[0], rest[match.end() + 1 :]
    bucket, _, key = rest.partition("/")
    if not is_bucket_name(bucket):
        raise SettingError(f"has the bucket name {shown(bucket)}; write {BUCKET_NAME_RULE}")
    return bucket, key


def _check_key(key: str) -> None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise SettingError("has an object key that is not UTF-8; S3 has no such keys") from None
    if len(encoded) > _MAX_KEY_BYTES:
        raise SettingError(f"has an object key of {len(encoded)} bytes; S3 allows {_MAX_KEY_BYTES}")


def _parse_file(rest: str) -> Location:
    path = os.fsdecode(unquote_to_bytes(os.fsencode(rest)))
    if not path.startswith("/") or not path.strip("/") or "\0" in path:
        raise SettingError("names no absolute path of a file; file:///absolute/path is right")
    return Location("file", "", path)
