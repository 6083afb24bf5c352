"""Search by name below a prefix: walks in the order of keys, part by part."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.endpoint.browsing.s3_reader import Entry
from s3archivefs_lambda.s3api.listing import MAX_KEYS, decode_token, encode_token
from s3archivefs_lambda.text import to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs_lambda.endpoint.browsing.s3_reader import S3Reader

__all__ = ["MAX_HITS", "MAX_PAGES", "Found", "search"]

MAX_PAGES = 20
"""Pages of 1,000 keys for one answer: a second or so of a thread."""
MAX_HITS = 500
"""Hits after which an answer ends."""
_MAX_HITS_LENGTH = 512 << 10
"""Characters of their keys: an archive may have far longer ones than S3."""
_MAX_LEVELS = 32
"""Directories found for one object: each has all those above in its key."""


class Found(NamedTuple):
    """What a part of the walk found."""

    hits: list[Entry]
    looked_at: int
    """Keys."""
    token: str | None
    """Where the walk goes on; None at its end."""


def search(
    reader: S3Reader,
    prefix: str,
    wanted: str,
    token: str | None,
    *,
    most_pages: int = MAX_PAGES,
    most_hits: int = MAX_HITS,
) -> Found:
    """Find objects and directories below a prefix whose name contains `wanted`, in any case.

    Raises S3Error.
    """
    wanted = wanted.casefold()
    hits: list[Entry] = []
    looked_at = size = 0
    last = _last_key(prefix, token)
    for _ in range(most_pages):
        page = reader.listing(prefix, token, delimiter="", most=MAX_KEYS)
        for entry in page.entries:
            looked_at += 1
            found = list(_hits(entry, last, len(prefix), wanted))
            hits += found
            size += sum(len(hit.key) for hit in found)
            last = entry.key
            if len(hits) >= most_hits or size > _MAX_HITS_LENGTH:
                return Found(hits, looked_at, encode_token(to_bytes(last) + b"\0"))
        token = page.token
        if token is None:
            break
    return Found(hits, looked_at, token)


def _last_key(prefix: str, token: str | None) -> str:
    """Return the key before the place of a token, as far as the token says.

    Directories that the key lies in were found with it.
    """
    place = b"" if token is None else decode_token(token)
    return to_text(place[:-1]) if place.endswith(b"\0") else prefix


def _hits(entry: Entry, last: str, start: int, wanted: str) -> Iterator[Entry]:
    """Yield what is found of an object, and of directories it is the first in."""
    *above, name = entry.key[start:].split("/")
    *known, _ = last[start:].split("/")
    is_new = False
    left = _MAX_LEVELS
    for part, before in zip_longest(above, known[: len(above)]):
        start += len(part) + 1
        is_new = is_new or part != before
        if is_new and wanted in part.casefold() and left:
            left -= 1
            yield Entry(entry.key[:start])
    if name and wanted in name.casefold():
        yield entry
