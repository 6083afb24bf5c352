"""The objects below a prefix of S3, as members of an image to be.

Objects are fetched ahead, several at a time, and come in the order of their keys. A listing says
which version each is; one that was replaced meanwhile is an error, and no mixture.
"""

from __future__ import annotations

import io
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs.writer import Entry, FileKind, PackingError
from s3archivefs_lambda.store.device import LASTING_PATIENCE, S3Device
from s3archivefs_lambda.store.errors import ArchiveAccessError, mapped_errors
from s3archivefs_lambda.store.superblock_metadata import user_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from types_boto3_s3 import S3Client

    from s3archivefs.writer import Content, Takes

__all__ = ["PackedObject", "PrefixMembers"]

_THREADS = 32
"""Requests in flight, at most."""
_AHEAD_BYTES = 64 << 20
"""Bytes of small objects that are fetched ahead of the writer, at most."""
_AHEAD_OBJECTS = 1000
_SMALL = 4 << 20
"""Bytes of an object from which on it is streamed when its turn comes."""
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
        executor = ThreadPoolExecutor(_THREADS, "s3archivefs-fetch")
        waiting: deque[tuple[PackedObject, int, Future[Any] | None]] = deque()
        ahead = 0
        listed = self._listed()
        try:
            while True:
                while ahead < _AHEAD_BYTES and len(waiting) < _AHEAD_OBJECTS:
                    if not (found := [*islice(listed, 1)]):
                        break
                    each, mtime = found[0]
                    small = each.size <= _SMALL
                    fetch = executor.submit(self._fetched, each) if small else None
                    waiting.append((each, mtime, fetch))
                    ahead += each.size if small else 0
                if not waiting:
                    return
                each, mtime, fetch = waiting.popleft()
                yield self._entry(each, mtime, fetch)
                self._packed(each)
                ahead -= each.size if fetch is not None else 0
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def size(self) -> int:
        """Return the bytes of all objects, by listing them."""
        return sum(each.size for each, _ in self._listed())

    def _listed(self) -> Iterator[tuple[PackedObject, int]]:
        """Yield the objects in the order of their keys, with their times."""
        with self._errors(self._prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for each in page.get("Contents", []):
                    if each["Key"] == self._prefix and not each["Size"]:
                        continue  # it stands for the prefix itself
                    found = PackedObject(each["Key"], each["ETag"], each["Size"])
                    path, is_directory = self._path_of(found)
                    if self._takes is None or self._takes(path, is_directory=is_directory):
                        yield found, int(each["LastModified"].timestamp())

    def _path_of(self, each: PackedObject) -> tuple[bytes, bool]:
        """Return the path of an object, and whether it stands for a directory."""
        path = each.key.removeprefix(self._prefix).encode()  # its slashes are its own
        if path.endswith(b"/") and not each.size:
            return path[:-1], True
        return path, False

    def _entry(self, each: PackedObject, mtime: int, fetch: Future[Any] | None) -> Entry:
        path, is_directory = self._path_of(each)
        if is_directory:
            return Entry(path, FileKind.DIRECTORY, 0o755, mtime=mtime)
        if fetch is None:
            opened: Callable[[], Content] = partial(self._opened, each)
            metadata: dict[str, str] = {}
        else:
            content, metadata = fetch.result()
            opened = partial(io.BytesIO, content)
        return Entry(
            path,
            FileKind.FILE,
            mtime=_mtime(metadata, mtime),
            open=opened,
            size=each.size,
            reopens=True,
            is_at_hand=fetch is not None,
            mode=_attribute(metadata, "file-permissions", 0o644),
            uid=_attribute(metadata, "file-owner", 0),
            gid=_attribute(metadata, "file-group", 0),
        )

    def _fetched(self, each: PackedObject) -> tuple[bytes, dict[str, str]]:
        """Return the content of a small object, and its user metadata."""
        with self._errors(each.key):
            answer = self._get(each)
            with suppress(ArchiveAccessError), mapped_errors(self._bucket, each.key):
                content = answer["Body"].read()
                if len(content) == each.size:
                    return content, user_metadata(answer)
            return self._device(each).pread(0, each.size), user_metadata(answer)  # it broke off

    def _opened(self, each: PackedObject) -> Content:
        return _Streamed(self._device(each), partial(self._errors, each.key))

    def _device(self, each: PackedObject) -> S3Device:
        return S3Device(
            self._client,
            self._bucket,
            each.key,
            etag=each.etag,
            size=each.size,
            patience=LASTING_PATIENCE,
        )

    def _get(self, each: PackedObject) -> Any:  # noqa: ANN401 -- types of S3's answers are not there at run time
        return self._client.get_object(Bucket=self._bucket, Key=each.key, IfMatch=each.etag)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            with mapped_errors(self._bucket, key):
                yield
        except ArchiveAccessError as error:
            raise PackingError(str(error)) from error


class _Streamed:
    """The content of a large object, as it arrives."""

    def __init__(
        self, device: S3Device, errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._pieces = device.stream(0, device.size, _PIECE)
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
