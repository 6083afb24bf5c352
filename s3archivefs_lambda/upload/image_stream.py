"""An image sent to S3 while it is written, its first part last.

S3 takes the parts of an upload in any order, and the superblock, which stands at the start of an
image, is known at its end. So the first part is held back in memory, and all others are sent as
they fill. They have one length, which some stores demand. An image of one part is sent whole, with
its superblock as user metadata; of a longer one that metadata would have to be known at the start.

Nothing appears under the key before the image is whole.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import contextmanager, suppress
from io import BytesIO
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any

from s3archivefs import Lock
from s3archivefs_lambda.store.superblock_metadata import superblock_metadata
from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.image_parts import etag_of_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs_lambda.upload.upload_target import UploadTarget

__all__ = ["ImageStream", "streamed_part_size"]

_MAX_PARTS = 10_000
"""Parts of an object, at most: S3's limit."""
_MIB = 1 << 20
_PART_BYTES = 16 * _MIB
"""Bytes of a part where the image is known to be of that order."""
_UNKNOWN_PART_BYTES = 48 * _MIB
"""Bytes of a part where nothing is known of the image: 10,000 hold 468 GiB."""
_FEW_PARTS = 1000
"""Parts that any store takes, such as OpenStack Swift."""
_SPARE = 1.1
"""By how much an image may be longer than its estimate: incompressible content, and metadata."""
_IN_FLIGHT_BYTES = 96 * _MIB
"""Bytes of parts that are being sent, at most, but for a single larger part.

The first part and the next are in memory too, and up to 300 MB of a million files.
"""
_THREADS = 4
_REFUSED = frozenset({400, 401, 403, 501})
"""Statuses of a request that did nothing, whatever became of attempts before it."""
_PADDING = 4096
"""Bytes that an image's length is a multiple of, as mksquashfs has it."""


