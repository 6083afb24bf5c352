"""Images in S3 for `append`, `remove` and `compact`, which find this as an entry point."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from s3archivefs import SquashFS
from s3archivefs.writer import Cost, PackingError
from s3archivefs_lambda.commands.errors import made_client, require
from s3archivefs_lambda.commands.pack_places import CONNECTIONS, StoredOutput, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from types import TracebackType

    from s3archivefs.writer import ExtensionOutput
    from s3archivefs_lambda.upload.image_extension import ExtensionStream, StoredImage

__all__ = ["extension_at"]


def extension_at(url: str) -> StoredExtension:
    """Return the image at an s3:// URL, and how another replaces it.

    Raises FileNotFoundError for no such object, and PackingError.
    """
    from s3archivefs_lambda.commands.upload_settings import part_bytes
    from s3archivefs_lambda.config.location import parse_location
    from s3archivefs_lambda.store.client import make_upload_client
    from s3archivefs_lambda.upload.image_extension import StoredImage
    from s3archivefs_lambda.upload.upload_target import UploadTarget

    location = parse_location(url)
    with _replaced_explained(url), translated(url):
        require("botocore", extra="lambda", what="changing an image in S3")
        client = made_client(lambda: make_upload_client(threads=CONNECTIONS))
        image = StoredImage(UploadTarget(client, location.bucket, location.key))
        return StoredExtension(image, url, part_bytes("", os.environ))


class StoredExtension:
    """An image in S3 that is about to be replaced; a context manager.

    Leaving it translates what reading the image raised.
    """

    identities: Container[tuple[int, int]] = frozenset()
    """Local files that are no input: none."""
    claimed = 1 << 20
    """Bytes of contents that are found by their checksums: a request for fewer costs more."""

    def __init__(self, stored: StoredImage, url: str, part_bytes: int | None) -> None:
        """Take the image, and the bytes of a part if they are set."""
        self._stored = stored
        self._url = url
        self._part_bytes = part_bytes
        self.image = SquashFS(stored)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from s3archivefs_lambda.upload.errors import UploadError

        self.image.close()
        if isinstance(error, UploadError):
            with _replaced_explained(self._url), translated(self._url):
                raise error

    def output(
        self, superblock: bytes = b"", added: Callable[[], int | None] = lambda: 0
    ) -> ExtensionOutput:
        """Return what takes the image that replaces it, of a superblock if that is known.

        `added` returns the bytes of the sources to come, which its parts have to hold too.
        """
        from s3archivefs_lambda.upload.image_extension import ExtensionStream
        from s3archivefs_lambda.upload.image_stream import streamed_part_size

        if self._part_bytes is None:
            more = added()
            size = None if more is None else self._stored.size + more
            self._part_bytes = streamed_part_size(size)
        stream = ExtensionStream(self._stored, part_bytes=self._part_bytes, superblock=superblock)
        return _Output(stream, self._url)

    def cost(self, ranges: Sequence[tuple[int, int]], size: int) -> Cost:
        """Return what an image of `size` bytes costs, which begins with ranges of this one."""
        from s3archivefs_lambda.upload.image_stream import streamed_part_size

        part_bytes = self._part_bytes or streamed_part_size(max(size, self._stored.size))
        return self._stored.cost(ranges, size, part_bytes=part_bytes)


class _Output(StoredOutput):
    """The output for an object that begins as the one that it replaces."""

    def __init__(self, stream: ExtensionStream, url: str) -> None:
        super().__init__(stream, url)
        self._extension = stream

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin with ranges of the image that is there."""
        with _replaced_explained(self._url), translated(self._url):
            self._extension.keep(ranges)

    def write(self, content: bytes) -> None:
        """Append to the image."""
        with _replaced_explained(self._url):
            super().write(content)

    def finish(self, superblock: bytes) -> None:
        """Store the rest; the object is replaced."""
        with _replaced_explained(self._url):
            super().finish(superblock)


@contextmanager
def _replaced_explained(url: str) -> Iterator[None]:
    from s3archivefs_lambda.upload.errors import UploadError

    try:
        yield
    except FileExistsError as error:
        raise PackingError(
            f"{url}: another program replaced it meanwhile: run this again"
        ) from error
    except PackingError as error:
        cause = error.__cause__
        if isinstance(cause, UploadError) and cause.is_missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
        raise
