"""The kernel's requests as calls of operations, and what these return as answers."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs.cached_only import NotCachedError
from s3archivefs.errors import SquashfsError
from s3archivefs.mount.lanes import NO_LANE
from s3archivefs.mount.protocol import (
    ATTRIBUTES,
    DAY_SECONDS,
    ENTRY,
    FLUSHLESS,
    KEEP_CACHE,
    OPENED,
    READ_IN,
    RELEASE_IN,
    REQUEST_HEADER,
    STATISTICS,
    XATTR_IN,
    XATTR_SIZE,
    Feature,
    Opcode,
    entry_and_attributes,
    name_entry,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.inode import Stat
    from s3archivefs.mount.branches import Listed
    from s3archivefs.mount.operations import Operations

__all__ = ["Answer", "Handler", "Handlers", "Route"]

Answer: TypeAlias = "bytes | list[bytes | memoryview]"
Handler: TypeAlias = "Callable[[int, bytes], Answer]"
"""A function from a node and a whole request to the body of the answer."""

_BODY = REQUEST_HEADER.size
_XATTR_NAME = _BODY + XATTR_IN.size
_BLOCK = 4096  # bytes, in statfs(2)
_SECTOR = 512  # bytes, in st_blocks
_NAME_MAX = 256  # bytes, as squashfs has it
_TARGET_MAX = 4095  # bytes, that a page holds with a NUL
_STREAMS_MAX = 32  # listings that are read on without a search for the place
_NO_ENTRY = ENTRY.pack(0, 0, DAY_SECONDS, *([0] * (len(ENTRY.unpack(bytes(ENTRY.size))) - 3)))
"""What says that there is no such name, for as long as names are kept."""
_NO_ATTRIBUTES = (0,) * 22
_TRUSTED = b"trusted."
_ROOT_USER = 0
_FAULTS = (SquashfsError, OSError, NotCachedError)


class Route(NamedTuple):
    """How a request is answered that may have to wait."""

    archive: int
    """The index of the archive that it waits for."""
    lane: int
    """What is answered one at a time, in order; or `NO_LANE`."""
    answer: Callable[[], Answer]
    undo: Callable[[Answer], object] = lambda _: None
    """Undoes what an answer gives that the kernel does not get."""


class Handlers:
    """The handlers of requests, over the operations of one tree."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._needs_open = operations.is_distant
        self._features = Feature(0)
        self._streams: dict[tuple[int, int, bool], tuple[Listed, Iterator[Listed]]] = {}
        """Listings between two requests, by directory, place, and whether they have attributes.

        Of each the entry that the last answer had no room for, and those behind it.
        """

    def agree(self, offered: Feature) -> Feature:
        """Return the features to use of what the kernel offers; called once, at first."""
        self._features = offered
        return offered

    def by_opcode(self) -> dict[int, Handler]:
        """Return the handlers by the requests' opcodes; all other requests are not implemented."""
        handlers: dict[int, Handler] = {
            Opcode.LOOKUP: self.look_up,
            Opcode.GETATTR: self.attributes,
            Opcode.READLINK: self.target,
            Opcode.OPEN: self.open,
            Opcode.READ: self.read,
            Opcode.STATFS: self.statistics,
            Opcode.RELEASE: self.close,
            Opcode.OPENDIR: self.open_directory,
            Opcode.READDIR: self.names,
            Opcode.READDIRPLUS: self.names_and_attributes,
        }
        if self._operations.has_xattrs:
            handlers |= {Opcode.GETXATTR: self.xattr, Opcode.LISTXATTR: self.xattrs}
        return handlers

    def route(self, handler: Handler, node: int, request: bytes) -> Route:
        """Return how to answer a request; ask in their order.

        Reads in sequence go by the handle, one at a time. All others go beside it, at once.
        """
        archive = self._operations.archive_of(node)
        if handler == self.open:
            return Route(archive, NO_LANE, partial(handler, node, request), self._close_opened)
        if handler != self.read:
            return Route(archive, NO_LANE, partial(handler, node, request))
        handle, start, size = READ_IN.unpack_from(request, _BODY)
        if handle and not self._operations.continues(handle, start, size):
            handle = NO_LANE
        return Route(archive, handle, partial(self._operations.read, node, start, size, handle))

    # ---- names and attributes --------------------------------------------------------------------

    def look_up(self, node: int, request: bytes) -> Answer:
        """Answer LOOKUP. The kernel keeps it too that there is no such name."""
        found = self._operations.look_up(node, _text(request, _BODY))
        if found is None:
            return _NO_ENTRY
        attributes = _attributes(found.inode_number, found.stat, found.hole_bytes)
        return ENTRY.pack(found.node, 0, DAY_SECONDS, DAY_SECONDS, 0, 0, *attributes)

    def attributes(self, node: int, _request: bytes) -> Answer:
        """Answer GETATTR."""
        found = self._operations.attributes(node)
        attributes = _attributes(found.inode_number, found.stat, found.hole_bytes)
        return ATTRIBUTES.pack(DAY_SECONDS, 0, *attributes)

    def target(self, node: int, _request: bytes) -> Answer:
        """Answer READLINK; the kernel has no room for a target that no path could follow."""
        target = self._operations.target(node)
        if len(target) > _TARGET_MAX:
            raise OSError(errno.ENAMETOOLONG, "the target is too long")
        return target

    def xattr(self, node: int, request: bytes) -> Answer:
        """Answer GETXATTR."""
        value = self._operations.xattr(node, _text(request, _XATTR_NAME))
        return _sized(value, request)

    def xattrs(self, node: int, request: bytes) -> Answer:
        """Answer LISTXATTR; `trusted.` names are for root alone, as with the kernel's squashfs."""
        names = self._operations.xattrs(node)
        if REQUEST_HEADER.unpack_from(request)[4] != _ROOT_USER:
            names = [name for name in names if not name.startswith(_TRUSTED)]
        return _sized(b"".join(name + b"\0" for name in names), request)

    def statistics(self, _node: int, _request: bytes) -> Answer:
        """Answer STATFS."""
        found = self._operations.statistics()
        return STATISTICS.pack(found.blocks, 0, 0, found.files, 0, _BLOCK, _NAME_MAX, _BLOCK)

    # ---- directories -----------------------------------------------------------------------------

    def open_directory(self, _node: int, _request: bytes) -> Answer:
        """Answer OPENDIR: the kernel need not ask, if it can do without."""
        if Feature.NO_OPENDIR_SUPPORT in self._features:
            raise OSError(errno.ENOSYS, "directories are not opened")
        return OPENED.pack(0, KEEP_CACHE)

    def names(self, node: int, request: bytes) -> Answer:
        """Answer READDIR."""
        return self._listed(node, request, _name_entry, stats=False)

    def names_and_attributes(self, node: int, request: bytes) -> Answer:
        """Answer READDIRPLUS; a name without sound attributes is looked up when it is used."""
        return self._listed(node, request, _entry_and_attributes, stats=True)

    def _listed(
        self, node: int, request: bytes, pack: Callable[[Listed], bytes], *, stats: bool
    ) -> Answer:
        """Return the entries from the request's place on for which it has room."""
        _, place, room = READ_IN.unpack_from(request, _BODY)
        packed: list[bytes] = []
        try:
            entry, others = self._stream(node, place, stats=stats)
            while entry is not None:
                more = pack(entry)
                room -= len(more)
                if room < 0:
                    self._suspend((node, place, stats), entry, others)
                    break
                packed.append(more)
                place = entry.following
                entry = next(others, None)
        except _FAULTS:
            if not packed:
                raise  # else the next request meets it
        return b"".join(packed)

    def _stream(
        self, node: int, place: int, *, stats: bool
    ) -> tuple[Listed | None, Iterator[Listed]]:
        """Return the entry at a place of a directory, and those behind it."""
        suspended = self._streams.pop((node, place, stats), None)
        if suspended is not None:
            return suspended
        entries = self._operations.listed(node, place, stats=stats)
        return next(entries, None), entries

    def _suspend(self, key: tuple[int, int, bool], entry: Listed, others: Iterator[Listed]) -> None:
        self._streams[key] = entry, others
        if len(self._streams) > _STREAMS_MAX:
            for oldest in [*self._streams][:1]:
                self._streams.pop(oldest, None)

    # ---- files -----------------------------------------------------------------------------------

    def open(self, node: int, _request: bytes) -> Answer:
        """Answer OPEN: over local devices the kernel need not ask, if it can do without."""
        if self._needs_open:
            return OPENED.pack(self._operations.open(node), KEEP_CACHE | FLUSHLESS)
        if Feature.NO_OPEN_SUPPORT in self._features:
            raise OSError(errno.ENOSYS, "files are not opened")
        return OPENED.pack(0, KEEP_CACHE | FLUSHLESS)

    def _close_opened(self, answer: Answer) -> None:
        """Close what an answer to OPEN tells of."""
        if isinstance(answer, bytes):
            self._operations.close(OPENED.unpack(answer)[0])

    def read(self, node: int, request: bytes) -> Answer:
        """Answer READ."""
        handle, start, size = READ_IN.unpack_from(request, _BODY)
        return self._operations.read(node, start, size, handle)

    def close(self, _node: int, request: bytes) -> Answer:
        """Answer RELEASE."""
        self._operations.close(*RELEASE_IN.unpack_from(request, _BODY))
        return b""


