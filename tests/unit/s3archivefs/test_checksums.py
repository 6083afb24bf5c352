"""An attribute is a checksum if it is SHA-256 in hexadecimal, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.checksums import checksum_from


@given(digest=st.binary(min_size=32, max_size=32), other=st.binary(max_size=70))
def test_hexadecimal_of_32_bytes_is_one(digest: bytes, other: bytes) -> None:
    text = digest.hex().encode()
    assert checksum_from(text) == checksum_from(text.upper()) == digest
    for wrong in (other, text[1:], text + b"\n", b" " + text[1:], text + text, b"0x" + text[2:]):
        assert checksum_from(wrong) is None
