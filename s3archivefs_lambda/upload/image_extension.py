"""An image in S3 that another replaces, which begins with the same bytes.

S3 itself copies these: ranges of the object become parts of the upload that replaces it, pinned to
its ETag. Only the first part, which has the superblock, and the tables are fetched. An image of
little data is fetched and sent whole, as S3 copies no part shorter than 5 MiB.

Some stores ignore conditions, so the object's ETag is asked for before the upload is completed, and
after. Between the two such a store would let another program replace the object unnoticed.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from s3archivefs import Superblock
from s3archivefs.writer import Cost
from s3archivefs_lambda.store.device import S3Device
from s3archivefs_lambda.store.errors import ArchiveAccessError, ArchiveReplacedError
from s3archivefs_lambda.store.superblock_metadata import SUPERBLOCK_METADATA, user_metadata
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError
from s3archivefs_lambda.upload.image_stream import ImageStream

if TYPE_CHECKING:
    from s3archivefs_lambda.upload.upload_target import UploadTarget

__all__ = ["ExtensionStream", "StoredImage", "copied_ranges", "extension_cost"]

_LEAST_PART = 5 << 20
"""Bytes of the shortest part that S3 takes but for the last."""
_COPIED = 1 << 30
"""Bytes of a copied part, about, where there are several: so few requests copy all."""
_MOST_COPIED = 5 << 30
_COPIES = 500
"""Copied parts, at most: some stores take 1,000 parts in all."""
_SUPERBLOCK = 96
_MAGIC = b"hsqs"
_NOT_IMPLEMENTED = 501
_CHECKS = 2
"""Requests for the object's ETag: before an upload is completed, and after."""
_KEPT_FIELDS = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")


def copied_ranges(kept: int) -> list[tuple[int, int]]:
    """Return the ranges that S3 copies of an image's first `kept` bytes: starts and ends."""
    length = kept - _LEAST_PART
    if length < _LEAST_PART:
        return []
    count = -(-length // min(_MOST_COPIED, max(_COPIED, -(-length // _COPIES))))
    bounds = [_LEAST_PART + length * number // count for number in range(count + 1)]
    return [*pairwise(bounds)]


def extension_cost(kept: int, size: int, *, part_bytes: int, received: int, requests: int) -> Cost:
    """Return what an image of `size` bytes costs, of which `kept` are there.

    `received` and `requests` are what opening the image took.
    """
    copies = copied_ranges(kept)
    if copies:
        parts = len(copies) + -(-(size - kept) // part_bytes) + 1
        sent, copied = _LEAST_PART + size - kept, kept - _LEAST_PART
    else:
        parts = -(-size // part_bytes)
        sent, copied = size, 0
    stored = 1 if parts == 1 else parts + 2  # an upload is begun and completed
    return Cost(sent, received, copied, requests + stored + _CHECKS)


class StoredImage:
    """The image in an object, as far as it is fetched.

    It is a block device whose first part and tables need no request. Raises UploadError.
    """

    def __init__(self, target: UploadTarget) -> None:
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
        )
        self._first = self._fetched(0, min(self.size, _LEAST_PART))
        self._last_start = self._start_of_last()
        self._last = self._fetched(self._last_start, self.size - self._last_start)
        self.received = len(self._first) + len(self._last)
        """Bytes that were fetched."""
        self.requests = 2 + bool(self._last)
        """Requests that were made."""

    def pread(self, offset: int, length: int) -> bytes:
        """Return bytes of the first part, or of the tables."""
        if offset + length <= len(self._first):
            return self._first[offset : offset + length]
        if offset >= self._last_start:
            offset -= self._last_start
            return self._last[offset : offset + length]
        head = self._first[offset:]
        return head + self._fetched(offset + len(head), length - len(head))

    def _start_of_last(self) -> int:
        """Return where the last bytes start that are fetched."""
        first = self._first[:_SUPERBLOCK]
        if len(first) == _SUPERBLOCK and first.startswith(_MAGIC):
            tables = Superblock.parse(first).inode_table_start
            if copied_ranges(tables) and tables <= self.size:
                return tables
            if tables <= self.size:
                return len(self._first)
        # What is no image is told so by its ends: a streamed one has its superblock last.
        return max(len(self._first), self.size - _SUPERBLOCK)

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

    def __init__(self, image: StoredImage, *, part_bytes: int) -> None:
        super().__init__(image.target, part_bytes=part_bytes, replace=True)
        self._image = image
        self._required: dict[str, str] = {"IfMatch": image.etag}

    def keep(self, length: int) -> None:
        """Begin with the first bytes of the stored image."""
        copies = copied_ranges(length)
        if not copies:
            self.write(self._image.pread(0, length))
            return
        self._first += self._image.pread(0, _LEAST_PART)
        self._first_bytes = _LEAST_PART
        self._size = length
        for start, end in copies:
            self._start_part(partial(self._copied, start, end))

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
