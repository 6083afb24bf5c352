"""The mappings of a bucket as the sources of one listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.bucket.archive_source import ArchiveSource, OpenedAhead
from s3archivefs_lambda.bucket.archive_walk import ArchiveWalk
from s3archivefs_lambda.bucket.store_walk import Asked, StoreWalk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.archives.store_objects import StoreObjects
    from s3archivefs_lambda.bucket.walk import Span, Walk, Work
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.prefix_map import PrefixMap

__all__ = ["MappedSources"]


class MappedSources:
    """The mappings as parts of one listing."""

    def __init__(
        self,
        archives: Archives,
        mappings: PrefixMap,
        stores: Mapping[bytes, StoreObjects],
        asked: Asked,
    ) -> None:
        """Take `stores` of the mappings to a bucket's own objects, by their virtual prefixes."""
        self._archives = archives
        self._mappings = mappings
        self._stores = stores
        self._asked = asked
        self._ahead = OpenedAhead(archives)
        self._reached = b""  # the highest virtual prefix of an archive that was begun
        self.around = mappings.around
        self.first = mappings.first

    def walk(self, virtual: bytes, span: Span, work: Work) -> Walk:
        """Return the walk through what is mapped to a virtual prefix."""
        store = self._stores.get(virtual)
        if store is not None:
            return StoreWalk(self, store, self._asked, span, work)
        location = self._mappings[virtual].location
        self._reached = max(self._reached, virtual)
        get = self._ahead.take(virtual, location, self._following())
        alone = self._asked.prefix.startswith(virtual)
        may_read = self._asked.may_read
        source = ArchiveSource(
            self._archives, location, virtual, get, alone=alone, may_read=may_read
        )
        return ArchiveWalk(self, source, virtual, span, work)

    def _following(self) -> Iterator[tuple[bytes, Location]]:
        """Yield the archives behind the one reached that are listed themselves."""
        while True:
            following = self._mappings.first(self._reached + b"\0")
            if following is None or not self._asked.enters(following):
                return
            self._reached = following
            if following not in self._stores:
                yield following, self._mappings[following].location
