"""Which keys of a bucket are names of archives: patterns such as ``*.sqfs``.

A pattern is matched against a whole key, as ``--include`` of the AWS CLI is: ``*`` stands for any
characters, ``/`` too, ``?`` for one, ``[...]`` for one of a set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Self

from s3archivefs_lambda.config.errors import SettingError, shown
from s3archivefs_lambda.text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KeyPatterns"]

_MAX_KEY_BYTES = 1024
"""Bytes of an object's key, at most: S3's limit."""
_SLASHES = re.compile(b"/")
_BELOW_SLASH = re.compile(b"[\\x00-.]")
_MOST_LEVELS = 8
"""Names of archives, at most, that are looked up in one key.

A key can have 170, one within another, and each takes a request to the store.
"""


@dataclass(frozen=True, slots=True)
class KeyPatterns:
    """Patterns of keys that are names of archives."""

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise SettingError for a pattern that is the name of no archive."""
        for pattern in self.patterns:
            if not pattern or pattern.endswith("/"):
                what = "a pattern of archives' keys is not empty and does not end in a slash"
                raise SettingError(f"has the pattern {shown(pattern)}; {what}, such as *.sqfs")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the patterns that a setting names, with white space between them."""
        return cls(tuple(text.split()))

    def match(self, key: bytes) -> bool:
        """Return whether a key may be an archive's."""
        return self._fits(key) and key in self.above(key + b"/")

    def above(self, key: bytes) -> Iterator[bytes]:
        """Yield the keys that may be archives with `key` in them, the outermost first."""
        return islice(self._beginnings(key, _SLASHES), _MOST_LEVELS)

    def beside(self, key: bytes) -> Iterator[bytes]:
        """Yield the keys below `key` that may be archives with all their members above it.

        `key` begins with each of them, and goes on with a character below the slash.
        """
        above = [*self.above(key)]
        # What is further in than so many levels is looked up as the name of no archive.
        end = len(above[-1]) if len(above) == _MOST_LEVELS else len(key)
        return (each for each in self._beginnings(key, _BELOW_SLASH) if len(each) <= end)

    def _beginnings(self, key: bytes, following: re.Pattern[bytes]) -> Iterator[bytes]:
        """Yield the beginnings that fit, behind which `following` comes."""
        for found in following.finditer(key, 1, _MAX_KEY_BYTES + 1):
            if self._fits(beginning := key[: found.start()]):
                yield beginning

    def _fits(self, key: bytes) -> bool:
        if key.endswith(b"/"):
            return False
        text = to_text(key)
        return any(fnmatchcase(text, pattern) for pattern in self.patterns)
