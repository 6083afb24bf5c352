"""The superblock of an image as user metadata of its object."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SUPERBLOCK_BYTES",
    "SUPERBLOCK_METADATA",
    "fitting_superblock",
    "superblock_in",
    "superblock_metadata",
    "user_metadata",
]

SUPERBLOCK_METADATA = "s3archivefs-superblock"
"""The name of the user metadata: its value is the superblock in base64."""
SUPERBLOCK_BYTES = 96
"""Bytes of an image's superblock, by the format of squashfs 4.0."""
_MAGIC = b"hsqs"
_BYTES_USED = slice(40, 48)
_PADDING = 4096
"""Bytes that an image's length is a multiple of, where it is padded."""


def superblock_metadata(superblock: bytes) -> dict[str, str]:
    """Return the user metadata that holds a superblock."""
    return {SUPERBLOCK_METADATA: base64.b64encode(superblock).decode()}


def user_metadata(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the user metadata in an answer to GET or HEAD.

    Names are in lower case, because stores differ in the case they return.
    """
    return {name.lower(): value for name, value in answer.get("Metadata", {}).items()}


def fitting_superblock(metadata: Mapping[str, str], size: int) -> bytes | None:
    """Return the superblock in user metadata of an object so long, or None.

    None too for that of an image that takes not `size` bytes: who replaces an image may keep its
    metadata.
    """
    found = superblock_in(metadata)
    if found is None or not found.startswith(_MAGIC):
        return found
    used = int.from_bytes(found[_BYTES_USED], "little")
    return found if used <= size <= used + -used % _PADDING else None


def superblock_in(metadata: Mapping[str, str]) -> bytes | None:
    """Return the superblock that user metadata holds, or None for none that is whole."""
    try:
        data = base64.b64decode(metadata.get(SUPERBLOCK_METADATA, ""), validate=True)
    except ValueError:
        return None
    return data if len(data) == SUPERBLOCK_BYTES else None
