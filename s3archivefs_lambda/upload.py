"""Storing a squashfs image in S3, in parts that an interrupted upload goes on from.

Nothing is kept on this side: the parts that S3 already holds are found by their MD5, which is their
ETag, so the same call after any interruption, on any machine, sends only what is missing. With
SSE-KMS or SSE-C, ETags are no MD5s, and an interrupted upload begins anew.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.s3_errors import (
    ArchiveAccessError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    mapped_errors,
    object_url,
)
from s3archivefs_lambda.s3_object import SUPERBLOCK_BYTES, SUPERBLOCK_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from types_boto3_s3 import S3Client

__all__ = ["THREADS", "ImageUpload", "UploadError", "abort_uploads", "part_size_of", "unfinished"]

THREADS = 4
"""Parts that are sent at once."""

_PART_BYTES = 16 << 20
_MAX_PARTS = 10_000
_MAX_PART_BYTES = 5 << 30
_MIB = 1 << 20
_PIECE = 1 << 20  # bytes hashed at once
_END_SECONDS = 2

_ADVICE: dict[type[ArchiveAccessError], str] = {
    ArchiveReplacedError: "it is there already; --force replaces it",
    ArchiveNotFoundError: "make the bucket first, or correct its name",
    ArchiveForbiddenError: "check the credentials, and that they allow s3:PutObject on this object",
}


class UploadError(Exception):
    """The image is not in S3; the message says why, and what to do, on one line."""


class _EndOfBody(BaseException):
    """Ends a request from within its body; the message says why."""


class Unfinished(NamedTuple):
    """An upload that was begun, and neither completed nor aborted."""

    upload_id: str
    storage_class: str


class _Part(NamedTuple):
    number: int  # from 1, as S3 counts
    offset: int
    length: int


@dataclass(slots=True)
class ImageUpload:
    """One image on its way to s3://bucket/key."""

    client: S3Client
    bucket: str
    key: str
    image: BinaryIO
    """The file, open for reading, on disk: its bytes are read by position, in threads."""
    storage_class: str = ""
    """One of S3's; STANDARD where it is empty."""
    replace: bool = False
    """Whether an object that is there may be replaced."""
    progress: Callable[[int], None] = lambda _: None
    """Told of bytes sent, and, in negative numbers, of those that must be sent again."""
    size: int = field(init=False)
    """Of the image, in bytes."""
    upload_id: str = field(init=False, default="")
    """S3's name of the upload, while it is in parts and unfinished."""

    def __post_init__(self) -> None:
        self.size = os.fstat(self.image.fileno()).st_size

    def run(self) -> None:
        """Store the image, whole: a reader sees the object before, or this one.

        Its first 96 bytes become the user metadata `s3archivefs-superblock`. Raises UploadError;
        after that, and after KeyboardInterrupt, the parts that were sent stay in S3.
        """
        before = self._stamp()
        self._refuse_existing()
        if self.size <= _PART_BYTES:
            self._put_whole()
            return
        kept = self._begin()
        etags = kept | self._send(kept)
        if self._stamp() != before:
            raise UploadError(f"{self._url}: the image changed while it was read; try again")
        self._complete(etags)
        self.upload_id = ""
        self._check()

    def abort(self) -> None:
        """After `run` has failed: delete the parts that it has left in S3. Raises UploadError."""
        if self.upload_id:
            _abort(self.client, self.bucket, self.key, self.upload_id)
            self.upload_id = ""

    def unfinished(self) -> int:
        """How many unfinished uploads to the same key there are, as far as these credentials may
        see them. Raises UploadError.
        """
        return len(self._unfinished())

    # ---- What is there -------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return object_url(self.bucket, self.key)

    def _stamp(self) -> tuple[int, int]:
        stat = os.fstat(self.image.fileno())
        return stat.st_size, stat.st_mtime_ns

    def _refuse_existing(self) -> None:
        if self.replace:
            return
        try:
            with self._faults():
                self.client.head_object(**self._target())
        except UploadError as error:
            # 403 is S3's answer for a missing object too, to who may not list: the write will tell.
            if isinstance(error.__cause__, (ArchiveNotFoundError, ArchiveForbiddenError)):
                return
            raise
        raise UploadError(f"{self._url} is there already; --force replaces it")

    # ---- In one request ------------------------------------------------------------------------

    def _put_whole(self) -> None:
        with self._unless_stored():
            self.client.put_object(
                **self._target(),
                **self._attributes(),
                **self._condition(),
                **self._body(_Part(1, 0, self.size), Event()),
            )

    # ---- In parts ------------------------------------------------------------------------------

    def _begin(self) -> dict[int, str]:
        """Find an upload to go on with, or begin one; returns the ETags of the parts it holds."""
        for upload_id in self._candidates():
            kept = self._kept(upload_id)
            # The first part holds the superblock: it was begun with this image's metadata.
            if 1 in kept:
                self.progress(sum(part.length for part in self._parts() if part.number in kept))
                self.upload_id = upload_id
                return kept
        with self._faults():
            created = self.client.create_multipart_upload(**self._target(), **self._attributes())
        self.upload_id = created["UploadId"]
        first = next(self._parts())  # before all others: without it nothing can be gone on from
        return {1: self._send_part(first, Event())}

    def _candidates(self) -> list[str]:
        """Unfinished uploads, of which one may be of this image."""
        wanted = self.storage_class or "STANDARD"
        found = self._unfinished()
        return [upload.upload_id for upload in found if upload.storage_class == wanted]

    def _unfinished(self) -> list[Unfinished]:
        try:
            return unfinished(self.client, self.bucket, self.key)
        except UploadError as error:
            if isinstance(error.__cause__, ArchiveForbiddenError):
                return []  # who may only write begins anew
            raise

    def _kept(self, upload_id: str) -> dict[int, str]:
        """The parts that an upload holds; none unless all of them are parts of this image."""
        parts = {part.number: part for part in self._parts()}
        kept: dict[int, str] = {}
        with self._faults():
            pages = self.client.get_paginator("list_parts").paginate(
                **self._target(), UploadId=upload_id
            )
            for there in (part for page in pages for part in page.get("Parts", [])):
                part = parts.get(there["PartNumber"])
                if part is None or there["Size"] != part.length:
                    return {}
                if there["ETag"].strip('"') != self._md5(part).hex():
                    return {}
                kept[part.number] = there["ETag"]
        return kept

    def _send(self, kept: dict[int, str]) -> dict[int, str]:
        """Send the parts that are not `kept`; returns their ETags by number."""
        todo: SimpleQueue[_Part] = SimpleQueue()
        for part in self._parts():
            if part.number not in kept:
                todo.put(part)
        done: SimpleQueue[tuple[int, str | BaseException]] = SimpleQueue()
        count = todo.qsize()
        stop = Event()

        def send_parts() -> None:
            while not stop.is_set():
                try:
                    part = todo.get_nowait()
                except Empty:
                    return
                try:
                    done.put((part.number, self._send_part(part, stop)))
                except BaseException as error:  # noqa: BLE001 -- raised again by who waits for it
                    done.put((part.number, error))

        # Daemons: a request that waits for an answer cannot be ended, and must not hold up the end
        # of the process.
        threads = [Thread(target=send_parts, daemon=True) for _ in range(min(THREADS, count))]
        sent: dict[int, str] = {}
        try:
            for thread in threads:
                thread.start()
            while len(sent) < count:
                number, answer = done.get()
                if isinstance(answer, BaseException):
                    raise answer
                sent[number] = answer
        finally:
            stop.set()
            for thread in threads:
                thread.join(_END_SECONDS)
        return sent

    def _send_part(self, part: _Part, stop: Event) -> str:
        with self._faults():
            answer = self.client.upload_part(
                **self._target(),
                UploadId=self.upload_id,
                PartNumber=part.number,
                **self._body(part, stop),
            )
        return answer["ETag"]

    def _complete(self, etags: dict[int, str]) -> None:
        self._refuse_existing()  # again: not every store heeds the condition
        parts: Any = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        with self._unless_stored():
            self.client.complete_multipart_upload(
                **self._target(),
                **self._condition(),
                UploadId=self.upload_id,
                MultipartUpload={"Parts": parts},
            )

    @contextmanager
    def _unless_stored(self) -> Iterator[None]:
        """A conditional write, which fails as well where an earlier attempt of it had succeeded and
        only its answer was lost.
        """
        try:
            with self._faults():
                yield
        except UploadError as error:
            if not isinstance(error.__cause__, ArchiveReplacedError) or not self._is_stored():
                raise

    def _is_stored(self) -> bool:
        """Whether the object is this image. Each part's content S3 has checked by its MD5."""
        with self._faults():
            there = self.client.head_object(**self._target())
        metadata = {name.lower(): value for name, value in there["Metadata"].items()}
        return (there["ContentLength"], metadata.get(SUPERBLOCK_METADATA)) == (
            self.size,
            self._superblock(),
        )

    def _check(self) -> None:
        if not self._is_stored():
            raise UploadError(
                f"{self._url} has another length than the image, or other user metadata: it was "
                "replaced meanwhile, or the store keeps no metadata; look who else writes to it"
            )

    # ---- Requests ------------------------------------------------------------------------------

    def _target(self) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        return {"Bucket": self.bucket, "Key": self.key}

    def _attributes(self) -> Any:  # noqa: ANN401
        attributes: dict[str, Any] = {"Metadata": {SUPERBLOCK_METADATA: self._superblock()}}
        if self.storage_class:
            attributes["StorageClass"] = self.storage_class
        return attributes

    def _condition(self) -> Any:  # noqa: ANN401
        return {} if self.replace else {"IfNoneMatch": "*"}

    def _body(self, part: _Part, stop: Event) -> Any:  # noqa: ANN401
        md5 = base64.b64encode(self._md5(part)).decode()
        return {"Body": _Body(self.image, part, self.progress, stop), "ContentMD5": md5}

    def _superblock(self) -> str:
        return base64.b64encode(os.pread(self.image.fileno(), SUPERBLOCK_BYTES, 0)).decode()

    def _parts(self) -> Iterator[_Part]:
        length = part_size_of(self.size)
        for number, offset in enumerate(range(0, self.size, length), 1):
            yield _Part(number, offset, min(length, self.size - offset))

    def _md5(self, part: _Part) -> bytes:
        digest = hashlib.md5(usedforsecurity=False)
        for offset in range(part.offset, part.offset + part.length, _PIECE):
            length = min(_PIECE, part.offset + part.length - offset)
            digest.update(os.pread(self.image.fileno(), length, offset))
        return digest.digest()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what a client raises into UploadErrors."""
        try:
            with _upload_errors(self.bucket, self.key):
                yield
        except _EndOfBody as error:
            raise UploadError(f"{self._url}: {error}; try again") from error


class _Body(io.RawIOBase):
    """A part of the image as the body of a request, read anew as often as it is sent."""

    def __init__(
        self, image: BinaryIO, part: _Part, progress: Callable[[int], None], stop: Event
    ) -> None:
        self._image = image
        self._part = part
        self._progress = progress
        self._stop = stop
        self._position = 0

    def __len__(self) -> int:
        return self._part.length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._part.length}
        position = min(max(base[whence] + offset, 0), self._part.length)
        self._progress(position - self._position)
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 -- any writable buffer
        if self._stop.is_set():
            raise _EndOfBody("the upload was ended")
        view = memoryview(buffer)[: self._part.length - self._position]
        count = os.preadv(self._image.fileno(), [view], self._part.offset + self._position)
        if not count and view.nbytes:
            raise _EndOfBody("the image became shorter while it was read")
        self._progress(count)
        self._position += count
        return count


def part_size_of(size: int) -> int:
    """The length of the parts, in bytes, in which an image of `size` bytes is sent.

    Raises UploadError where it is more than 10,000 parts of 5 GiB.
    """
    least = -(-size // _MAX_PARTS)
    length = max(_PART_BYTES, -(-least // _MIB) * _MIB)
    if length > _MAX_PART_BYTES:
        raise UploadError(f"an image of {size} bytes is more than S3 takes; make several of it")
    return length


def unfinished(client: S3Client, bucket: str, key: str) -> list[Unfinished]:
    """The unfinished uploads to s3://bucket/key, the newest first. Raises UploadError."""
    with _upload_errors(bucket, key):
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
        there = [found for page in pages for found in page.get("Uploads", [])]
    ours = [found for found in there if found["Key"] == key]  # others begin with it
    ours.sort(key=lambda found: found["Initiated"], reverse=True)
    return [Unfinished(found["UploadId"], found.get("StorageClass", "STANDARD")) for found in ours]


def abort_uploads(client: S3Client, bucket: str, key: str) -> int:
    """Delete the parts of every unfinished upload to s3://bucket/key, whoever began it; returns
    their number. Raises UploadError.
    """
    found = unfinished(client, bucket, key)
    for upload in found:
        _abort(client, bucket, key, upload.upload_id)
    return len(found)


def _abort(client: S3Client, bucket: str, key: str, upload_id: str) -> None:
    # One that was finished or aborted meanwhile is not there any more.
    with _upload_errors(bucket, key), suppress(client.exceptions.NoSuchUpload):
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)


@contextmanager
def _upload_errors(bucket: str, key: str) -> Iterator[None]:
    """Turn what a client raises about s3://bucket/key into UploadErrors, with advice for who
    writes.
    """
    try:
        with mapped_errors(bucket, key):
            yield
    except ArchiveAccessError as error:
        message = str(error)
        for kind, advice in _ADVICE.items():
            if isinstance(error, kind):
                message = f"{message.removesuffix(error.advice)}{advice}"
                break
        raise UploadError(message) from error
