"""Which archive serves a key: virtual prefixes mapped to archive objects.

A mapping is written ``virtual/prefix|s3://bucket/prefix/object`` or
``virtual/prefix|file:///absolute/path``. It owns the keys that begin with its prefix and a ``/``
(every key, for the empty prefix); where several do, the longest prefix wins. Keys and prefixes are
str, with surrogateescape for bytes that are not UTF-8.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Location",
    "PrefixMap",
    "PrefixMapping",
    "SettingError",
    "parse_location",
    "parse_mapping",
]

_EXAMPLE = "virtual/prefix|s3://bucket/prefix/object"
_MAX_KEY_BYTES = 1024  # S3's limit for object keys
_MAX_SHOWN = 200  # characters of a faulty value repeated in a message

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IPV4_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
# Both spellings are in use, accesspoint/name and accesspoint:name; a multi-region access point has
# no region.
_ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:s3:[a-z0-9-]*:[0-9]{12}:accesspoint[/:]"
    r"[a-z0-9][a-z0-9.-]++(?<=[a-z0-9])(?=/)"
)


class SettingError(ValueError):
    """A setting that cannot be used.

    The message names the variable (or file and line, or option), the value, and what would be
    right; one line for each fault when there are several.
    """


@dataclass(frozen=True, slots=True)
class Location:
    """Where an archive is stored; str() is its URL."""

    scheme: Literal["s3", "file"]
    bucket: str
    """Bucket name or access point ARN; empty for files."""
    key: str
    """Object key, or the file's absolute path (with surrogateescape)."""

    def __str__(self) -> str:
        if self.scheme == "file":
            return "file://" + quote(os.fsencode(self.key))
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class PrefixMapping:
    """One virtual prefix and the archive behind it."""

    prefix: str
    """Without leading or trailing "/"; empty for the root."""
    location: Location
    origin: str
    """Where the mapping was written (variable, file and line, or option), for messages."""


class PrefixMap:
    """An immutable set of mappings with distinct prefixes, in byte order of the prefix.

    Whatever is asked of it takes no longer for 100,000 mappings than for one, but for a bisection.
    """

    __slots__ = ("_mappings", "_sizes", "_starts")

    def __init__(self) -> None:
        self._mappings: dict[bytes, PrefixMapping] = {}  # by what their keys start with
        self._starts: list[bytes] = []  # the same, in the order of S3's keys
        self._sizes: frozenset[int] = frozenset()  # and the lengths there are

    @classmethod
    def from_mappings(cls, mappings: Iterable[PrefixMapping]) -> Self:
        """Return the map of these mappings; SettingError where several have the same prefix."""
        by_prefix: dict[bytes, PrefixMapping] = {}
        faults = []
        for mapping in mappings:
            first = by_prefix.setdefault(_encoded(mapping.prefix), mapping)
            if first is not mapping:
                faults.append(
                    f"{mapping.origin}: the virtual prefix {_shown(mapping.prefix)} is already"
                    f" mapped by {first.origin} to {first.location}; keep one of the two"
                )
        if faults:
            raise SettingError("\n".join(faults))
        result = cls()
        result._mappings = {
            prefix + b"/" if prefix else b"": by_prefix[prefix] for prefix in sorted(by_prefix)
        }
        # Another order: `a` is before `a-b`, but `a-b/` before `a/`.
        result._starts = sorted(result._mappings)
        result._sizes = frozenset(map(len, result._starts))
        return result

    def find(self, key: str) -> tuple[PrefixMapping, str] | None:
        """Return the mapping that owns `key`, and the path inside its archive, or None.

        The path is what follows the prefix and one "/", unchanged: it begins with "/" where the
        key doubles the slash, and such a key names no member. A key equal to a prefix lies outside
        it, as an S3 key ``docs`` lies outside the prefix ``docs/``.
        """
        encoded = _encoded(key)
        starts = [*self.around(encoded)]
        if not starts:
            return None
        path = encoded[len(starts[-1]) :]
        return self._mappings[starts[-1]], path.decode("utf-8", "surrogateescape")

    # ---- As parts of one bucket ------------------------------------------------------------------
    # A mapping's keys all start with its prefix and a "/"; with nothing, for the root.

    def around(self, key: bytes) -> Iterator[bytes]:
        """Yield what the keys of those mappings start with in which `key` lies, shortest first."""
        end = 0
        while True:
            if end in self._sizes and (start := key[:end]) in self._mappings:
                yield start
            end = key.find(b"/", end) + 1
            if not end:
                return

    def first(self, floor: bytes) -> bytes | None:
        """Return the lowest start of a mapping's keys that is not below `floor`, or None."""
        at = bisect_left(self._starts, floor)
        return self._starts[at] if at < len(self._starts) else None

    def __getitem__(self, start: bytes) -> PrefixMapping:
        """Return the mapping whose keys start so."""
        return self._mappings[start]

    def __iter__(self) -> Iterator[PrefixMapping]:
        return iter(self._mappings.values())

    def __len__(self) -> int:
        return len(self._mappings)

    def __eq__(self, other: object) -> bool:
        return self._mappings == other._mappings if isinstance(other, PrefixMap) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"PrefixMap({list(self)!r})"


