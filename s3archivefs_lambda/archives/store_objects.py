"""The objects of a bucket in the store, and the archives among them.

An object is an archive if the patterns of the mapping match its key and it is a squashfs image.
The outermost archive owns all keys that begin with its own and a slash, whatever the store has
there: so a request for a member of an open archive asks the store nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from s3archivefs import NotSquashfsError
from s3archivefs_lambda.archives.ordinary_keys import OrdinaryKeys
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.store.errors import ArchiveNotFoundError
from s3archivefs_lambda.store.key_pages import KeyPage, StoredKey, key_page
from s3archivefs_lambda.store.objects import StoredObject, get_object, head_object
from s3archivefs_lambda.store.presigned import CallersObjects
from s3archivefs_lambda.text import to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from s3archivefs_lambda.archives.archive import Archive
    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.config.prefix_map import PrefixMapping

__all__ = ["CallersObjects", "KeyPage", "StoreObjects", "StoredKey", "StoredObject"]

_LOG = logging.getLogger("s3archivefs")

_ABSENT_SECONDS = 5.0
"""Seconds, at most, for which a missing archive is not asked for again."""
_MAGIC_BYTES = 4
"""Bytes of the shortest object that can begin as an image does."""


class StoreObjects:
    """What a mapping to a bucket, or to a part of one, serves. Thread-safe."""

    def __init__(self, archives: Archives, mapping: PrefixMapping) -> None:
        """Serve what `mapping` says, which has the patterns of archives' keys."""
        assert mapping.archives is not None  # noqa: S101 -- else it is a mapping to an archive
        self.archives = archives
        """What opens them."""
        self._bucket = mapping.location.bucket
        self._patterns = mapping.archives
        self._revalidate_seconds = archives.revalidate_seconds
        self._ordinary = OrdinaryKeys(archives.clock)
        self.start = to_bytes(mapping.location.key)
        """What all keys begin with."""

    # ---- Archives --------------------------------------------------------------------------------

    def above(self, key: bytes) -> Iterator[tuple[Location, bytes]]:
        """Yield what may be archives above a key, outermost first, and its path in each."""
        for name in self._patterns.above(key):
            if self._is_served(name) and not self._ordinary.has(name):
                yield self.location(name), key[len(name) + 1 :]

    def beside(self, floor: bytes) -> Iterator[bytes]:
        """Yield the keys below `floor` that may be archives with all members above it."""
        return filter(self._is_served, self._patterns.beside(floor))

    def may_be_archive(self, found: StoredKey) -> bool:
        """Return whether a listed object may be an archive, for all that is known."""
        return (
            found.size >= _MAGIC_BYTES
            and self._patterns.match(found.key)
            and self._is_served(found.key)
            and not self._ordinary.has(found.key, found.etag)
        )

    def open(
        self,
        location: Location,
        get: Callable[[], Archive] | None = None,
        etag: str | None = None,
    ) -> Archive | None:
        """Return the archive at a location; None if there is no squashfs image.

        `get` opens it, if something does already; `etag` is the object's, if it is known. Raises
        ArchiveAccessError and SquashfsError.
        """
        key = to_bytes(location.key)
        try:
            return self.archives.get(location) if get is None else get()
        except ArchiveNotFoundError:
            self._ordinary.add(key, min(_ABSENT_SECONDS, self._revalidate_seconds), "")
        except NotSquashfsError as error:
            if self._ordinary.add(key, self._revalidate_seconds, etag):
                _LOG.warning("%s is served as an object of its own: %s", location, error)
        return None

    def location(self, key: bytes) -> Location:
        """Return where the object of that key is."""
        return Location("s3", self._bucket, to_text(key))

    def _is_served(self, name: bytes) -> bool:
        """Return whether objects of that name can exist below the mapping."""
        return name.startswith(self.start) and len(name) > len(self.start) and _is_utf_8(name)

    # ---- Objects ---------------------------------------------------------------------------------

    def get(self, key: str, parameters: Mapping[str, Any]) -> StoredObject:
        """Return the store's answer to a GetObject with these further parameters.

        Raises StoreRefusedError and ArchiveAccessError, as the next two do.
        """
        return get_object(self.archives.client, self._bucket, key, parameters)

    def head(self, key: str, parameters: Mapping[str, Any]) -> StoredObject:
        """Return the store's answer to a HeadObject, likewise."""
        return head_object(self.archives.client, self._bucket, key, parameters)

    def for_caller(self, url: str, headers: Mapping[str, str]) -> CallersObjects:
        """Return the object that a caller's URL is for, read with the caller's rights."""
        return CallersObjects(self._bucket, url, headers)

    def page(self, prefix: bytes, delimiter: bytes, floor: bytes, *, max_keys: int) -> KeyPage:
        """Return keys from `floor` on, grouped by `delimiter`: see `store.key_pages`."""
        client = self.archives.client
        return key_page(client, self._bucket, prefix, delimiter, floor, max_keys=max_keys)

    def listed(self, key: bytes) -> StoredKey | None:
        """Return an object as the store lists it, or None if there is none."""
        page = self.page(key, b"", key, max_keys=1)
        return next((found for found in page.keys[:1] if found.key == key), None)


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
