"""The kernel's requests as calls of operations, and what these return as answers."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs.inode import FileKind
from s3archivefs.mount.callers import Callers
from s3archivefs.mount.lanes import NO_LANE
from s3archivefs.mount.listings import Form, Listings
from s3archivefs.mount.protocol import (
    ATTRIBUTES,
    CACHE_LISTING,
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
    sectors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.mount.branches import Found
    from s3archivefs.mount.operations import Operations

__all__ = ["Answer", "Handler", "Handlers", "Route"]

Answer: TypeAlias = "bytes | list[bytes | memoryview]"
Handler: TypeAlias = "Callable[[int, bytes], Answer]"
"""A function from a node and a whole request to the body of the answer."""

_BODY = REQUEST_HEADER.size
_XATTR_NAME = _BODY + XATTR_IN.size
_BLOCK = 4096  # bytes, in statfs(2)
_NAME_MAX = 256  # bytes, as squashfs has it
_TARGET_MAX = 4095  # bytes, that a page holds with a NUL
_NO_ENTRY = ENTRY.pack(0, DAY_SECONDS, *([0] * (len(ENTRY.unpack(bytes(ENTRY.size))) - 2)))
"""What says that there is no such name, for as long as names are kept."""
_TRUSTED = b"trusted."
_ROOT_USER = 0


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
        self._callers = Callers()
        self._listings = Listings(operations, self._callers.leave_out)

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
            Opcode.RELEASEDIR: self.close_directory,
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
        if found.stat.kind is not FileKind.DIRECTORY:
            self._callers.look_up(node)
        return ENTRY.pack(found.node, DAY_SECONDS, DAY_SECONDS, *_attributes(found))

    def attributes(self, node: int, _request: bytes) -> Answer:
        """Answer GETATTR."""
        found = self._operations.attributes(node)
        return ATTRIBUTES.pack(DAY_SECONDS, *_attributes(found))

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

    def open_directory(self, node: int, request: bytes) -> Answer:
        """Answer OPENDIR: the handle is the form of the listing.

        The kernel keeps no listing without attributes: who wants them would have to look up each.
        """
        form = self._callers.form(_caller(request), node)
        return OPENED.pack(form, KEEP_CACHE | (0 if form is Form.NAMES else CACHE_LISTING))

    def close_directory(self, _node: int, _request: bytes) -> Answer:
        """Answer RELEASEDIR."""
        return b""

    def names(self, node: int, request: bytes) -> Answer:
        """Answer READDIR."""
        _, place, room = READ_IN.unpack_from(request, _BODY)
        return self._listings.answer(node, place, room, Form.PLAIN)

    def names_and_attributes(self, node: int, request: bytes) -> Answer:
        """Answer READDIRPLUS; a name without attributes is looked up when it is used."""
        form, place, room = READ_IN.unpack_from(request, _BODY)
        return self._listings.answer(node, place, room, Form(form))

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


def _attributes(found: Found) -> tuple[int, ...]:
    """Return the attributes as ATTRIBUTES and ENTRY end."""
    mode, uid, gid, mtime, size, nlink, _, _, rdev, _ = found.stat
    return (
        *(found.inode_number, size, sectors(size, found.hole_bytes), mtime, mtime, mtime),
        *(mode, nlink, uid, gid, rdev),
    )


def _caller(request: bytes) -> int:
    """Return the thread that waits for an answer."""
    caller: int = REQUEST_HEADER.unpack_from(request)[6]
    return caller


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
