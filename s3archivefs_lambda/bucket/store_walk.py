"""The objects of a bucket in the store and the archives among them, in order.

The store lists the object `a.sqfs` where its key lies, but the keys of its members all begin with
`a.sqfs/`, and `a.sqfs-old` lies between the two (`-` < `/`). So an archive is held back until all
keys are through that are below its members', as `bucket.key_order` holds back a directory. A
listing that starts between the two looks the archive up by itself.

An archive is opened as the walk comes to its object, for only then is it known whether that is an
image; unless all its members are in one common prefix, which is listed unopened where the object's
size is an image's.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.bucket.archive_source import ArchiveSource, OpenedAhead
from s3archivefs_lambda.bucket.faults import ArchiveFaultError
from s3archivefs_lambda.bucket.passthrough import refusal
from s3archivefs_lambda.bucket.walk import Item
from s3archivefs_lambda.s3api.key_space import MAX_KEY_BYTES, end_of, is_below
from s3archivefs_lambda.s3api.listing import ListedObject
from s3archivefs_lambda.store.errors import ArchiveAccessError, StoreRefusedError
from s3archivefs_lambda.text import to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from s3archivefs_lambda.archives.store_objects import StoredKey, StoreObjects
    from s3archivefs_lambda.bucket.walk import Sources, Span, Work
    from s3archivefs_lambda.config.location import Location

__all__ = ["Asked", "StoreWalk"]

_STEPS_OF_REQUEST = 200
"""Steps for a request to the store: as many as for an archive opened."""
_PADDED_BYTES = 4096
"""Bytes to a multiple of which tools pad images, unless they are told not to."""
_MAX_KEYS = 1000
"""Keys on a page of the store's, at most."""


class Asked(NamedTuple):
    """What a listing is asked for."""

    prefix: bytes
    delimiter: bytes
    """Empty for none."""
    max_items: int
    may_read: Callable[[str], bool] | None = None
    """Tells whether its asker may read a key; None if that may be any."""

    def enters(self, virtual: bytes) -> bool:
        """Return whether keys behind a virtual prefix are listed, not their common prefix alone."""
        if not virtual.startswith(self.prefix):
            return False
        return not self.delimiter or self.delimiter not in virtual[len(self.prefix) :]


