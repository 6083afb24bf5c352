"""The objects below a prefix of S3, as members of an image to be.

Objects are fetched ahead, several at a time, and come in the order of their keys. A listing says
which version each is; one that was replaced meanwhile is an error, and no mixture. The answer that
brings a content has its attributes too, so a long object is asked for when its turn comes, and read
from that answer.
"""

from __future__ import annotations

import io
import re
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.writer import Entry, FileKind, PackingError
from s3archivefs_lambda.store.device import LASTING_PATIENCE, S3Device, pinned
from s3archivefs_lambda.store.errors import ArchiveAccessError, ArchiveReplacedError, mapped_errors
from s3archivefs_lambda.store.superblock_metadata import user_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from types_boto3_s3 import S3Client

    from s3archivefs.writer import Content, Takes
    from s3archivefs_lambda.store.device import Patience, PinnedAnswer

__all__ = ["PackedObject", "PrefixMembers"]

_THREADS = 32
"""Requests in flight, at most."""
_AHEAD_BYTES = 64 << 20
"""Bytes of small objects that are fetched ahead of the writer, at most."""
_AHEAD_OBJECTS = 1000
_SMALL = 4 << 20
"""Bytes of an object from which on it is streamed when its turn comes."""
_SMALL_PATIENCE = LASTING_PATIENCE._replace(last_attempt_seconds=60.0)
"""Patience with a small object. The end of packing waits for those that are being fetched."""
_PIECE = 1 << 20
"""Bytes of a large object that are read at once."""
_NANOSECONDS = re.compile(r"([0-9]{1,19})ns")
_ATTRIBUTES = {"file-permissions": 8, "file-owner": 10, "file-group": 10}
"""User metadata in which AWS DataSync keeps attributes, and the base of its numbers."""


class PackedObject(NamedTuple):
    """An object that became a member."""

    key: str
    etag: str
    """As S3 gives it, with quotes."""
    size: int
    """Bytes."""


class _Listed(NamedTuple):
    """An object as it is listed."""

    object: PackedObject
    path: bytes
    """The path of the member."""
    is_directory: bool
    mtime: int
    """Seconds since the epoch."""


