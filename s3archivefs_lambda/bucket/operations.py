"""The read-only S3 operations over mapped archives: an S3 request in, an S3 response out.

Both transports call `Operations.answer`, so that they cannot differ.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from s3archivefs import (
    FileKind,
    NotCachedError,
    SquashFile,
    SquashfsError,
    Stat,
    leads_nowhere,
    may_wait,
    only_cached,
)
from s3archivefs_lambda.archives.store_objects import StoreObjects
from s3archivefs_lambda.bucket.faults import ArchiveFaultError, answer_or_error
from s3archivefs_lambda.bucket.headers import checksum_headers, member_headers, overrides
from s3archivefs_lambda.bucket.links import may_follow
from s3archivefs_lambda.bucket.listing import PAGE_STEPS, Page, page_of
from s3archivefs_lambda.bucket.passthrough import check_caller, owning_archive, passed_through
from s3archivefs_lambda.bucket.sources import MappedSources
from s3archivefs_lambda.bucket.store_walk import Asked
from s3archivefs_lambda.s3api.conditions import check_preconditions, check_version
from s3archivefs_lambda.s3api.errors import access_denied, no_such_key
from s3archivefs_lambda.s3api.key_space import climbs_out
from s3archivefs_lambda.s3api.listing import ListedObject, ListPage, ListRequest
from s3archivefs_lambda.s3api.messages import FIRST_PIECE_BYTES, S3Response, xml_response
from s3archivefs_lambda.s3api.ranges import ByteRange, apply_if_range, select_range
from s3archivefs_lambda.store.errors import ArchiveReplacedError
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs_lambda.archives.archives import Archive, Archives
    from s3archivefs_lambda.bucket.walk import Item
    from s3archivefs_lambda.config.prefix_map import PrefixMap
    from s3archivefs_lambda.s3api.listing import ListKind
    from s3archivefs_lambda.s3api.messages import Piece, S3Request

__all__ = ["Operations", "S3Operations", "ServedOperations"]

_AT_HAND_BYTES = 64 << 10
"""Bytes of an object, at most, that is read whole, and answered from memory."""
_KEY_AT_HAND = 1024
"""Characters of a key that is looked up from memory: S3's have no more."""


class S3Operations(Protocol):
    """What a transport needs: the operations by their names at S3."""

    def answer(self, operation: str, request: S3Request, /) -> S3Response:
        """Return the operation's answer, which may be an error; raise nothing."""
        ...


class ServedOperations(S3Operations, Protocol):
    """What a server with an event loop needs besides."""

    def at_hand(self, operation: str, request: S3Request, /) -> S3Response | None:
        """Return the answer if it takes neither reading nor waiting; its body is a tuple."""
        ...


