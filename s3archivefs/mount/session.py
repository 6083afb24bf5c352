"""The dialogue with the kernel over /dev/fuse: requests in, answers out.

One thread reads requests, and answers what takes no waiting. Over a distant device the rest goes to
other threads, so that no request waits for another one's bytes. Over a local one the thread answers
all: handing over would take longer than reading, and Python runs one thread at a time anyway.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.cached_only import NotCachedError, only_cached
from s3archivefs.mount.faults import Place
from s3archivefs.mount.handlers import Handlers
from s3archivefs.mount.lanes import Lanes
from s3archivefs.mount.protocol import (
    INIT_IN,
    INIT_OUT,
    INTERRUPT,
    INVALIDATED_ENTRY,
    INVALIDATED_NODE,
    MAJOR,
    MINOR,
    MINOR_NEEDED,
    REQUEST_BYTES,
    REQUEST_HEADER,
    Feature,
    Notice,
    Opcode,
    answer_header,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs.mount.faults import Faults
    from s3archivefs.mount.handlers import Answer, Handler, Route
    from s3archivefs.mount.operations import Operations

__all__ = ["Session"]

_THREADS = 32  # that wait for one distant archive
_BACKGROUND = 64
_CONGESTED = 48
_PAGES = 256  # of 4 KiB, in one read
_WRITE_BYTES = 4096  # the least that a kernel takes: nothing is written
_NANOSECONDS = 1_000_000_000  # to which times are exact: a second
_FEATURES = (
    Feature.ASYNC_READ
    | Feature.DO_READDIRPLUS
    | Feature.ASYNC_DIO
    | Feature.NO_OPEN_SUPPORT
    | Feature.PARALLEL_DIROPS
    | Feature.MAX_PAGES
    | Feature.CACHE_SYMLINKS
)
_UNANSWERED = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT})
_UNMOUNTED = frozenset({errno.ENODEV, errno.ECONNABORTED})
_WITHDRAWN = frozenset({errno.ENOENT, errno.EINTR, errno.EAGAIN})
"""Errors that concern one request, whose caller no longer waits."""


class Session:
    """A session with the kernel over a descriptor of /dev/fuse."""

    def __init__(self, operations: Operations, descriptor: int, faults: Faults) -> None:
        self._operations = operations
        self._descriptor = descriptor
        self._faults = faults
        self._handlers = Handlers(operations)
        self._lanes = Lanes(_THREADS, "s3archivefs-mount") if operations.is_distant else None
        self._waiting: set[int] = set()
        """Requests in other threads. Who takes one out answers it: the thread, or an interrupt."""
        self.is_over = False
        """Whether the tree is unmounted, and nobody uses it any more."""

    def negotiate(self) -> None:
        """Answer the kernel's first request; what follows is for `run`.

        Raises OSError (EPROTO) where the kernel speaks too old a version.
        """
        while True:
            request = os.read(self._descriptor, REQUEST_BYTES)
            unique = REQUEST_HEADER.unpack_from(request)[2]
            major, minor, readahead, offered = INIT_IN.unpack_from(request, REQUEST_HEADER.size)
            if (major, minor) < (MAJOR, MINOR_NEEDED):
                self._refuse(unique, errno.EPROTO)
                raise OSError(errno.EPROTO, f"the kernel's FUSE {major}.{minor} is too old")
            wanted = _FEATURES
            if self._operations.is_exportable:
                wanted |= Feature.EXPORT_SUPPORT
            features = self._handlers.agree(Feature(offered & wanted))
            self._answer(
                unique,
                INIT_OUT.pack(
                    *(MAJOR, MINOR, readahead, features, _BACKGROUND, _CONGESTED, _WRITE_BYTES),
                    *(_NANOSECONDS, _PAGES, 0, 0),
                ),
            )
            if major == MAJOR:
                return  # a kernel with a newer one asks again

    def forget_name(self, directory: int, name: bytes) -> None:
        """Have the kernel forget what a name leads to, or that it is not there."""
        body = INVALIDATED_ENTRY.pack(directory, len(name)) + name + b"\0"
        self._write([answer_header(len(body), Notice.INVALIDATE_ENTRY, 0), body])

    def forget_node(self, node: int) -> None:
        """Have the kernel forget the attributes of a file, and its content."""
        body = INVALIDATED_NODE.pack(node, 0, 0)
        self._write([answer_header(len(body), Notice.INVALIDATE_NODE, 0), body])

    def run(self) -> None:
        """Answer requests until the tree is unmounted."""
        self._run()
        self.is_over = True

    def _run(self) -> None:
        handlers = self._handlers.by_opcode()
        serve = self._serve if self._lanes is None else self._serve_or_hand_over
        read, unpack, descriptor = os.read, REQUEST_HEADER.unpack_from, self._descriptor
        while True:
            try:
                request = read(descriptor, REQUEST_BYTES)
            except OSError as error:
                if error.errno in _WITHDRAWN:
                    continue
                if error.errno in _UNMOUNTED:
                    return
                raise
            if not request:
                return  # the other end of a socket is closed: /dev/fuse says ENODEV
            _, opcode, unique, node, *_ = unpack(request)
            handler = handlers.get(opcode)
            if handler is not None:
                serve(unique, handler, node, request)
            elif opcode == Opcode.INTERRUPT:
                self._interrupt(*INTERRUPT.unpack_from(request, REQUEST_HEADER.size))
            elif opcode not in _UNANSWERED:
                self._refuse(unique, errno.ENOSYS)

    def _serve(self, unique: int, handler: Handler, node: int, request: bytes) -> None:
        """Answer a request, and wait for what that needs."""
        try:
            answer = handler(node, request)
        except Exception as error:  # noqa: BLE001 -- a mount outlives each fault, which is told
            self._refuse(unique, self._faults.number(error, self._operations.name_of(node)))
        else:
            self._answer(unique, answer)

    def _serve_or_hand_over(self, unique: int, handler: Handler, node: int, request: bytes) -> None:
        """Answer a request from memory, or have another thread answer it."""
        try:
            route = self._handlers.route(handler, node, request)
            with only_cached():
                answer = route.answer()
        except NotCachedError:
            assert self._lanes is not None  # noqa: S101 -- else there is nobody to hand it over
            self._waiting.add(unique)
            serve = partial(self._serve_waiting, unique, node, route)
            self._lanes.start(route.archive, route.lane, serve)
        except Exception as error:  # noqa: BLE001 -- as above
            self._refuse(unique, self._faults.number(error, self._operations.name_of(node)))
        else:
            self._answer(unique, answer)

    def _serve_waiting(self, unique: int, node: int, route: Route) -> None:
        """Answer a request that was handed over, unless it is interrupted meanwhile."""
        if unique not in self._waiting:
            return
        answer: Answer = b""
        number = 0
        try:
            answer = route.answer()
        except Exception as error:  # noqa: BLE001 -- as above
            number = self._faults.number(error, self._operations.name_of(node))
        try:
            self._waiting.remove(unique)
        except KeyError:  # it was interrupted
            if not number:
                route.undo(answer)
        else:
            self._refuse(unique, number) if number else self._answer(unique, answer)

    def _interrupt(self, unique: int) -> None:
        """End a request's waiting; what is being read goes on, for the next one."""
        with suppress(KeyError):
            self._waiting.remove(unique)
            self._refuse(unique, errno.EINTR)

    def _answer(self, unique: int, answer: Answer) -> None:
        if isinstance(answer, list):
            header = answer_header(sum(map(len, answer)), 0, unique)
            self._write([header, *answer])
        else:
            self._write([answer_header(len(answer), 0, unique), answer])

    def _refuse(self, unique: int, number: int) -> None:
        self._write([answer_header(0, -number, unique)])

    def _write(self, pieces: Sequence[bytes | memoryview]) -> None:
        try:
            os.writev(self._descriptor, pieces)
        except OSError as error:
            if error.errno == errno.EINVAL:  # whoever waits for it gets an error of the kernel's
                self._faults.number(error, Place("the kernel refuses an answer"))
            elif error.errno not in _WITHDRAWN | _UNMOUNTED:
                raise