def streamed_part_size(estimate: int | None) -> int:
    """Return the bytes of a part; `estimate` are those of the image, if known.

    An image of up to 42 GiB has parts that any store takes.
    """
    if estimate is None:
        return _UNKNOWN_PART_BYTES
    most = int(estimate * _SPARE)
    least = max(min(-(-most // _FEW_PARTS), _UNKNOWN_PART_BYTES), -(-most // _MAX_PARTS))
    return max(_PART_BYTES, -(-least // _MIB) * _MIB)


class ImageStream:
    """Takes an image under way, for the reader's writer, and stores it in S3.

    `replace` allows it to take the place of an object. Raises UploadError from any method; what S3
    then holds of the image is deleted by `abandon`, which raises it too if that cannot be.
    """

    def __init__(
        self,
        target: UploadTarget,
        *,
        part_bytes: int,
        replace: bool = False,
        storage_class: str = "",
    ) -> None:
        self.target = target
        """Where the image goes."""
        self._part_bytes = part_bytes
        self._replace = replace
        self._storage_class = storage_class
        self._first = BytesIO()
        self._first_bytes = part_bytes
        """Bytes of the part that is held back."""
        self._part = BytesIO()
        self._size = 0
        self._parts = _Parts(max(1, min(_THREADS, _IN_FLIGHT_BYTES // part_bytes)))
        self._upload_id = ""
        self.was_begun_again = False
        """Whether S3 may hold an upload without parts, as an answer was lost."""
        self._metadata: dict[str, str] = {}
        """User metadata of an image in parts that is known at the start."""
        self._etag = ""
        """The ETag that the store gave the image, if it told."""
        if not replace:
            target.require_absence()

    def write(self, content: bytes) -> None:
        """Append to the image; wait where too many parts are being sent."""
        self._size += len(content)
        rest = memoryview(content)
        rest = rest[self._first.write(rest[: self._first_bytes - self._first.tell()]) :]
        while rest:
            if self._part.tell() == self._part_bytes:
                self._send_part()
            rest = rest[self._part.write(rest[: self._part_bytes - self._part.tell()]) :]

    def finish(self, superblock: bytes) -> None:
        """Send what is left, then the first part; the object appears."""
        self.write(bytes(-self._size % _PADDING))
        with self._first.getbuffer() as first:
            first[: len(superblock)] = superblock
        if not self._part.tell():
            self._put_whole(superblock)
            return
        self._end_part()
        etags = self._parts.wait()
        etags[1] = self._sent(1, self._first)
        self._complete(etags)

    def abandon(self) -> None:
        """Delete the parts that S3 holds."""
        self._parts.stop()
        upload_id, self._upload_id = self._upload_id, ""  # it is tried once
        if upload_id:
            self.target.abort_own(upload_id)

    # ---- Requests --------------------------------------------------------------------------------

    def _end_part(self) -> None:
        """Let what is written next begin another part."""
        self._first_bytes = self._first.tell()
        if self._part.tell():
            self._send_part()

    def _put_whole(self, superblock: bytes) -> None:
        with self._stored_anyway(_md5(self._first).hex()):
            answer = self.target.client.put_object(
                **self.target.name,
                **self._attributes(superblock_metadata(superblock)),
                **self._condition(),
                **_body(self._first),
            )
            self._etag = answer.get("ETag", "")

    def _send_part(self) -> None:
        """Send a part behind the first in the background, without a copy of it."""
        content, self._part = self._part, BytesIO()
        self._start_part(lambda number: self._sent(number, content))

    def _start_part(self, send: Callable[[int], str]) -> None:
        """Start what makes a part of the next number, and returns its ETag."""
        if not self._upload_id:
            self._create()
        number = self._parts.count + 2
        if number > _MAX_PARTS:
            raise UploadError(
                f"{self.target}: the image is longer than {_MAX_PARTS:,} parts of"
                f" {self._part_bytes:,} bytes: set S3ARCHIVEFS_MPU_CHUNK_SIZE to more"
            )
        self._parts.start(number, lambda: send(number))

    def _create(self) -> None:
        """Begin an upload, and note whether attempts before may have begun others."""
        try:
            with self.target.errors():
                created = self.target.client.create_multipart_upload(
                    **self.target.name, **self._attributes(self._metadata)
                )
        except UploadError as error:
            # Where no answer comes at all, to ask for others would take as long once more.
            self.was_begun_again = error.status is not None and error.status >= 500
            raise
        self._upload_id = created["UploadId"]
        self.was_begun_again = bool(created["ResponseMetadata"].get("RetryAttempts"))

    def _sent(self, number: int, content: BytesIO) -> str:
        """Send a part; return its ETag.

        Nothing is left of the content, though botocore keeps requests whose attempts failed, in
        cycles that Python collects late: some of them would fill the memory.
        """
        with content, self.target.errors(part=number):
            answer = self.target.client.upload_part(
                **self.target.name,
                UploadId=self._upload_id,
                PartNumber=number,
                **_body(content),
            )
        return answer["ETag"]

    def _complete(self, etags: dict[int, str]) -> None:
        """Make the object of the parts. Some stores ignore the condition: ask them before too."""
        if not self._replace:
            self.target.require_absence()
        parts: Any = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        with self._stored_anyway(_etag_of(etags)):
            answer = self.target.client.complete_multipart_upload(
                **self.target.name,
                **self._condition(),
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
            )
            self._etag = answer.get("ETag", "")
        self._upload_id = ""
        self._require_stored()

    @contextmanager
    def _stored_anyway(self, etag: str) -> Iterator[None]:
        """Raise UploadError for a last request that fails, unless the object is the image.

        An answer may be lost: the attempt after it is told that the upload is unknown, or that the
        object exists.
        """
        try:
            with self.target.errors():
                yield
        except UploadError as error:
            if error.status in _REFUSED:
                raise
            head = None
            with suppress(UploadError):
                head = self.target.head()
            if head is None or not etag or head["ETag"].strip('"') != etag:
                raise
            self._etag = head["ETag"]

    def _require_stored(self) -> None:
        """Raise UploadError where another program wrote the object at the same time."""
        try:
            head = self.target.head()
        except UploadError as error:
            raise UploadError(f"{error}; the image was stored, but cannot be looked at") from error
        if head is None:
            return
        is_own = not self._etag or head["ETag"].strip('"') == self._etag.strip('"')
        if head["ContentLength"] != self._size or not is_own:
            raise UploadError(
                f"{self.target}: another program wrote it at the same time: look at what is there"
                " now, and run this again"
            )

    def _attributes(self, metadata: dict[str, str]) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        """Return what the object gets besides its content."""
        found: dict[str, Any] = {"Metadata": metadata} if metadata else {}
        return found | ({"StorageClass": self._storage_class} if self._storage_class else {})

    def _condition(self) -> Any:  # noqa: ANN401 -- likewise
        return {} if self._replace else {"IfNoneMatch": "*"}


class _Parts:
    """Parts that are sent in the background, `threads` at a time.

    Threads are daemons: a request that waits for its answer cannot be ended, and the process must
    end all the same.
    """

    def __init__(self, threads: int) -> None:
        self.count = 0
        """Parts that were started."""
        self._room = Semaphore(threads)
        self._lock = Lock()
        self._etags: dict[int, str] = {}
        self._error: BaseException | None = None
        self._threads: list[Thread] = []

    def start(self, number: int, send: Callable[[], str]) -> None:
        """Send a part once there is room. Raises what an earlier one raised."""
        self._room.acquire()
        if self._error is not None:
            self._room.release()
            raise self._error
        self.count += 1
        thread = Thread(target=self._run, args=(number, send), daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        thread.start()

    def wait(self) -> dict[int, str]:
        """Wait for all parts; return their ETags by number. Raises what one raised."""
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error
        return self._etags

    def stop(self) -> None:
        """Start no further part."""
        with self._lock:
            self._error = self._error or UploadError("the upload was ended")

    def _run(self, number: int, send: Callable[[], str]) -> None:
        try:
            etag = send()
            with self._lock:
                self._etags[number] = etag
        except BaseException as error:  # noqa: BLE001 -- the writing thread raises it
            with self._lock:
                self._error = self._error or error
        finally:
            self._room.release()


def _etag_of(etags: dict[int, str]) -> str:
    """Return the ETag of the object of these parts; "" for no MD5s."""
    try:
        return etag_of_parts([bytes.fromhex(etags[number].strip('"')) for number in sorted(etags)])
    except ValueError:
        return ""


def _body(content: BytesIO) -> Any:  # noqa: ANN401 -- likewise
    content.seek(0)
    return {"Body": content, "ContentMD5": base64.b64encode(_md5(content)).decode()}


def _md5(content: BytesIO) -> bytes:
    with content.getbuffer() as whole:
        return hashlib.md5(whole, usedforsecurity=False).digest()
