"""Storing a squashfs image in S3, in parts that an interrupted upload goes on from.

Nothing is kept on this side: the parts that S3 already holds are found by their MD5, which is their
ETag, so the same call after any interruption, on any machine, sends only what is missing. With
SSE-KMS or SSE-C, ETags are no MD5s: an interrupted upload begins anew, and whether an object that
is there is this image cannot be told.

An upload aborts itself where nothing can be resumed. It leaves other uploads to the same key alone:
they may be under way elsewhere.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.store.opening import SUPERBLOCK_METADATA
from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.image_parts import BodyEndedError, ImageParts
from s3archivefs_lambda.upload.target import EXISTS
from s3archivefs_lambda.upload.threads import run_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from s3archivefs_lambda.upload.image_parts import Part
    from s3archivefs_lambda.upload.target import Unfinished, UploadTarget

__all__ = ["THREADS", "ImageUpload", "UploadError"]

THREADS = 4
"""Parts that are sent at once."""

# Statuses of writes that come too late, be it only that the answer to an earlier attempt was lost:
# the upload is not there any more, others write, or the object is there.
_TOO_LATE = {404, 409, 412}


@dataclass(slots=True)
class ImageUpload:
    """One image on its way to S3. Raises UploadError where it is too large.

    The image is what the file holds when this is made: a change after that is an error.
    """

    target: UploadTarget
    file: BinaryIO
    """The image, open for reading, on disk: its bytes are read by position, in threads."""
    storage_class: str = ""
    """One of S3's; STANDARD where it is empty."""
    part_bytes: int | None = None
    """Bytes in each part; a length that suits most images where it is None."""
    replace: bool = False
    """Whether an object that is there may be replaced."""
    progress: Callable[[int], None] = lambda _: None
    """Told of bytes sent, and, in negative numbers, of those that must be sent again."""
    upload_id: str = field(init=False, default="")
    """S3's name of the upload, while it is in parts and unfinished."""
    _image: ImageParts = field(init=False)

    def __post_init__(self) -> None:
        self._image = ImageParts(self.file, self.part_bytes)

    @property
    def size(self) -> int:
        """Of the image, in bytes."""
        return self._image.size

    @property
    def part_size(self) -> int:
        """Of each part but the last, in bytes; larger than asked for where S3 needs it."""
        return self._image.part_bytes

    def run(self) -> bool:
        """Store the image, whole: a reader sees the object before, or this one.

        Its first 96 bytes become the user metadata `s3archivefs-superblock`. False where the object
        is this image already, so that there was nothing to do. Raises UploadError; after that, and
        after KeyboardInterrupt, `upload_id` names the parts that stay in S3, if there are any.
        """
        if self.is_stored():
            return False
        if self._image.has_changed():
            raise self._changed()
        try:
            if len(self._image.parts) == 1:
                self._put_whole()
            else:
                self._complete(self._send(self._begin()))
        except UploadError as error:
            if self._image.has_changed():  # so its parts are of no image
                with suppress(UploadError):
                    self.abort()
                raise self._changed() from error
            if error.is_missing:
                self.upload_id = ""  # there is nothing to go on from
            if error.status not in _TOO_LATE or not self._is_there():
                raise
            with suppress(UploadError):  # the image is stored
                self.abort()
        self._check()
        return True

    def is_stored(self) -> bool:
        """Whether the object is this image already: an earlier call may have been interrupted when
        all was done. Raises UploadError where it is another one that may not be replaced.
        """
        if self.replace:
            return False
        there = self.target.head()
        if there is None:
            return False
        if not self._is_image(there):
            raise UploadError(f"{self.target} {EXISTS}")
        return True

    def abort(self) -> None:
        """After `run` has failed: delete the parts that it has left in S3. Raises UploadError."""
        if self.upload_id:
            self.target.abort(self.upload_id)
            self.upload_id = ""

    def unfinished(self) -> list[Unfinished]:
        """The unfinished uploads to the same key, the newest first, as far as these credentials may
        see them. Raises UploadError.
        """
        try:
            return self.target.unfinished()
        except UploadError as error:
            if error.is_forbidden:  # who may only write begins anew
                return []
            raise

    # ---- What is there -------------------------------------------------------------------------

    def _changed(self) -> UploadError:
        return UploadError(f"{self.target}: the image changed while it was read; try again")

    def _is_image(self, there: Any) -> bool:  # noqa: ANN401 -- S3's answer to HEAD
        """Whether an object is this image, stored as it is to be. Raises UploadError where it looks
        like it, and S3 does not tell.
        """
        is_alike = (
            there["ContentLength"] == self.size
            and _superblock_of(there) == self._image.superblock
            and self.storage_class in {"", there.get("StorageClass", "STANDARD")}
        )
        if is_alike and not _has_md5_etag(there):
            raise UploadError(
                f"{self.target} has this image's length and superblock, but encrypted as it is, S3 "
                "does not tell whether it is this image; --force stores it again"
            )
        return is_alike and there["ETag"].strip('"') == self._image.etag

    def _is_there(self) -> bool:
        there = None
        with suppress(UploadError):
            there = self.target.head()
        return there is not None and self._is_image(there)

    def _check(self) -> None:
        """Hold the object against the image. Each part's content S3 has checked by its MD5."""
        there = self.target.head()
        if there is None:  # these credentials may not read it
            return
        if there["ContentLength"] != self.size:
            raise UploadError(
                f"{self.target} has {there['ContentLength']} bytes, the image {self.size}: "
                "it was replaced meanwhile; look who else writes to it"
            )
        if _superblock_of(there) != self._image.superblock:
            raise UploadError(
                f"{self.target} has not this image's user metadata {SUPERBLOCK_METADATA}: "
                "it was replaced meanwhile, another program had begun the upload, or the store "
                "keeps no metadata; --force stores it again"
            )

    # ---- The upload ----------------------------------------------------------------------------

    def _put_whole(self) -> None:
        (part,) = self._image.parts
        with self._sending(part, Event()) as body:
            self.target.client.put_object(
                **self.target.name, **self._attributes(), **self._condition(), **body
            )

    def _begin(self) -> dict[int, str]:
        """Find an upload to go on with, or begin one; returns the ETags of the parts it holds."""
        for upload in self.unfinished():
            if (self.storage_class or "STANDARD") != upload.storage_class:
                continue
            kept = self._kept(upload.upload_id)
            # The superblock in the first part tells that the upload was begun with its metadata.
            if kept and 1 in kept:
                self.progress(sum(self._image.parts[number - 1].length for number in kept))
                self.upload_id = upload.upload_id
                return kept
        with self.target.errors():
            created = self.target.client.create_multipart_upload(
                **self.target.name, **self._attributes()
            )
        self.upload_id = created["UploadId"]
        try:
            return {1: self._send_part(self._image.parts[0], Event())}
        except BaseException:
            with suppress(UploadError):
                self.abort()  # there is nothing to go on from
            raise

    def _kept(self, upload_id: str) -> dict[int, str] | None:
        """The ETags of the parts that an upload holds; None if one is not of this image, or these
        credentials may not list them.
        """
        parts = {part.number: part for part in self._image.parts}
        kept: dict[int, str] = {}
        try:
            for there in self.target.parts(upload_id):
                part = parts.get(there["PartNumber"])
                if part is None or there["Size"] != part.length:
                    return None
                if there["ETag"].strip('"') != self._image.md5(part).hex():
                    return None
                kept[part.number] = there["ETag"]
        except UploadError as error:
            if error.is_forbidden or error.is_missing:  # it may have been ended meanwhile
                return None
            raise
        return kept

    def _send(self, kept: dict[int, str]) -> dict[int, str]:
        """Send the parts that are not `kept`; returns the ETags of all by number."""
        todo = [part for part in self._image.parts if part.number not in kept]
        sent = run_parallel(self._send_part, todo, threads=THREADS)
        return kept | {part.number: etag for part, etag in sent}

    def _send_part(self, part: Part, stop: Event) -> str:
        with self._sending(part, stop) as body:
            answer = self.target.client.upload_part(
                **self.target.name, UploadId=self.upload_id, PartNumber=part.number, **body
            )
        return answer["ETag"]

    def _complete(self, etags: dict[int, str]) -> None:
        if self._image.has_changed():
            raise self._changed()
        if self.is_stored():  # again: not every store heeds the condition
            with suppress(UploadError):
                self.abort()
            return
        parts: Any = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        with self.target.errors():
            self.target.client.complete_multipart_upload(
                **self.target.name,
                **self._condition(),
                UploadId=self.upload_id,
                MultipartUpload={"Parts": parts},
            )
        self.upload_id = ""

    # ---- Requests ------------------------------------------------------------------------------

    def _attributes(self) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        attributes: dict[str, Any] = {"Metadata": {SUPERBLOCK_METADATA: self._image.superblock}}
        if self.storage_class:
            attributes["StorageClass"] = self.storage_class
        return attributes

    def _condition(self) -> Any:  # noqa: ANN401
        return {} if self.replace else {"IfNoneMatch": "*"}

    @contextmanager
    def _sending(self, part: Part, stop: Event) -> Iterator[Any]:
        """What a request is to send of a part; turns what the client raises into UploadErrors."""
        md5 = base64.b64encode(self._image.md5(part)).decode()
        if self._image.has_changed():  # S3 would refuse whatever changes after this by its MD5
            raise self._changed()
        try:
            with self.target.errors():
                yield {"Body": self._image.body(part, self.progress, stop), "ContentMD5": md5}
        except BodyEndedError as error:
            raise UploadError(f"{self.target}: {error}; try again") from error


def _has_md5_etag(there: Any) -> bool:  # noqa: ANN401 -- S3's answer to HEAD
    is_kms = there.get("ServerSideEncryption", "").startswith("aws:kms")
    return not is_kms and "SSECustomerAlgorithm" not in there


def _superblock_of(there: Any) -> str | None:  # noqa: ANN401 -- S3's answer to HEAD
    metadata = {name.lower(): value for name, value in there["Metadata"].items()}
    return metadata.get(SUPERBLOCK_METADATA)
