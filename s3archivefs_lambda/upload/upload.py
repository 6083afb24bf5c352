"""Storing a squashfs image in S3, in parts that survive an interruption.

This side remembers nothing. The next call finds the parts that S3 already holds by their MD5, which
is their ETag, and sends only the others; any machine may make it. With SSE-KMS or SSE-C an ETag is
no MD5: an interrupted upload begins anew, and S3 cannot tell whether an object is this image.

An upload aborts itself if nothing can be resumed. It leaves other uploads to the same key alone:
they may be under way elsewhere.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.store.superblock_metadata import superblock_metadata
from s3archivefs_lambda.upload.comparison import is_image, require_image
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError
from s3archivefs_lambda.upload.image_parts import BodyEndedError, ImageParts
from s3archivefs_lambda.upload.threads import run_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from s3archivefs_lambda.upload.image_parts import Part
    from s3archivefs_lambda.upload.upload_target import Unfinished, UploadTarget

__all__ = ["THREADS", "ImageUpload"]

THREADS = 4
"""Parts that are sent in parallel."""

_TOO_LATE = {404, 409, 412}
"""Statuses of a write that came too late.

The upload no longer exists, another program writes, or the object exists: perhaps by an earlier
attempt, whose answer was lost.
"""


@dataclass(slots=True)
class ImageUpload:
    """One image on its way to S3. Raises UploadError if the image is too large.

    The image is what the file holds now; a later change of the file is an error.
    """

    target: UploadTarget
    file: BinaryIO
    """The image, a file on disk open for reading; threads read it by position."""
    storage_class: str = ""
    """A storage class of S3; empty for STANDARD."""
    part_bytes: int | None = None
    """Bytes in each part; None for a length that suits most images."""
    replace: bool = False
    """Whether the upload may overwrite another object."""
    progress: Callable[[int], None] = lambda _: None
    """A callback for the number of bytes sent; negative for bytes to send again."""
    upload_id: str = field(init=False, default="")
    """S3's name of the multipart upload while it is unfinished, else empty."""
    _image: ImageParts = field(init=False)

    def __post_init__(self) -> None:
        self._image = ImageParts(self.file, self.part_bytes)

    @property
    def size(self) -> int:
        """The length of the image, in bytes."""
        return self._image.size

    @property
    def part_size(self) -> int:
        """The length of each part but the last, in bytes: `part_bytes`, or as S3 needs."""
        return self._image.part_bytes

    def run(self) -> bool:
        """Store the image; return False if the object is this image already.

        The object appears whole, with the image's first 96 bytes as user metadata
        `s3archivefs-superblock`. Raises UploadError. Afterwards, and after KeyboardInterrupt,
        `upload_id` names the upload whose parts stay in S3, if there are any: beside the image,
        where another program stored it or an answer was lost.
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
            self._recover(error)
        head = self.target.head()
        if head is not None:  # else these credentials may not read it
            require_image(self.target, head, self._image)
        return True

    def is_stored(self) -> bool:
        """Return whether the object is this image: an earlier call may have stored it.

        Always False with `replace`. Raises OtherObjectError if the object is another one.
        """
        if self.replace:
            return False
        head = self.target.head()
        if head is None:
            return False
        if not is_image(self.target, head, self._image, self.storage_class):
            raise self.target.exists()
        return True

    def abort(self) -> None:
        """Delete the parts that `run` left in S3, if there are any. Raises UploadError."""
        if self.upload_id:
            self.target.abort_own(self.upload_id)
            self.upload_id = ""

    def unfinished(self) -> list[Unfinished]:
        """Return the unfinished uploads to the same key, the newest first.

        There are none for credentials that may not list them. Raises UploadError.
        """
        try:
            return self.target.unfinished()
        except UploadError as error:
            if error.is_forbidden:
                return []
            raise

    # ---- Steps ---------------------------------------------------------------------------------

    def _put_whole(self) -> None:
        (part,) = self._image.parts
        with self._sending(part, Event()) as body:
            self.target.client.put_object(
                **self.target.name, **self._attributes(), **self._condition(), **body
            )

    def _begin(self) -> dict[int, str]:
        """Resume an upload or begin one; return its parts' ETags by number."""
        for upload in self.unfinished():
            if (self.storage_class or "STANDARD") != upload.storage_class:
                continue
            kept = self._kept(upload.upload_id)
            # The superblock in the first part shows that the upload began with its metadata.
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
                self.abort()  # it holds no part to resume from
            raise

    def _kept(self, upload_id: str) -> dict[int, str] | None:
        """Return the ETags of an upload's parts by number, or None.

        None if a part is not of this image, or these credentials may not list the parts.
        """
        parts = {part.number: part for part in self._image.parts}
        kept: dict[int, str] = {}
        try:
            for held in self.target.parts(upload_id):
                part = parts.get(held["PartNumber"])
                if part is None or held["Size"] != part.length:
                    return None
                if held["ETag"].strip('"') != self._image.md5(part).hex():
                    return None
                kept[part.number] = held["ETag"]
        except UploadError as error:
            if error.is_forbidden or error.is_missing:  # another program may have ended it
                return None
            raise
        return kept

    def _send(self, kept: dict[int, str]) -> dict[int, str]:
        """Send the parts that are not in `kept`; return the ETags of all by number."""
        missing = [part for part in self._image.parts if part.number not in kept]
        sent = run_parallel(self._send_part, missing, threads=THREADS)
        return kept | {part.number: etag for part, etag in sent}

    def _send_part(self, part: Part, stop: Event) -> str:
        with self._sending(part, stop) as body:
            answer = self.target.client.upload_part(
                **self.target.name, UploadId=self.upload_id, PartNumber=part.number, **body
            )
        return answer["ETag"]

    def _complete(self, etags: dict[int, str]) -> None:
        """Make the object of the parts, unless it has come to be this image meanwhile."""
        if self._image.has_changed():
            raise self._changed()
        if self.is_stored():  # asked once more, as some stores ignore the condition
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

    def _recover(self, error: UploadError) -> None:
        """Raise the error of a step, unless the image is in S3 all the same."""
        if self._image.has_changed():  # the parts in S3 are of no image
            with suppress(UploadError):
                self.abort()
            raise self._changed() from error
        if error.is_missing:
            self.upload_id = ""  # the upload no longer exists
        if error.status not in _TOO_LATE or not self._is_there():
            raise error

    def _is_there(self) -> bool:
        """Return whether the object is this image.

        Raises OtherObjectError where S3 cannot tell, and the upload may not `replace` the object.
        """
        head = None
        with suppress(UploadError):
            head = self.target.head()
        try:
            return head is not None and is_image(self.target, head, self._image, self.storage_class)
        except OtherObjectError:
            if self.replace:
                return False
            raise

    def _changed(self) -> UploadError:
        return UploadError(f"{self.target}: the image changed while it was read; try again")

    # ---- Requests ------------------------------------------------------------------------------

    def _attributes(self) -> Any:  # noqa: ANN401 -- keyword arguments of several methods
        attributes: dict[str, Any] = {"Metadata": superblock_metadata(self._image.superblock)}
        if self.storage_class:
            attributes["StorageClass"] = self.storage_class
        return attributes

    def _condition(self) -> Any:  # noqa: ANN401 -- likewise
        return {} if self.replace else {"IfNoneMatch": "*"}

    @contextmanager
    def _sending(self, part: Part, stop: Event) -> Iterator[Any]:
        """Yield the arguments that send a part; turn what the client raises into UploadErrors."""
        md5 = base64.b64encode(self._image.md5(part)).decode()
        if self._image.has_changed():  # by the MD5 S3 refuses any change after this
            raise self._changed()
        try:
            with self.target.errors(part=part.number):
                yield {"Body": self._image.body(part, self.progress, stop), "ContentMD5": md5}
        except BodyEndedError as error:
            raise UploadError(f"{self.target}: {error}; try again") from error
