"""An image in S3 that another replaces, which begins with bytes of it.

S3 itself copies these: ranges of the object become parts of the upload that replaces it, pinned to
its ETag. Only the first part, which has the superblock, and the tables are fetched, and ranges too
short to be copied. An image of little data is fetched and sent whole.

The superblock belongs in the object's metadata, which goes with the request that begins an upload.
So what is new, mostly little, is held in memory until the superblock is known. Where it is much,
the upload begins without, and the object has no such metadata: never that of the former image.

Some stores ignore conditions, so the object's ETag is asked for before the upload is completed, and
after. Between the two such a store would let another program replace the object unnoticed.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from s3archivefs import Superblock
from s3archivefs.writer import Cost
from s3archivefs_lambda.store.device import LASTING_PATIENCE, S3Device
from s3archivefs_lambda.store.errors import ArchiveAccessError, ArchiveReplacedError
from s3archivefs_lambda.store.superblock_metadata import (
    SUPERBLOCK_METADATA,
    superblock_metadata,
    user_metadata,
)
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError
from s3archivefs_lambda.upload.image_stream import ImageStream
from s3archivefs_lambda.upload.kept_parts import LEAST_PART, KeptParts, fetches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s3archivefs_lambda.upload.kept_parts import Kept
    from s3archivefs_lambda.upload.upload_target import UploadTarget

__all__ = ["ExtensionStream", "StoredImage", "revision_cost"]

_SUPERBLOCK = 96
_MAGIC = b"hsqs"
_NOT_IMPLEMENTED = 501
_CHECKS = 2
"""Requests for the object's ETag: before an upload is completed, and after."""
_HELD_BYTES = 64 << 20
"""Bytes that are held back until the superblock is known, at most."""
_TABLES_BYTES = 512 << 20
"""Bytes of tables that are fetched at once, at most.

Those of some ten million files have as many. A superblock may claim any number: what lies beyond is
fetched as it is read.
"""
_KEPT_FIELDS = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")


def revision_cost(kept: KeptParts, size: int, *, received: int, requests: int) -> Cost:
    """Return what an image of `size` bytes costs that keeps parts of another.

    `received` and `requests` are what fetching took.
    """
    parts = kept.parts(size)
    stored = 1 if parts == 1 else parts + 2  # an upload is begun and completed
    return Cost(size - kept.copied, received, kept.copied, requests + stored + _CHECKS)