def parse_mapping(text: str, origin: str) -> PrefixMapping:
    """Return the mapping written in `text`; raise a SettingError naming `origin` if malformed.

    White space around the whole text is ignored. The text is divided at its first "|". Keys in
    s3:// URLs are taken literally, as the AWS CLI does; paths in file:// URLs are percent-decoded
    (RFC 8089).
    """
    prefix, separator, url = text.strip().partition("|")
    if not separator:
        raise SettingError(f'{origin}: the mapping {_shown(text)} is not of the form "{_EXAMPLE}"')
    try:
        return PrefixMapping(_parse_prefix(prefix), parse_location(url), origin)
    except SettingError as error:
        raise SettingError(f"{origin}: the mapping {_shown(text)} {error}") from None


def _parse_prefix(text: str) -> str:
    prefix = text.strip("/")
    if prefix != prefix.strip():
        raise SettingError('has white space around its virtual prefix; write "|" right after it')
    if "\0" in prefix:
        raise SettingError("has a NUL character in its virtual prefix")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise SettingError('has an empty, "." or ".." segment in its virtual prefix; remove it')
    return prefix


def parse_location(url: str) -> Location:
    """The archive at an s3:// or file:// URL; raises SettingError where it is neither."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "s3":
        return _parse_s3(rest)
    if separator and scheme == "file":
        return _parse_file(rest)
    raise SettingError("does not go to s3://bucket/prefix/object or file:///absolute/path")


def _parse_s3(rest: str) -> Location:
    if rest.startswith("arn:"):
        match = _ACCESS_POINT.match(rest)
        if not match:
            raise SettingError(
                "has a malformed access point; write"
                " s3://arn:aws:s3:region:account:accesspoint/name/object"
            )
        bucket, key = match[0], rest[match.end() + 1 :]
    else:
        bucket, _, key = rest.partition("/")
        if not _is_bucket_name(bucket):
            raise SettingError(
                f"has the bucket name {_shown(bucket)}; bucket names are 3 to 63 lower-case"
                " letters, digits, dots and hyphens, and begin and end with a letter or digit"
            )
    if not key:
        raise SettingError("names no object after the bucket")
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise SettingError("has an object key that is not UTF-8; S3 has no such keys") from None
    if len(encoded) > _MAX_KEY_BYTES:
        raise SettingError(f"has an object key of {len(encoded)} bytes; S3 allows {_MAX_KEY_BYTES}")
    return Location("s3", bucket, key)


def _parse_file(rest: str) -> Location:
    path = os.fsdecode(unquote_to_bytes(os.fsencode(rest)))
    if not path.startswith("/") or not path.strip("/") or "\0" in path:
        raise SettingError("names no absolute path of a file; file:///absolute/path is right")
    return Location("file", "", path)


def _is_bucket_name(name: str) -> bool:
    """Apply S3's rules, but for the reserved endings: access point aliases have one of them."""
    return bool(
        _BUCKET_NAME.fullmatch(name) and ".." not in name and not _IPV4_ADDRESS.fullmatch(name)
    )


def _encoded(prefix: str) -> bytes:
    """Return the bytes that S3 orders keys by."""
    return prefix.encode("utf-8", "surrogateescape")


def _shown(value: str) -> str:
    """Quote `value` on one line, cut short, without a query (a pre-signed URL's holds a secret)."""
    head, question_mark, _ = value.partition("?")
    shown = head + "?..." if question_mark else head
    return repr(shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "...")
