"""A kernel for a session: it asks as Linux does, over a socket whose messages stay whole.

What it packs and unpacks stands here once more, after linux/fuse.h, so that the product's own
declarations cannot be wrong unnoticed.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

from s3archivefs import SquashFS
from s3archivefs.mount.faults import Faults
from s3archivefs.mount.operations import Operations
from s3archivefs.mount.session import Session

__all__ = ["Attributes", "Kernel", "KernelError", "Name", "kernel_over"]

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
GETXATTR, LISTXATTR, INIT, OPENDIR, READDIR, RELEASEDIR = 22, 23, 26, 27, 28, 29
INTERRUPT, DESTROY = 36, 38
BATCH_FORGET, READDIRPLUS = 42, 44

EVERYTHING = 0xFFFF_FFFF
"""All features that a kernel can offer."""


class KernelError(OSError):
    """The answer is an error number."""


class Attributes(NamedTuple):
    ino: int
    size: int
    blocks: int
    atime: int
    mtime: int
    ctime: int
    atimensec: int
    mtimensec: int
    ctimensec: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    blksize: int
    flags: int


class Name(NamedTuple):
    name: bytes
    ino: int
    type: int
    offset: int
    node: int = 0
    attributes: Attributes | None = None


class Kernel:
    """The side of a session that asks."""

    def __init__(self, side: socket.socket) -> None:
        self._side = side
        self._uniques = count(2, 2)
        self.features = 0

    def negotiate(self, minor: int = 45, offered: int = EVERYTHING) -> None:
        """Begin, as a mount does."""
        self.send(INIT, 0, struct.pack("=IIII48x", 7, minor, 128 << 10, offered))
        _, body = self.receive()
        assert len(body) == 64
        self.features = struct.unpack_from("=I", body, 12)[0]

    def send(
        self, opcode: int, node: int, body: bytes = b"", *, uid: int = 0, caller: int = 1
    ) -> int:
        """Send a request of a user's thread; return its number."""
        unique = next(self._uniques)
        size = 40 + len(body)
        header = struct.pack("=IIQQIIIHH", size, opcode, unique, node, uid, 0, caller, 0, 0)
        self._side.send(header + body)
        return unique

    def receive(self) -> tuple[int, bytes]:
        """Return number and body of the next answer; raise KernelError where it is an error."""
        answer = self._side.recv(2 << 20)
        length, error, unique = struct.unpack_from("=IiQ", answer)
        assert length == len(answer)
        if error:
            assert length == 16
            raise KernelError(-error, f"request {unique}")
        return unique, answer[16:]

    def ask(
        self, opcode: int, node: int, body: bytes = b"", *, uid: int = 0, caller: int = 1
    ) -> bytes:
        """Send a request and return its answer, which is the next."""
        sent = self.send(opcode, node, body, uid=uid, caller=caller)
        unique, answer = self.receive()
        assert unique == sent
        return answer

    def look_up(self, directory: int, name: bytes) -> tuple[int, Attributes] | None:
        """Return node and attributes of a name; None for one that is not there, for good."""
        answer = self.ask(LOOKUP, directory, name + b"\0")
        node, generation, for_entry, for_attributes = struct.unpack_from("=QQQQ8x", answer)
        assert (len(answer), generation, for_entry) == (128, 0, 86400)
        if not node:
            return None
        assert for_attributes == 86400
        return node, Attributes(*struct.unpack_from("=6Q10I", answer, 40))

    def attributes(self, node: int) -> Attributes:
        """Ask for attributes."""
        answer = self.ask(GETATTR, node, bytes(16))
        assert len(answer) == 104
        return Attributes(*struct.unpack_from("=6Q10I", answer, 16))

    def read(self, node: int, start: int, size: int, handle: int = 0) -> bytes:
        """Read from a file."""
        return self.ask(READ, node, struct.pack("=QQI20x", handle, start, size))

    def open(self, node: int) -> int:
        """Open a file; return its handle."""
        handle, flags = struct.unpack("=QI4x", self.ask(OPEN, node, bytes(8)))
        assert flags & 2  # the kernel's pages stay right
        return int(handle)

    def xattr(self, node: int, name: bytes, room: int) -> bytes:
        """Ask for the value of an extended attribute."""
        return self.ask(GETXATTR, node, struct.pack("=I4x", room) + name + b"\0")

    def xattrs(self, node: int, room: int, *, uid: int = 0) -> bytes:
        """Ask for the names of extended attributes."""
        return self.ask(LISTXATTR, node, struct.pack("=I4x", room), uid=uid)

    def open_directory(self, node: int, caller: int = 1) -> tuple[int, bool]:
        """Open a directory; return the handle, and whether the kernel may keep the listing."""
        answer = self.ask(OPENDIR, node, bytes(8), caller=caller)
        handle, flags = struct.unpack("=QI4x", answer)
        assert flags & 2  # what it keeps stays right
        return int(handle), bool(flags & 8)

    def close_directory(self, node: int, handle: int) -> None:
        """Close a directory."""
        assert self.ask(RELEASEDIR, node, struct.pack("=Q16x", handle)) == b""

    def names(self, directory: int, offset: int, room: int) -> list[Name]:
        """Ask for names from an offset on, as many as there is room for."""
        return [*_names(self.ask(READDIR, directory, struct.pack("=QQI20x", 0, offset, room)))]

    def names_plus(self, directory: int, offset: int, room: int, handle: int = 0) -> list[Name]:
        """Ask likewise for names with attributes."""
        body = struct.pack("=QQI20x", handle, offset, room)
        return [*_names_plus(self.ask(READDIRPLUS, directory, body))]

    def all_names(self, directory: int, room: int = 4096, *, plus: bool = True) -> list[Name]:
        """Ask for all names, some at a time."""
        ask = self.names_plus if plus else self.names
        found: list[Name] = []
        while more := ask(directory, found[-1].offset if found else 0, room):
            found += more
        return found

    def walked(self, directory: int, caller: int) -> list[Name]:
        """List a directory as a thread does, with all that comes with its names."""
        handle, _ = self.open_directory(directory, caller)
        found: list[Name] = []
        while more := self.names_plus(directory, found[-1].offset if found else 0, 4096, handle):
            found += more
        self.close_directory(directory, handle)
        return found

    def close(self) -> None:
        """Unmount."""
        self._side.close()


