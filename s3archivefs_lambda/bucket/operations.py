"""GetObject, HeadObject and ListObjects over mapped archives: an S3 request in, an S3 response
out.

Both transports call these, so that they cannot differ. Every failure is an S3Error; for what the
operator must know of it there is one log line.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import FileKind, SquashFile, SquashfsError
from s3archivefs_lambda.archives.open_ahead import OPEN_AHEAD_THREADS
from s3archivefs_lambda.bucket.archive_walk import PATH_FAULTS
from s3archivefs_lambda.bucket.headers import object_headers, overrides
from s3archivefs_lambda.bucket.listing import PAGE_STEPS, Page, page_of
from s3archivefs_lambda.s3api.listing import ListedObject, ListPage, ListRequest
from s3archivefs_lambda.s3api.messages import (
    ByteRange,
    S3Error,
    S3Request,
    S3Response,
    apply_if_range,
    check_preconditions,
    check_version,
    no_such_key,
    select_range,
    xml_response,
)
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveThrottledError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.archives.archives import Archive, Archives
    from s3archivefs_lambda.config.location import Location

__all__ = ["Operations"]

_LOG = logging.getLogger("s3archivefs")

_PIECE = 4 << 20
"""Bytes read at once while a body streams: enough blocks to decompress in parallel, and a bound on
memory.
"""
_FIRST_PIECE = 1 << 20
"""And at first: the client is waiting, and what comes next is fetched at the same time."""


class Operations:
    """The read-only S3 operations over the archives of one virtual bucket."""

    def __init__(
        self, archives: Archives, bucket: str = "archive", *, page_steps: int = PAGE_STEPS
    ) -> None:
        self._archives = archives
        self._page_steps = page_steps
        self.bucket = bucket
        """The name that listings give."""

    # ---- objects ---------------------------------------------------------------------------------

    def get_object(self, request: S3Request) -> S3Response:
        """The object of `request.key`, or the range of it that was asked for; the body reads as it
        is iterated.

        Raises S3Error.
        """
        return self._answer(request, with_body=True)

    def head_object(self, request: S3Request) -> S3Response:
        """As get_object, without the body.

        Raises S3Error.
        """
        return self._answer(request, with_body=False)

    def _answer(self, request: S3Request, *, with_body: bool) -> S3Response:
        """The answer from the archive that owns the key; where that is replaced meanwhile, from its
        new version.
        """
        key = request.key
        check_version(request.query)
        found = self._archives.mappings.find(key)
        if found is None or not _is_literal(found[1]):
            raise no_such_key(key)
        location = found[0].location
        for last_try in (False, True):
            archive = None
            try:
                archive = self._archives.get(location)
                return self._object(archive, found[1], request, with_body=with_body)
            except (OSError, SquashfsError) as error:
                if isinstance(error, OSError) and error.errno in PATH_FAULTS:
                    raise no_such_key(key) from error
                if archive is not None and isinstance(error, ArchiveReplacedError):
                    self._archives.discard(archive)
                    if not last_try:
                        continue
                raise _as_s3_error(error, location, key) from error
        raise AssertionError  # the second try returns or raises

    def _object(
        self, archive: Archive, path: str, request: S3Request, *, with_body: bool
    ) -> S3Response:
        stat = archive.image.stat(path)
        if stat.kind is not FileKind.FILE:
            raise no_such_key(request.key)
        etag = archive.etag(stat)
        check_preconditions(request.headers, etag, stat.mtime)
        part = select_range(apply_if_range(request, etag), stat.size)
        wanted = part or ByteRange(0, stat.size)
        headers = object_headers(path, stat, etag) | overrides(request)
        headers["Content-Length"] = str(wanted.stop - wanted.start)
        if part is not None:
            headers["Content-Range"] = part.content_range(stat.size)
        response = S3Response(status=200 if part is None else 206, headers=headers)
        if with_body and wanted.stop > wanted.start:
            file = archive.image.open(path)
            file.seek(wanted.start)
            file.will_read(wanted.stop)
            # The first piece is read before the answer begins, while a fault can still become an
            # error response.
            first = file.read(_piece_length(wanted.start, wanted.stop, _FIRST_PIECE))
            response.body = self._body(archive, file, first, wanted.stop, request.key)
        return response

    def _body(
        self, archive: Archive, file: SquashFile, piece: bytes, stop: int, key: str
    ) -> Iterator[bytes]:
        """The pieces of a body. A fault on the way breaks it off: its status has been sent."""
        with file:
            while True:
                yield piece
                if file.tell() >= stop:
                    return
                try:
                    piece = file.read(_piece_length(file.tell(), stop, _PIECE))
                except (OSError, SquashfsError) as error:
                    if isinstance(error, ArchiveReplacedError):
                        self._archives.discard(archive)
                    raise _as_s3_error(error, archive.location, key) from error

    # ---- listings --------------------------------------------------------------------------------

    def list_objects_v2(self, request: S3Request) -> S3Response:
        """A page of keys and common prefixes.

        Raises S3Error.
        """
        return self._list(ListRequest.parse(request.query, version=2))

    def list_objects(self, request: S3Request) -> S3Response:
        """The same, as version 1 of the operation asks and says it.

        Raises S3Error.
        """
        return self._list(ListRequest.parse(request.query, version=1))

    def _list(self, asked: ListRequest) -> S3Response:
        found = Page([], None)
        if asked.max_keys and asked.floor is not None:
            sources = _Sources(self._archives, asked.prefix, asked.delimiter)
            found = page_of(
                sources,
                asked.prefix,
                asked.delimiter,
                asked.floor,
                max_items=asked.max_keys,
                steps=self._page_steps,
            )
        page = ListPage(
            bucket=self.bucket,
            request=asked,
            objects=[
                ListedObject(key, stat.size, stat.mtime, source.etag(stat))
                for key, stat, source in found.items
                if stat is not None and source is not None
            ],
            common_prefixes=[item.key for item in found.items if item.stat is None],
            continues_at=found.continues_at,
        )
        return xml_response(page.to_xml())


class _Sources:
    """The mappings as parts of one listing."""

    def __init__(self, archives: Archives, listed: bytes, delimiter: bytes) -> None:
        self._archives = archives
        self._mappings = archives.mappings
        self._listed = listed
        self._delimiter = delimiter
        self._begun: dict[bytes, Callable[[], Archive]] = {}
        self._window = 0  # how many are to be begun
        self._reached = b""  # by those
        self.around = self._mappings.around
        self.first = self._mappings.first

    def source(self, virtual: bytes) -> _Source:
        """The archive that is mapped there."""
        location = self._mappings[virtual].location
        alone = self._listed.startswith(virtual)
        get = self._begun.pop(virtual, None) or partial(self._archives.get, location)
        self._open_ahead(virtual)
        return _Source(self._archives, location, virtual, get, alone=alone)

    def _open_ahead(self, virtual: bytes) -> None:
        """Begin to open archives that come behind this one: none behind the first, with which most
        pages end, and each time twice as many.
        """
        self._reached = max(self._reached, virtual)
        while len(self._begun) < self._window:
            following = self._mappings.first(self._reached + b"\0")
            if following is None or not self._is_entered(following):
                return
            self._begun[following] = self._archives.begin(self._mappings[following].location)
            self._reached = following
        self._window = min(max(1, 2 * self._window), OPEN_AHEAD_THREADS)

    def _is_entered(self, virtual: bytes) -> bool:
        """Whether an archive's own keys are listed, not only a common prefix that they all have."""
        if not virtual.startswith(self._listed):
            return False
        return not self._delimiter or self._delimiter not in virtual[len(self._listed) :]


