"""The record of one version of an archive, which opens it without a request.

Processes that share a chunk cache share these records.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Self

from s3archivefs_lambda.store.superblock_metadata import SUPERBLOCK_BYTES

__all__ = ["S3Version"]


@dataclass(frozen=True, slots=True)
class S3Version:
    """One version of an object that is an image."""

    etag: str
    """The ETag as S3 gave it, quotes included."""
    version_id: str | None
    """The version's id, if the bucket keeps versions."""
    size: int
    """The length of the object, in bytes."""
    superblock: bytes
    """The object's first 96 bytes."""
    has_superblock: bool
    """Whether the object's user metadata holds the superblock too."""
    tail_start: int
    """The first byte of the tail that opening the object fetched."""

    def encode(self) -> bytes:
        """Return the record as bytes for the disk."""
        superblock = b64encode(self.superblock).decode()
        values = (self.etag, self.version_id, self.size, superblock)
        return json.dumps([*values, self.has_superblock, self.tail_start]).encode()

    @classmethod
    def decode(cls, record: bytes) -> Self | None:
        """Return the version that `encode` wrote, or None for any other bytes."""
        try:
            etag, version_id, size, superblock, has_superblock, tail_start = json.loads(record)
            head = b64decode(superblock, validate=True)
        except (ValueError, TypeError, RecursionError):
            return None
        texts = (etag, version_id or "")
        is_sound = (
            all(isinstance(text, str) and text.isascii() and text.isprintable() for text in texts)
            and all(type(number) is int for number in (size, tail_start))
            and type(has_superblock) is bool
            and len(head) == SUPERBLOCK_BYTES <= size
            and 0 <= tail_start <= size
            and bool(etag)
        )
        if not is_sound:
            return None
        return cls(etag, version_id or None, size, head, has_superblock, tail_start)
