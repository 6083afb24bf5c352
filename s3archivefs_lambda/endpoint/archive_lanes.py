"""The lanes of requests: by their archive, and by the store that has it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.messages import Lane
from s3archivefs_lambda.text import to_bytes, to_text

if TYPE_CHECKING:
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping

__all__ = ["NO_ARCHIVE", "ArchiveLanes"]

NO_ARCHIVE = Lane("", "", is_local=True)
"""The lane of requests that ask no archive."""

_LOCAL = "file:"  # no bucket's name


class ArchiveLanes:
    """Finds the lane of an object or a listing by the mappings."""

    def __init__(self, mappings: PrefixMap) -> None:
        self._mappings = mappings
        # A listing across archives is as slow as the slowest of them.
        stores = {_store(mapping.location) for mapping in mappings}
        store = stores.pop() if len(stores) == 1 else "several stores"
        self._several = Lane("several archives", store, is_local=store == _LOCAL)

    def of_object(self, key: str) -> Lane:
        """Return the lane in which an object is read: its archive's, if in one."""
        found = self._mappings.find(key)
        if found is None:
            return NO_ARCHIVE
        mapping, _ = found
        lane = _lane(mapping)
        if mapping.archives is not None:
            for archive in mapping.archives.above(to_bytes(key)):
                return replace(lane, name=f"s3://{lane.store}/{to_text(archive)}")
        return lane

    def of_listing(self, prefix: str) -> Lane:
        """Return the lane in which keys that begin with `prefix` are listed."""
        listed = to_bytes(prefix)
        inside = self._mappings.first(listed)
        if inside == listed:  # the archive that has all of it, unless others lie in it
            inside = self._mappings.first(listed + b"\0")
        if inside is not None and inside.startswith(listed):
            return self._several
        return self.of_object(prefix)


def _lane(mapping: PrefixMapping) -> Lane:
    store = _store(mapping.location)
    return Lane(str(mapping.location), store, is_local=store == _LOCAL)


def _store(location: Location) -> str:
    return _LOCAL if location.is_local else location.bucket