class _Source:
    """An archive as a part of one listing."""

    def __init__(
        self,
        archives: Archives,
        location: Location,
        virtual: bytes,
        get: Callable[[], Archive],
        *,
        alone: bool,
    ) -> None:
        self.walk_depth = archives.limits.walk_depth
        self._archives = archives
        self._location = location
        self._virtual = virtual
        self._get = get
        self._alone = alone
        self._archive: Archive | None = None

    def image(self) -> SquashFS | None:
        """The archive's image. A listing across many goes without one that has no keys to list, and
        will have none until somebody mends it. Any other fault fails the listing, for clients take
        a key that is not listed for deleted (`aws s3 sync --delete`).
        """
        try:
            self._archive = self._get()
        except (OSError, SquashfsError) as error:
            failure = self.failure(error)
            if self._alone or not _is_lasting(error):
                raise failure from error
            return None
        return self._archive.image

    def etag(self, stat: Stat) -> str:
        """The ETag of a member of the archive, once it is open."""
        assert self._archive is not None  # noqa: S101 -- its members come from its image
        return self._archive.etag(stat)

    def failure(self, error: OSError | SquashfsError) -> S3Error:
        """What fails the listing where the open archive cannot be read."""
        if self._archive is not None and isinstance(error, ArchiveReplacedError):
            self._archives.discard(self._archive)
        return _as_s3_error(error, self._location, self._virtual.decode("utf-8", "replace"))


def _piece_length(start: int, stop: int, size: int) -> int:
    """Bytes up to the next multiple of `size`: pieces end where blocks do."""
    return min(size - start % size, stop - start)


# A key names a member only as the listing would: S3's keys are literal, not paths to be tidied.


def _is_literal(path: str) -> bool:
    return not any(part in {"", ".", ".."} for part in path.split("/"))


# ---- Faults --------------------------------------------------------------------------------------


def _is_lasting(error: OSError | SquashfsError) -> bool:
    """Whether the fault is the archive's own and stays until somebody mends it."""
    lasting = (ArchiveNotFoundError, ArchiveForbiddenError, SquashfsError)
    return isinstance(error, lasting) and not isinstance(error, ArchiveCredentialsError)


def _as_s3_error(error: OSError | SquashfsError, location: Location, key: str) -> S3Error:
    """What the client is told of a fault of the archive; the operator gets one log line that says
    more.
    """
    names_archive = isinstance(error, ArchiveAccessError)
    _LOG.error("%s (key %r)", error if names_archive else f"{location}: {error}", key)
    match error:
        case ArchiveNotFoundError():
            return no_such_key(key)
        case ArchiveForbiddenError():
            return S3Error("AccessDenied", 403, "Access Denied")
        case ArchiveThrottledError():
            return S3Error("SlowDown", 503, "Please reduce your request rate.")
        case OSError():
            message = "The archive cannot be read at the moment. Please try again."
            return S3Error("ServiceUnavailable", 503, message)
        case _:
            message = "We encountered an internal error. Please try again."
            return S3Error("InternalError", 500, message)