class PrefixMembers:
    """Yields an entry for each object below s3://bucket/prefix, its path the rest of the key.

    `takes` says of a path, and of whether it is a directory, whether to take it; what is left out
    is not fetched. `packed` is called with each object as it is yielded. An object that stands for
    a directory, as the console makes them, is one. Raises PackingError for an object that cannot be
    read.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str,
        *,
        packed: Callable[[PackedObject], object] = lambda _: None,
        takes: Takes | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._packed = packed
        self._takes = takes

    def __iter__(self) -> Iterator[Entry]:
        return self._entries(self._listed(), self._packed)

    def files_first(self, wanted: Sequence[bytes]) -> _ObjectsFirst:
        """Return the members with the files of some paths first; each is fetched once."""
        return _ObjectsFirst(wanted, self._listed, self._entries, self._packed)

    def _entries(
        self, listed: Iterator[_Listed], packed: Callable[[PackedObject], object]
    ) -> Generator[Entry, None, None]:
        executor = ThreadPoolExecutor(_THREADS, "s3archivefs-fetch")
        waiting: deque[tuple[_Listed, int, Callable[[], _Small | _Large]]] = deque()
        ahead = 0
        try:
            while True:
                while ahead < _AHEAD_BYTES and len(waiting) < _AHEAD_OBJECTS:
                    if not (found := [*islice(listed, 1)]):
                        break
                    held, asked = self._asked(found[0], executor)
                    waiting.append((found[0], held, asked))
                    ahead += held
                if not waiting:
                    return
                next_listed, held, asked = waiting.popleft()
                with closing(asked()) as opens:
                    yield _entry(next_listed, opens)
                packed(next_listed.object)
                ahead -= held
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _asked(
        self, listed: _Listed, executor: ThreadPoolExecutor
    ) -> tuple[int, Callable[[], _Small | _Large]]:
        """Return the bytes held for an object, and what returns it in its turn."""
        found = listed.object
        if listed.is_directory:  # which needs neither content nor the right to read it
            return 0, lambda: _Small({}, b"")
        if found.size > _SMALL:
            return 0, partial(self._large, found)
        return found.size, executor.submit(self._fetched, found).result

    def size(self) -> int:
        """Return the bytes of all objects, by listing them."""
        return sum(each.object.size for each in self._listed())

    def _listed(self) -> Iterator[_Listed]:
        """Yield the objects that are taken, in the order of their keys."""
        with self._errors(self._prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for each in page.get("Contents", []):
                    if each["Key"] == self._prefix and not each["Size"]:
                        continue  # it stands for the prefix itself
                    found = PackedObject(each["Key"], each["ETag"], each["Size"])
                    path = found.key.removeprefix(self._prefix).encode()  # its slashes are its own
                    is_directory = path.endswith(b"/") and not found.size
                    path = path[:-1] if is_directory else path
                    if self._takes is None or self._takes(path, is_directory=is_directory):
                        mtime = int(each["LastModified"].timestamp())
                        yield _Listed(found, path, is_directory, mtime)

    def _fetched(self, each: PackedObject) -> _Small:
        """Return a small object, as a whole."""
        if not each.size:
            return self._empty(each)
        device = self._device(each, _SMALL_PATIENCE)
        with self._errors(each.key):
            answer = device.answer(0, each.size)
            content = b"".join(device.stream(0, each.size, each.size, answer.body))
        return _Small(user_metadata(answer.facts), content)

    def _empty(self, each: PackedObject) -> _Small:
        """Return an object without bytes, of which no range can be asked for."""
        with self._errors(each.key):
            answer = self._client.get_object(Bucket=self._bucket, Key=each.key, IfMatch=each.etag)
            with closing(answer["Body"]) as body:
                body.read(1)  # its end, so that the connection is used again
            size = answer.get("ContentLength")
            found = pinned(self._client, self._bucket, each.key, answer, size)
            if not self._device(each).is_same_version(found):  # the store ignores If-Match
                what = "the object was replaced"
                raise ArchiveReplacedError.of(self._bucket, each.key, what)
        return _Small(user_metadata(answer), b"")

    def _large(self, each: PackedObject) -> _Large:
        """Ask for a large object."""
        device = self._device(each)
        with self._errors(each.key):
            answer = device.answer(0, each.size)
        return _Large(device, answer, partial(self._errors, each.key))

    def _device(self, each: PackedObject, patience: Patience = LASTING_PATIENCE) -> S3Device:
        return S3Device(
            self._client,
            self._bucket,
            each.key,
            etag=each.etag,
            size=each.size,
            patience=patience,
        )

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            with mapped_errors(self._bucket, key):
                yield
        except ArchiveAccessError as error:
            raise PackingError(str(error)) from error


class _ObjectsFirst:
    """Objects below a prefix, of which those of given paths come first."""

    def __init__(
        self,
        wanted: Sequence[bytes],
        listed: Callable[[], Iterator[_Listed]],
        entries: Callable[..., Generator[Entry, None, None]],
        packed: Callable[[PackedObject], object],
    ) -> None:
        self._listed = listed
        self._entries = entries
        self._packed = packed
        names = {*wanted}
        found = [each for each in listed() if each.path in names]
        self.counts = Counter(each.path for each in found)
        self._objects = {each.path: each for each in found if not each.is_directory}
        self.files = {path: path for path in wanted if path in self._objects}
        self._told = {self._objects[path].object for path in self.files}

    def first(self) -> Generator[Entry, None, None]:
        """Yield the entries of `files`, each once, in the order of the given paths."""
        return self._entries((self._objects[path] for path in self.files), self._packed)

    def rest(self, without: Container[bytes]) -> Iterator[Entry]:
        """Yield all members but those of some paths that came first."""
        listed = (each for each in self._listed() if each.path not in without)
        return self._entries(listed, self._tell)

    def _tell(self, each: PackedObject) -> None:
        """Tell of an object, unless it came first."""
        if each not in self._told:
            self._packed(each)


class _Small:
    """An object in memory."""

    is_at_hand = True

    def __init__(self, metadata: dict[str, str], content: bytes) -> None:
        self.metadata = metadata
        self._content = content

    def open(self) -> Content:
        """Return its content, to be read."""
        return io.BytesIO(self._content)

    def close(self) -> None:
        """Do nothing: the entry keeps the content."""


class _Large:
    """An object that is streamed, to who opens it first from the first answer."""

    is_at_hand = False

    def __init__(
        self,
        device: S3Device,
        answer: PinnedAnswer,
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.metadata = user_metadata(answer.facts)
        self._device = device
        self._answer: PinnedAnswer | None = answer
        self._errors = errors

    def open(self) -> Content:
        """Return its content, to be read; after the first time, it is asked for again."""
        answer, self._answer = self._answer, None
        return _Streamed(self._device, answer, self._errors)

    def close(self) -> None:
        """End the request if nobody opened it; it can be opened all the same."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.body.close()


class _Streamed:
    """The content of a large object, as it arrives."""

    def __init__(
        self,
        device: S3Device,
        answer: PinnedAnswer | None,
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._body = None if answer is None else answer.body
        self._pieces = device.stream(0, device.size, _PIECE, self._body)
        self._errors = errors
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end. Raises PackingError."""
        if not self._rest:
            with self._errors():
                self._rest = next(self._pieces, self._rest)
        content, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return content

    def close(self) -> None:
        """End the request."""
        self._pieces.close()
        if self._body is not None:  # perhaps no piece was read
            self._body.close()


def _entry(listed: _Listed, found: _Small | _Large) -> Entry:
    """Return the member that an object becomes."""
    if listed.is_directory:
        return Entry(listed.path, FileKind.DIRECTORY, 0o755, mtime=listed.mtime)
    return Entry(
        listed.path,
        FileKind.FILE,
        mtime=_mtime(found.metadata, listed.mtime),
        open=found.open,
        size=listed.object.size,
        reopens=True,
        is_at_hand=found.is_at_hand,
        mode=_attribute(found.metadata, "file-permissions", 0o644),
        uid=_attribute(found.metadata, "file-owner", 0),
        gid=_attribute(found.metadata, "file-group", 0),
    )


def _attribute(metadata: dict[str, str], name: str, default: int) -> int:
    """Return a number that DataSync keeps, or the default where it is none."""
    try:
        return int(metadata.get(name, ""), _ATTRIBUTES[name])
    except ValueError:
        return default


def _mtime(metadata: dict[str, str], default: int) -> int:
    """Return the time that DataSync keeps, in seconds since the epoch."""
    found = _NANOSECONDS.fullmatch(metadata.get("file-mtime", ""))
    return int(found[1]) // 1_000_000_000 if found else default