class StoreWalk:
    """A walk through a bucket's objects, with the interface of `ArchiveWalk`."""

    def __init__(
        self,
        sources: Sources,
        store: StoreObjects,
        asked: Asked,
        span: Span,
        work: Work,
    ) -> None:
        self._sources = sources
        self._store = store
        self._asked = asked
        self._prefix = max(asked.prefix, store.start)  # one begins with the other
        self._span = span
        self._work = work
        self._ahead = OpenedAhead(store.archives)
        self._held_back: list[tuple[bytes, ArchiveSource]] = []
        self._is_begun = False
        self._keys: Sequence[StoredKey] = ()
        self._at = 0  # of the next key
        self._begun_to = 0  # up to there, archives among the keys are opened ahead
        self._next_page: bytes | None = b""  # where it begins; None if there is none
        self._clear_until: bytes | None = b""  # no mapping in this one starts before that key
        self.floor = store.start
        """Keys below it are passed over."""
        self.seek(span.floor)

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""
        self.floor = max(self.floor, floor)
        if (nested := self._mapping_around(self.floor)) is not None:
            self.floor = end_of(nested) or self.floor
        while self._held_back and is_below(self._held_back[0][0], floor):
            heappop(self._held_back)

    def next(self) -> Item | None:
        """Return the next object, common prefix or archive; None at the end.

        An archive is an Item with its virtual prefix and its source. If the work is used up, return
        a key alone: all keys below it are dealt with. Raises S3Error.
        """
        try:
            return self._next()
        except StoreRefusedError as error:
            raise refusal(error) from error
        except ArchiveAccessError as error:
            place = self._store.location(self._prefix)
            raise ArchiveFaultError(error, place, to_text(self._prefix)) from error

    def following(self, end: bytes | None, most: int) -> list[Item]:  # noqa: ARG002 -- as `Walk` has it
        """Return none: the store takes far longer than to find them one by one."""
        return []

    def _next(self) -> Item | None:
        if not self._is_begun:
            self._is_begun = True
            self._begin()
        while True:
            if self._held_back and self._held_back[0][0] <= self.floor:
                return self._archive()
            if self._span.end is not None and self.floor >= self._span.end:
                return None
            found = self._peek()
            if found is None and self._next_page is not None:
                if self._is_used_up(self.floor):
                    return Item(self.floor)
                self._fetch()
            elif self._held_back and (found is None or self._held_back[0][0] <= found.key):
                return self._archive()
            elif found is None:
                return None
            elif (item := self._item(found)) is not None:
                return item

    def _item(self, found: StoredKey) -> Item | None:
        """Pass over a key; return its object, or None.

        If the work is used up, stay, and return the key alone.
        """
        if (nested := self._nested_mapping(found.key)) is not None:
            self.floor = end_of(nested) or self.floor
            return None
        if self._is_used_up(found.key):
            return Item(found.key)
        self.floor = found.key + b"\0"
        self._at += 1
        return None if self._hold_back(found) else Item(found.key, _listed(found))

    # ---- Archives --------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Look up the archives whose objects lie below the floor, but not all their members."""
        for location, _ in self._store.above(self.floor):
            virtual = to_bytes(location.key) + b"/"
            if self._mapping_around(virtual) is None and self._open(
                source := self._source(virtual)
            ):
                heappush(self._held_back, (virtual, source))
                break  # it owns what lies in it
        owner = self._held_back[0][0] if self._held_back else None
        for name in self._store.beside(self.floor):
            virtual = name + b"/"
            if virtual.startswith(self._prefix) and (
                owner is None or not virtual.startswith(owner)
            ):
                found = self._store.listed(name)
                if found is not None and self._mapping_around(virtual) is None:
                    self._hold_back(found)

    def _hold_back(self, found: StoredKey) -> bool:
        """Hold the archive back that an object is; return False if the object is none."""
        virtual = found.key + b"/"
        if not self._store.may_be_archive(found):
            return False
        if self._mapping_around(virtual) is not None:
            return True  # the mapping shows what is there
        is_opened = self._is_opened(found)
        source = self._source(virtual, found.etag, is_opened=is_opened)
        if is_opened and not self._open(source):
            return False
        heappush(self._held_back, (virtual, source))
        return True

    def _source(
        self, virtual: bytes, etag: str | None = None, *, is_opened: bool = True
    ) -> ArchiveSource:
        location = self._store.location(virtual.removesuffix(b"/"))
        get = self._ahead.take(virtual, location, self._following()) if is_opened else None
        return ArchiveSource(
            self._store.archives,
            location,
            virtual,
            partial(self._store.open, location, get, etag),
            alone=self._prefix.startswith(virtual),
            may_read=self._asked.may_read,
        )

    def _open(self, source: ArchiveSource) -> bool:
        """Return whether there is an archive, which the listing may yet have to go without."""
        source.image()
        if source.is_absent:
            self._work.count(_STEPS_OF_REQUEST)
        return not source.is_absent

    def _following(self) -> Iterator[tuple[bytes, Location]]:
        """Yield the archives among the keys at hand that are opened, each once."""
        for at in range(max(self._at, self._begun_to), len(self._keys)):
            self._begun_to = at + 1
            found = self._keys[at]
            if self._store.may_be_archive(found) and self._is_opened(found):
                yield found.key + b"/", self._store.location(found.key)

    def _is_opened(self, found: StoredKey) -> bool:
        """Return whether what may be an archive is opened to see if it is one."""
        return self._asked.enters(found.key + b"/") or found.size % _PADDED_BYTES > 0

    def _archive(self) -> Item:
        virtual, source = heappop(self._held_back)
        self.floor = max(self.floor, end_of(virtual) or b"")
        return Item(virtual, source=source)

    # ---- Keys ------------------------------------------------------------------------------------

    def _peek(self) -> StoredKey | None:
        """Return the lowest key at hand that is not below the floor."""
        while self._at < len(self._keys):
            found = self._keys[self._at]
            if self._span.end is not None and found.key >= self._span.end:
                self._keys, self._next_page = (), None  # the store knows text prefixes only
            elif found.key >= self.floor:
                return found
            else:
                self._work.count()
                self._at += 1
        return None

    def _fetch(self) -> None:
        """Ask the store for the next keys.

        No text of the request is longer than a key can be: its URL would be too long.
        """
        if len(self._prefix) > MAX_KEY_BYTES:
            self._keys, self._next_page = (), None
            return
        self._work.count(_STEPS_OF_REQUEST)
        delimiter, floor = self._asked.delimiter, max(self.floor, self._next_page or b"")
        if len(floor) > MAX_KEY_BYTES:
            floor = floor[:MAX_KEY_BYTES] + b"\0"  # no key lies between the two
        page = self._store.page(
            self._prefix,
            delimiter if len(delimiter) <= MAX_KEY_BYTES else b"",
            floor,
            # One more than are listed tells whether others follow.
            max_keys=min(self._asked.max_items + 1, _MAX_KEYS),
        )
        self._keys = page.keys
        self._at = self._begun_to = 0
        if page.is_last:
            self._next_page = None
        else:
            last = page.keys[-1]
            self._next_page = end_of(last.key) if last.is_common_prefix else last.key + b"\0"

    def _is_used_up(self, key: bytes) -> bool:
        """Return whether the page must end at a key: never where it began."""
        return self._work.left <= 0 and key > self._span.floor

    def _nested_mapping(self, key: bytes) -> bytes | None:
        """Return the longer virtual prefix that a key starts with; keys must ascend."""
        if self._clear_until is None or key < self._clear_until:
            return None
        nested = self._mapping_around(key)
        if nested is None:
            self._clear_until = self._sources.first(key)
        return nested

    def _mapping_around(self, key: bytes) -> bytes | None:
        around = self._sources.around(key)
        return next((each for each in around if len(each) > len(self._store.start)), None)


def _listed(found: StoredKey) -> ListedObject:
    """Return a key as it is listed; of a common prefix the key alone matters."""
    storage_class = found.storage_class or "STANDARD"
    return ListedObject(found.key, found.size, found.modified, found.etag, storage_class)
