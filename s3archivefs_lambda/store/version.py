"""What is known of one version of an archive in S3, so that opening it again takes no request; and
how it is written down for other processes.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Self

from s3archivefs_lambda.store.opening import SUPERBLOCK_BYTES

__all__ = ["S3Version"]


@dataclass(frozen=True, slots=True)
class S3Version:
    """One version of an object that is an image."""

    etag: str
    """As S3 gave it, quotes included."""
    version_id: str | None
    """Where the bucket keeps versions."""
    size: int
    """Of the object, in bytes."""
    superblock: bytes
    """Its first 96 bytes."""
    has_superblock: bool
    """Whether the object's user metadata holds those too."""
    tail_start: int
    """From this byte on it was fetched when it was opened."""

    def encode(self) -> bytes:
        """The record as it is kept on disk."""
        superblock = b64encode(self.superblock).decode()
        values = (self.etag, self.version_id, self.size, superblock)
        return json.dumps([*values, self.has_superblock, self.tail_start]).encode()

    @classmethod
    def decode(cls, record: bytes) -> Self | None:
        """What `encode` gave; None of anything else."""
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
