"""Keys and paths as text, and back: UTF-8, with surrogateescape for bytes that are not."""

from __future__ import annotations

__all__ = ["to_bytes", "to_text"]


def to_bytes(text: str) -> bytes:
    """Return the bytes that the text stands for.

    Raises UnicodeEncodeError for a surrogate that stands for no byte.
    """
    return text.encode("utf-8", "surrogateescape")


def to_text(raw: bytes) -> str:
    """Return bytes as text, from which `to_bytes` makes them again."""
    return raw.decode("utf-8", "surrogateescape")
