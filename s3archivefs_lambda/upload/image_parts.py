"""An image cut into the parts that S3 accepts: their lengths, MD5s and request bodies."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.store.superblock_metadata import SUPERBLOCK_BYTES
from s3archivefs_lambda.upload.errors import UploadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event
    from typing import BinaryIO

__all__ = [
    "MAX_PART_BYTES",
    "MIN_PART_BYTES",
    "BodyEndedError",
    "ImageParts",
    "Part",
    "PartBody",
    "etag_of_parts",
    "part_size_of",
]

MIN_PART_BYTES = 5 << 20
"""Bytes of a part, at least, except for the last: S3's limit."""
MAX_PART_BYTES = 5 << 30
"""Bytes of a part, at most: S3's limit."""
_PART_BYTES = 16 << 20
"""Bytes of a part by default: little to send again, and 10,000 hold 156 GiB."""
_MAX_PARTS = 10_000
"""Parts of an object, at most: S3's limit."""
_MIB = 1 << 20
_PIECE = 1 << 20  # bytes hashed at once


class BodyEndedError(BaseException):
    """The end of a request from within its body; the message says why.

    Not an Exception, after any of which botocore sends the request again.
    """


class Part(NamedTuple):
    """A range of an image's bytes."""

    number: int
    """The part's number, from 1 as S3 counts."""
    offset: int
    length: int


class ImageParts:
    """An image on disk in parts. Raises UploadError if it is too large.

    Size and time of the file are noted now; `has_changed` compares them. `part_bytes` is the wanted
    length of parts.
    """

    def __init__(self, image: BinaryIO, part_bytes: int | None = None) -> None:
        self._file = image.fileno()
        self._stamp = self._stamp_now()
        self._digests: dict[int, bytes] = {}
        self.size = self._stamp[0]
        """The length of the image, in bytes."""
        self.part_bytes = length = part_size_of(self.size, part_bytes)
        """The length of each part but the last, in bytes: see `part_size_of`."""
        self.parts = [
            Part(number, offset, min(length, self.size - offset))
            for number, offset in enumerate(range(0, max(self.size, 1), length), 1)
        ]

    def has_changed(self) -> bool:
        """Return whether the file was written to since this was made."""
        return self._stamp_now() != self._stamp

    @property
    def superblock(self) -> bytes:
        """The first 96 bytes of the image."""
        return os.pread(self._file, SUPERBLOCK_BYTES, 0)

    @property
    def etag(self) -> str:
        """The ETag of an object of these parts, unless SSE-KMS or SSE-C encrypts it."""
        digests = [self.md5(part) for part in self.parts]
        return digests[0].hex() if len(digests) == 1 else etag_of_parts(digests)

    def md5(self, part: Part) -> bytes:
        """Return the MD5 of a part; read the part on the first call only."""
        if part.number not in self._digests:
            digest = hashlib.md5(usedforsecurity=False)
            for offset in range(part.offset, part.offset + part.length, _PIECE):
                length = min(_PIECE, part.offset + part.length - offset)
                digest.update(os.pread(self._file, length, offset))
            self._digests[part.number] = digest.digest()
        return self._digests[part.number]

    def body(self, part: Part, progress: Callable[[int], None], stop: Event) -> PartBody:
        """Return a part as the body of a request; see `PartBody`."""
        return PartBody(self._file, part, progress, stop)

    def _stamp_now(self) -> tuple[int, int]:
        stat = os.fstat(self._file)
        return stat.st_size, stat.st_mtime_ns


class PartBody(io.RawIOBase):
    """A part of a file, by descriptor; each attempt of a request reads it anew.

    `progress` takes the number of bytes read; it is negative for bytes to read again. Reading
    raises BodyEndedError once `stop` is set.
    """

    def __init__(self, file: int, part: Part, progress: Callable[[int], None], stop: Event) -> None:
        self._file = file
        self._part = part
        self._progress = progress
        self._stop = stop
        self._position = 0

    def __len__(self) -> int:
        return self._part.length

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes from the start of the part."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte of the part, or to its nearer end; return the position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._part.length}
        position = min(max(base[whence] + offset, 0), self._part.length)
        self._progress(position - self._position)
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 -- any writable buffer
        """Read the next bytes into `buffer` and return their number. Raises BodyEndedError."""
        if self._stop.is_set():
            raise BodyEndedError("the upload was ended")
        view = memoryview(buffer)[: self._part.length - self._position]
        count = os.preadv(self._file, [view], self._part.offset + self._position)
        if not count and view.nbytes:
            raise BodyEndedError("the image became shorter while it was read")
        self._progress(count)
        self._position += count
        return count


def etag_of_parts(digests: list[bytes]) -> str:
    """Return the ETag of an object that was uploaded in parts of these MD5s."""
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(digests)}"


def part_size_of(size: int, wanted: int | None = None) -> int:
    """Return the length of the parts, in bytes, for an image of `size` bytes.

    That is `wanted`, or more if S3's 10,000 parts would not hold the image. Raises UploadError for
    an image of more than 10,000 parts of 5 GiB.
    """
    least = -(-size // _MAX_PARTS)
    length = wanted or _PART_BYTES
    if length < least:
        length = -(-least // _MIB) * _MIB
    if length > MAX_PART_BYTES:
        raise UploadError(f"an image of {size} bytes is more than S3 takes; make several of it")
    return length