class StoredImage:
    """The image in an object, as far as it is fetched.

    It is a block device whose first part and tables need no request. Raises UploadError.
    """

    def __init__(self, target: UploadTarget, *, tables_bytes: int = _TABLES_BYTES) -> None:
        """Fetch the first part, and at most `tables_bytes` of the tables."""
        self.target = target
        with target.errors():
            head: Any = target.client.head_object(**target.name)
        self.head = head
        self.size: int = head["ContentLength"]
        self.etag: str = head["ETag"]
        version = head.get("VersionId")
        self.version_id: str | None = None if version == "null" else version
        self._device = S3Device(
            target.client,
            target.bucket,
            target.key,
            etag=self.etag,
            size=self.size,
            version_id=self.version_id,
            patience=LASTING_PATIENCE,
        )
        self._first = self._fetched(0, min(self.size, LEAST_PART))
        self._last_start, end = self._place_of_last()
        end = min(end, self._last_start + tables_bytes)
        self._last = self._fetched(self._last_start, end - self._last_start)
        self.received = len(self._first) + len(self._last)
        """Bytes that were fetched, but for those to be sent again."""
        self.requests = 2 + bool(self._last)
        """Requests that were made for them."""

    def pread(self, offset: int, length: int) -> bytes:
        """Return bytes of the image; first part and tables are there."""
        if missing := self._missing(offset, offset + length):
            self.received += missing
            self.requests += 1
        return self.content(offset, offset + length)

    def content(self, offset: int, end: int) -> bytes:
        """Return bytes of the image that are sent again: `cost` has them."""
        pieces = []
        for start, held in self._held():
            if offset < (gap_end := min(start, end)):
                pieces.append(self._fetched(offset, gap_end - offset))
                offset = gap_end
            pieces.append(held[offset - start : end - start])
            offset += len(pieces[-1])
        return b"".join(pieces)

    def cost(self, ranges: Sequence[tuple[int, int]], size: int, *, part_bytes: int) -> Cost:
        """Return what an image of `size` bytes costs, which begins with ranges of this one.

        What opening this one took is part of it.
        """
        kept = KeptParts(ranges, part_bytes)
        received, requests = self.received, self.requests
        for group in fetches(kept.pieces):
            if missing := self._missing(group[0][0], group[-1][1]):
                received += missing
                requests += 1
        return revision_cost(kept, size, received=received, requests=requests)

    def _held(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is there, from where on, up to an empty piece at the end."""
        yield 0, self._first
        yield self._last_start, self._last
        yield self.size, b""

    def _missing(self, start: int, end: int) -> int:
        """Return how many bytes of a range are not there."""
        there = (min(end, first + len(held)) - max(start, first) for first, held in self._held())
        return end - start - sum(max(0, each) for each in there)

    def _place_of_last(self) -> tuple[int, int]:
        """Return where the last bytes that are fetched start and end."""
        first = self._first[:_SUPERBLOCK]
        if len(first) == _SUPERBLOCK and first.startswith(_MAGIC):
            superblock = Superblock.parse(first)
            tables, end = superblock.inode_table_start, superblock.bytes_used
            if tables <= end <= self.size:
                start = tables if tables >= 2 * LEAST_PART else len(self._first)
                return start, max(start, end)
        # What is no image is told so by its ends: a streamed one has its superblock last.
        return max(len(self._first), self.size - _SUPERBLOCK), self.size

    def _fetched(self, offset: int, length: int) -> bytes:
        try:
            return self._device.pread(offset, length)
        except ArchiveReplacedError as error:
            raise OtherObjectError(f"{self.target}: it was replaced meanwhile") from error
        except ArchiveAccessError as error:
            raise UploadError(str(error)) from error


class ExtensionStream(ImageStream):
    """Takes the image that replaces a stored one.

    Raises UploadError from any method, OtherObjectError where another program replaces the object.
    """

    def __init__(self, image: StoredImage, *, part_bytes: int, superblock: bytes = b"") -> None:
        """Begin the image; nothing is held back of one whose superblock is known."""
        super().__init__(image.target, part_bytes=part_bytes, replace=True)
        self._image = image
        self._required: dict[str, str] = {"IfMatch": image.etag}
        self._ranges: Sequence[tuple[int, int]] = ()
        self._held: deque[bytes] | None = deque()
        """What is held back; None once the upload has begun."""
        self._held_bytes = 0
        if superblock:
            self._metadata = superblock_metadata(superblock)

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin with ranges of the stored image."""
        self._ranges = ranges
        if self._metadata:
            self._begin()

    def write(self, content: bytes) -> None:
        """Append to the image, once the superblock is known or too much is held back."""
        if self._held is None:
            super().write(content)
            return
        self._held.append(content)
        self._held_bytes += len(content)
        if self._held_bytes > _HELD_BYTES:
            self._begin()

    def finish(self, superblock: bytes) -> None:
        """Send what is left; the image takes the place of the stored one."""
        if self._held is not None:
            self._metadata = superblock_metadata(superblock)
            self._begin()
        super().finish(superblock)

    def _begin(self) -> None:
        """Let the store copy what is kept, and send what was held back."""
        held, self._held = self._held or deque(), None
        self._copy(KeptParts(self._ranges, self._part_bytes).pieces)
        while held:
            self.write(held.popleft())

    def _copy(self, pieces: Sequence[Kept]) -> None:
        for is_copied, alike in groupby(pieces, key=attrgetter("is_copied")):
            if not is_copied:
                self._send_anew([*alike])
                continue
            self._end_part()
            for piece in alike:
                self._start_part(partial(self._copied, piece.start, piece.end))
                self._size += piece.end - piece.start

    def _send_anew(self, pieces: Sequence[Kept]) -> None:
        for group in fetches(pieces):
            first, last = group[0][0], group[-1][1]
            content = self._image.content(first, last)
            for start, end in group:
                self.write(content[start - first : end - first])

    def _copied(self, start: int, end: int, number: int) -> str:
        """Let S3 copy a range of the object as a part; return its ETag."""
        image, target = self._image, self.target
        source: Any = {"Bucket": target.bucket, "Key": target.key}
        if image.version_id is not None:
            source["VersionId"] = image.version_id
        with target.errors(part=number):
            answer: Any = target.client.upload_part_copy(
                **target.name,
                UploadId=self._upload_id,
                PartNumber=number,
                CopySource=source,
                CopySourceRange=f"bytes={start}-{end - 1}",
                CopySourceIfMatch=image.etag,
            )
        return str(answer["CopyPartResult"]["ETag"])

    def _put_whole(self, superblock: bytes) -> None:
        self._replace_by(partial(super()._put_whole, superblock))
        self._require_stored()

    def _complete(self, etags: dict[int, str]) -> None:
        self._replace_by(partial(super()._complete, etags))

    def _replace_by(self, store: partial[None]) -> None:
        """Store the image, unless the object is another by now."""
        self._require_unchanged()
        try:
            store()
        except OtherObjectError:
            self._require_unchanged()
            # radosgw compares the condition with the ETag without its quotes.
            self._required = {"IfMatch": self._image.etag.strip('"')}
            store()
        except UploadError as error:
            if error.status != _NOT_IMPLEMENTED:
                raise
            self._required = {}  # the store knows no such condition, and did nothing
            store()

    def _require_unchanged(self) -> None:
        head = self.target.head()
        if head is None or head["ETag"] != self._image.etag:
            raise OtherObjectError(f"{self.target}: another program replaced it meanwhile")

    def _condition(self) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        return self._required

    def _attributes(self, metadata: dict[str, str]) -> Any:  # noqa: ANN401 -- likewise
        """Return what the object has besides its content, but for the superblock."""
        head = self._image.head
        kept = user_metadata(head)
        kept.pop(SUPERBLOCK_METADATA, None)
        found = {name: head[name] for name in (*_KEPT_FIELDS, "ContentType") if head.get(name)}
        if head.get("StorageClass"):
            found["StorageClass"] = head["StorageClass"]
        return found | {"Metadata": kept | metadata}