def _names(answer: bytes) -> Iterator[Name]:
    at = 0
    while at < len(answer):
        ino, offset, length, kind = struct.unpack_from("=QQII", answer, at)
        yield Name(answer[at + 24 : at + 24 + length], ino, kind, offset)
        at += 24 + -(-length // 8) * 8
    assert at == len(answer)


def _names_plus(answer: bytes) -> Iterator[Name]:
    at = 0
    while at < len(answer):
        node, generation, _, _ = struct.unpack_from("=QQQQ8x", answer, at)
        attributes = Attributes(*struct.unpack_from("=6Q10I", answer, at + 40))
        ino, offset, length, kind = struct.unpack_from("=QQII", answer, at + 128)
        name = answer[at + 152 : at + 152 + length]
        assert generation == 0
        yield Name(name, ino, kind, offset, node, attributes if node else None)
        at += 152 + -(-length // 8) * 8
    assert at == len(answer)


@contextmanager
def kernel_over(
    images: Mapping[bytes, SquashFS], lines: list[str] | None = None, *, offered: int = EVERYTHING
) -> Iterator[Kernel]:
    """A kernel that has mounted images; lines about faults go to `lines`, and must not be else."""
    told: list[str] = [] if lines is None else lines
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        for side in (ours, its):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        session = Session(Operations(images), its.fileno(), Faults(told.append))
        kernel = Kernel(ours)
        beginning = threading.Thread(target=session.negotiate)
        beginning.start()
        kernel.negotiate(offered=offered)
        beginning.join()
        thread = threading.Thread(target=session.run)
        thread.start()
        try:
            yield kernel
        finally:
            kernel.close()
            thread.join()
    assert session.is_over
    if lines is None:
        assert told == []


def errno_of(error: KernelError) -> str:
    """Return the name of an error's number."""
    return errno.errorcode[error.errno or 0]
