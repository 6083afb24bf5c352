"""The checksum that an image may have of a file's content.

It is the extended attribute `user.sha256`: SHA-256 in hexadecimal, as sha256sum(1) writes it. The
writer sets it where its options say so, and so may whoever packs with another program.
"""

from __future__ import annotations

import re

__all__ = ["CHECKSUM", "CHECKSUM_BYTES", "checksum_from"]

CHECKSUM = b"user.sha256"
"""The name of the attribute."""
CHECKSUM_BYTES = 64
"""The length of its value."""
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{%d}" % CHECKSUM_BYTES)


def checksum_from(value: bytes) -> bytes | None:
    """Return the 32 bytes that the attribute's value tells; None for no SHA-256."""
    return bytes.fromhex(value.decode("ascii")) if _HEXADECIMAL.fullmatch(value) else None
