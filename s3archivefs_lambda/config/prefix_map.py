"""Which archive serves a key: virtual prefixes mapped to archive objects.

A mapping is written ``virtual/prefix|s3://bucket/prefix/object`` or
``virtual/prefix|file:///absolute/path``. It owns the keys that begin with its prefix and a ``/``
(every key, for the empty prefix); if several do, the longest prefix wins. Keys and prefixes are
str, with surrogateescape for bytes that are not UTF-8.

A prefix of the form ``s3://BUCKET/virtual/prefix`` lies in the bucket of that name; any other, in
the one that a transport has by default.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from s3archivefs_lambda.config.errors import SettingError, shown
from s3archivefs_lambda.config.location import BUCKET_NAME_RULE, is_bucket_name, parse_location
from s3archivefs_lambda.text import to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs_lambda.config.key_patterns import KeyPatterns
    from s3archivefs_lambda.config.location import Location

__all__ = ["PrefixMap", "PrefixMapping", "maps_by_bucket", "parse_mapping", "parse_prefix"]

_EXAMPLE = "virtual/prefix|s3://bucket/prefix/object"
_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class PrefixMapping:
    """One virtual prefix and the archive, or the objects of a bucket, behind it."""

    prefix: str
    """The virtual prefix without leading or trailing "/"; empty for the root."""
    location: Location
    origin: str
    """The place where the mapping is written: variable, file and line, or option."""
    bucket: str = ""
    """The bucket that has the prefix; empty for a transport's default."""
    archives: KeyPatterns | None = None
    """Patterns of archives' keys; None for a mapping to one archive.

    With patterns, the location is that of objects: its key is what theirs begin with.
    """


class PrefixMap:
    """An immutable set of mappings with distinct prefixes, in byte order of the prefix.

    A look-up is one bisection, however many mappings there are.
    """

    __slots__ = ("_longest", "_mappings", "_sizes", "_starts")

    def __init__(self) -> None:
        self._mappings: dict[bytes, PrefixMapping] = {}  # by the start of their keys
        self._starts: list[bytes] = []  # the starts in the order of S3's keys
        self._sizes: frozenset[int] = frozenset()  # the lengths of the starts
        self._longest = 0

    @classmethod
    def from_mappings(cls, mappings: Iterable[PrefixMapping]) -> Self:
        """Return the map of these mappings; raise SettingError if two have the same prefix."""
        by_prefix: dict[bytes, PrefixMapping] = {}
        faults = []
        for mapping in mappings:
            first = by_prefix.setdefault(to_bytes(mapping.prefix), mapping)
            if first is not mapping:
                faults.append(
                    f"{mapping.origin}: the virtual prefix {shown(mapping.prefix)} is already"
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
        result._longest = max(result._sizes, default=0)
        return result

    def find(self, key: str) -> tuple[PrefixMapping, str] | None:
        """Return the mapping that owns `key`, and the path inside its archive, or None.

        The path is what follows the prefix and one "/", unchanged: it begins with "/" if the key
        doubles the slash, and such a key names no member. A key equal to a prefix lies outside
        it, as an S3 key ``docs`` lies outside the prefix ``docs/``.
        """
        encoded = to_bytes(key)
        starts = [*self.around(encoded)]
        if not starts:
            return None
        path = encoded[len(starts[-1]) :]
        return self._mappings[starts[-1]], to_text(path)

    # ---- As parts of one bucket ------------------------------------------------------------------
    # The keys of a mapping all start with its prefix and a "/"; at the root, with nothing.

    def around(self, key: bytes) -> Iterator[bytes]:
        """Yield the starts of the mappings that `key` lies in, shortest first."""
        end = 0
        while end <= self._longest:
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
        """Return the mapping whose keys have this start."""
        return self._mappings[start]

    def __iter__(self) -> Iterator[PrefixMapping]:
        return iter(self._mappings.values())

    def __len__(self) -> int:
        return len(self._mappings)

    def __eq__(self, other: object) -> bool:
        return self._mappings == other._mappings if isinstance(other, PrefixMap) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # settings are compared, and are no keys

    def __repr__(self) -> str:
        return f"PrefixMap({list(self)!r})"


def parse_mapping(text: str, origin: str) -> PrefixMapping:
    """Return the mapping written in `text`; raise a SettingError naming `origin` if malformed.

    White space around the whole text is ignored. The text is divided at its first "|".
    """
    virtual, separator, url = text.strip().partition("|")
    if not separator:
        raise SettingError(f'{origin}: the mapping {shown(text)} is not of the form "{_EXAMPLE}"')
    try:
        bucket, prefix = parse_prefix(virtual)
        return PrefixMapping(prefix, parse_location(url), origin, bucket)
    except SettingError as error:
        raise SettingError(f"{origin}: the mapping {shown(text)} {error}") from None


def maps_by_bucket(mappings: Iterable[PrefixMapping], default: str = "") -> dict[str, PrefixMap]:
    """Return the map of each bucket; `default` is the one of mappings that name none.

    Raises SettingError with a line for each prefix that is mapped twice.
    """
    found: dict[str, list[PrefixMapping]] = {}
    for mapping in mappings:
        found.setdefault(mapping.bucket or default, []).append(mapping)
    maps, faults = {}, []
    for bucket, of_bucket in found.items():
        try:
            maps[bucket] = PrefixMap.from_mappings(of_bucket)
        except SettingError as error:
            faults.append(str(error))
    if faults:
        raise SettingError("\n".join(faults))
    return maps


def parse_prefix(text: str) -> tuple[str, str]:
    """Return the bucket, empty if none is named, and the virtual prefix in it.

    Raises SettingError if the text is neither ``virtual/prefix`` nor ``s3://BUCKET/virtual/prefix``.
    """
    if not text.startswith(_SCHEME):
        return "", _checked_prefix(text)
    bucket, _, prefix = text.removeprefix(_SCHEME).partition("/")
    if not is_bucket_name(bucket):
        raise SettingError(f"is in a bucket named {shown(bucket)}; write {BUCKET_NAME_RULE}")
    return bucket, _checked_prefix(prefix)


def _checked_prefix(text: str) -> str:
    prefix = text.strip("/")
    if prefix != prefix.strip():
        raise SettingError('has white space around its virtual prefix; write "|" right after it')
    if "\0" in prefix:
        raise SettingError("has a NUL character in its virtual prefix")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise SettingError('has an empty, "." or ".." segment in its virtual prefix; remove it')
    return prefix