class Operations:
    """The read-only S3 operations over the archives of one virtual bucket."""

    def __init__(
        self,
        archives: Archives,
        bucket: str = "archive",
        *,
        mappings: PrefixMap | None = None,
        page_steps: int = PAGE_STEPS,
    ) -> None:
        """`bucket` is the name that listings give; `page_steps` bounds the work on a page.

        Buckets with `mappings` of their own may share the archives.
        """
        self._archives = archives
        self._mappings = archives.mappings if mappings is None else mappings
        self._stores = {
            store.start: store
            for mapping in self._mappings
            if mapping.archives is not None
            for store in [StoreObjects(archives, mapping)]
        }
        self._bucket = bucket
        self._page_steps = page_steps
        self._operations: dict[str, Callable[[S3Request], S3Response]] = {
            "GetObject": self._get_object,
            "HeadObject": self._head_object,
            "ListObjectsV2": self._list_objects_v2,
            "ListObjects": self._list_objects,
            "ListObjectVersions": self._list_object_versions,
        }

    def answer(self, operation: str, request: S3Request) -> S3Response:
        """Answer GetObject, HeadObject, ListObjectsV2, ListObjects or ListObjectVersions.

        A body reads from the archive while it is iterated. Every fault is an error: in the response
        or, amid a body, the S3Error that its iterator raises.
        """
        return answer_or_error(operation, self._operations[operation], request)

    def at_hand(self, operation: str, request: S3Request) -> S3Response | None:
        """Answer from memory, in some 100 microseconds; None where that cannot be.

        It cannot for listings, objects of more than 64 KiB and symlinks, cached or not.
        """
        try:
            with only_cached():
                return self.answer(operation, request)
        except NotCachedError:
            return None

    # ---- Objects ---------------------------------------------------------------------------------

    def _get_object(self, request: S3Request) -> S3Response:
        return self._object(request, with_body=True)

    def _head_object(self, request: S3Request) -> S3Response:
        return self._object(request, with_body=False)

    def _object(self, request: S3Request, *, with_body: bool) -> S3Response:
        """Answer from the archive that owns the key; if replaced, from its new version.

        A key that no archive owns is the store's own, where one is mapped.
        """
        key = request.key
        if len(key) > _KEY_AT_HAND and not may_wait():
            raise NotCachedError
        found = self._mappings.find(key)
        if found is None:
            check_version(request.query)
            raise no_such_key(key)
        mapping, path = found
        location = mapping.location
        if mapping.archives is not None:
            if climbs_out(path):
                raise no_such_key(key)
            store = self._stores[to_bytes(location.key)]
            owner = owning_archive(store, key)
            if owner is None:
                return passed_through(store, request, with_body=with_body)
            check_caller(store, "GetObject" if with_body else "HeadObject", request)
            location, path = owner
        check_version(request.query)
        if not _is_literal(path):
            raise no_such_key(key)
        for last_try in (False, True):
            archive = None
            try:
                archive = self._archives.get(location)
                return self._member(archive, path, request, with_body=with_body)
            except (OSError, SquashfsError) as error:
                if isinstance(error, OSError) and leads_nowhere(error):
                    raise no_such_key(key) from error
                if archive is not None and isinstance(error, ArchiveReplacedError):
                    self._archives.discard(archive)
                    if not last_try:
                        continue
                raise ArchiveFaultError(error, location, key) from error
        raise AssertionError  # the second try returns or raises

    def _member(
        self, archive: Archive, path: str, request: S3Request, *, with_body: bool
    ) -> S3Response:
        start = request.key.removesuffix(path)
        may_read = request.may_read
        if may_read is not None and not may_follow(archive.image, start, path, may_read):
            raise access_denied()
        stat = archive.image.stat(path)
        if stat.kind is not FileKind.FILE:
            raise no_such_key(request.key)
        etag, headers = member_headers(archive.identity, path, stat)
        check_preconditions(request.headers, etag, stat.mtime)
        part = select_range(apply_if_range(request, etag), stat.size)
        wanted = part or ByteRange(0, stat.size)
        if request.query:
            headers |= overrides(request)
        headers["Content-Length"] = str(wanted.stop - wanted.start)
        if part is not None:
            headers["Content-Range"] = part.content_range(stat.size)
        else:
            headers |= checksum_headers(archive.image, stat, request)
        response = S3Response(status=200 if part is None else 206, headers=headers)
        if with_body and wanted.stop > wanted.start:
            if stat.size <= _AT_HAND_BYTES and (part is None or not may_wait()):
                content = archive.image.read_bytes(path)
                response.body = (content[wanted.start : wanted.stop],)
                return response
            if not may_wait():
                raise NotCachedError
            file = archive.image.open(path)
            file.seek(wanted.start)
            file.will_read(wanted.stop)
            # The first piece is read before the answer begins, while a fault can still become an
            # error response. It ends where a block does, so the others are whole blocks.
            length = FIRST_PIECE_BYTES - wanted.start % FIRST_PIECE_BYTES
            first = file.read(min(length, wanted.stop - wanted.start))
            response.body = self._pieces(archive, file, first, wanted.stop, request.key)
        return response

    def _pieces(
        self, archive: Archive, file: SquashFile, first: bytes, stop: int, key: str
    ) -> Iterator[Piece]:
        """Yield the first piece of a body, then read and yield the others."""
        with file:
            yield first
            try:
                yield from file.pieces(stop)
            except (OSError, SquashfsError) as error:
                if isinstance(error, ArchiveReplacedError):
                    self._archives.discard(archive)
                raise ArchiveFaultError(error, archive.location, key) from error

    # ---- Listings --------------------------------------------------------------------------------

    def _list_objects_v2(self, request: S3Request) -> S3Response:
        return self._list(request, 2)

    def _list_objects(self, request: S3Request) -> S3Response:
        return self._list(request, 1)

    def _list_object_versions(self, request: S3Request) -> S3Response:
        return self._list(request, "versions")

    def _list(self, request: S3Request, kind: ListKind) -> S3Response:
        if not may_wait():
            raise NotCachedError
        asked = ListRequest.parse(request.query, kind)
        for store in self._stores.values():
            check_caller(store, "ListObjects", request)
        found = Page([], None)
        if asked.max_keys and asked.floor is not None:
            found = page_of(
                MappedSources(
                    self._archives,
                    self._mappings,
                    self._stores,
                    Asked(asked.prefix, asked.delimiter, asked.max_keys, request.may_read),
                ),
                asked.prefix,
                asked.delimiter,
                asked.floor,
                max_items=asked.max_keys,
                steps=self._page_steps,
            )
        page = ListPage(
            bucket=self._bucket,
            request=asked,
            objects=_listed(found.items),
            common_prefixes=[item.key for item in found.items if item.stat is None],
            continues_at=found.continues_at,
        )
        return xml_response(page.to_xml())


def _listed(items: Iterable[Item]) -> list[ListedObject]:
    """Return the objects among the items of a page."""
    listed: list[ListedObject] = []
    for source, of_source in groupby(items, attrgetter("source")):
        if source is None:
            listed += (item.stat for item in of_source if isinstance(item.stat, ListedObject))
            continue
        found = [(item.key, item.stat) for item in of_source if isinstance(item.stat, Stat)]
        etags = source.etags(stat for _, stat in found)
        listed += (
            ListedObject(key, stat.size, stat.mtime, etag)
            for (key, stat), etag in zip(found, etags, strict=True)
        )
    return listed


def _is_literal(path: str) -> bool:
    """Return whether a listing spells the path so: S3's keys are literal, never tidied."""
    return not any(part in {"", ".", ".."} for part in path.split("/"))