def _name_entry(entry: Listed) -> bytes:
    name, kind, number, _, _, following, _ = entry
    length = len(name)
    return name_entry(length).pack(number, following, length, kind, name)


def _entry_and_attributes(entry: Listed) -> bytes:
    name, kind, number, child, stat, following, hole_bytes = entry
    length = len(name)
    layout = entry_and_attributes(length)
    if stat is None:
        return layout.pack(*_NO_ATTRIBUTES, number, following, length, kind, name)
    return layout.pack(
        *(child, 0, DAY_SECONDS, DAY_SECONDS, 0, 0),
        *_attributes(number, stat, hole_bytes),
        *(number, following, length, kind, name),
    )


def _attributes(number: int, stat: Stat, hole_bytes: int) -> tuple[int, ...]:
    """Return the attributes as ATTRIBUTES and ENTRY end."""
    mode, uid, gid, mtime, size, nlink, _, _, rdev, _ = stat
    stored = max(size - hole_bytes, 0) if hole_bytes else size  # an inode may claim any number
    sectors = -(-stored // _SECTOR)
    return (
        *(number, size, sectors, mtime, mtime, mtime, 0, 0, 0),
        *(mode, nlink, uid, gid, rdev, 0, 0),
    )


def _sized(value: bytes, request: bytes) -> bytes:
    """Return a value of extended attributes, or its size where only that was asked for.

    Raises OSError (ERANGE) where the caller has too little room.
    """
    (room,) = XATTR_IN.unpack_from(request, _BODY)
    if not room:
        return XATTR_SIZE.pack(len(value))
    if len(value) > room:
        raise OSError(errno.ERANGE, "the value needs more room")
    return value


def _text(request: bytes, start: int) -> bytes:
    """Return the text that begins there; a NUL ends it."""
    return request[start : request.index(0, start)]
