"""An image as the parts in which S3 takes it: their lengths, their hashes, and their bodies."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.store.opening import SUPERBLOCK_BYTES
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
    "part_size_of",
]

MIN_PART_BYTES = 5 << 20
"""What S3 takes as a part, unless it is the last."""
MAX_PART_BYTES = 5 << 30
_PART_BYTES = 16 << 20
_MAX_PARTS = 10_000
_MIB = 1 << 20
_PIECE = 1 << 20  # bytes hashed at once


class BodyEndedError(BaseException):
    """Ends a request from within its body; the message says why.

    botocore tries again after any Exception.
    """


class Part(NamedTuple):
    """A piece of an image; offset and length in bytes."""

    number: int
    """From 1, as S3 counts."""
    offset: int
    length: int


class ImageParts:
    """An image on disk, as it was when this was made. Raises UploadError where it is too large."""

    def __init__(self, image: BinaryIO, part_bytes: int | None = None) -> None:
        """`part_bytes` is the length that is wanted of parts, if one is."""
        self._file = image.fileno()
        self._stamp = self._stamp_now()
        self._digests: dict[int, bytes] = {}
        self.size = self._stamp[0]
        """In bytes."""
        self.part_bytes = length = part_size_of(self.size, part_bytes)
        """Of each part but the last; as wanted, or as S3 needs it."""
        self.parts = [
            Part(number, offset, min(length, self.size - offset))
            for number, offset in enumerate(range(0, max(self.size, 1), length), 1)
        ]

    def has_changed(self) -> bool:
        """Whether the file has been written to since."""
        return self._stamp_now() != self._stamp

    @property
    def superblock(self) -> str:
        """The image's first 96 bytes, in base64."""
        return base64.b64encode(os.pread(self._file, SUPERBLOCK_BYTES, 0)).decode()

    @property
    def etag(self) -> str:
        """What S3 gives an object of these parts, unless it is encrypted with SSE-KMS or SSE-C."""
        digests = [self.md5(part) for part in self.parts]
        if len(digests) == 1:
            return digests[0].hex()
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False)
        return f"{whole.hexdigest()}-{len(digests)}"

    def md5(self, part: Part) -> bytes:
        """The MD5 of a part, which is read once."""
        if part.number not in self._digests:
            digest = hashlib.md5(usedforsecurity=False)
            for offset in range(part.offset, part.offset + part.length, _PIECE):
                length = min(_PIECE, part.offset + part.length - offset)
                digest.update(os.pread(self._file, length, offset))
            self._digests[part.number] = digest.digest()
        return self._digests[part.number]

    def body(self, part: Part, progress: Callable[[int], None], stop: Event) -> PartBody:
        """A part as the body of a request, which raises BodyEndedError once `stop` is set."""
        return PartBody(self._file, part, progress, stop)

    def _stamp_now(self) -> tuple[int, int]:
        stat = os.fstat(self._file)
        return stat.st_size, stat.st_mtime_ns


class PartBody(io.RawIOBase):
    """A part of a file, by descriptor, read anew as often as it is sent.

    `progress` is told of the bytes read, and, in negative numbers, of those to be read again.
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
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read again."""
        return True

    def tell(self) -> int:
        """Bytes from the start of the part."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte of the part; never beyond its ends."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._part.length}
        position = min(max(base[whence] + offset, 0), self._part.length)
        self._progress(position - self._position)
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 -- any writable buffer
        """Read the next bytes. Raises BodyEndedError."""
        if self._stop.is_set():
            raise BodyEndedError("the upload was ended")
        view = memoryview(buffer)[: self._part.length - self._position]
        count = os.preadv(self._file, [view], self._part.offset + self._position)
        if not count and view.nbytes:
            raise BodyEndedError("the image became shorter while it was read")
        self._progress(count)
        self._position += count
        return count


def part_size_of(size: int, wanted: int | None = None) -> int:
    """The length of the parts, in bytes, in which an image of `size` bytes is sent: as it is
    wanted, or longer, lest there be more parts than S3 takes.

    Raises UploadError where it is more than 10,000 parts of 5 GiB.
    """
    least = -(-size // _MAX_PARTS)
    length = wanted or _PART_BYTES
    if length < least:
        length = -(-least // _MIB) * _MIB
    if length > MAX_PART_BYTES:
        raise UploadError(f"an image of {size} bytes is more than S3 takes; make several of it")
    return length
