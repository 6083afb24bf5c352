"""Tar streams compressed with zstd, with either library; a damaged one is one clear error."""

from __future__ import annotations

import io
import sys
import tarfile
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
import zstandard

from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Entry
from s3archivefs.writer.inputs.tar import TarInput
from tests.support.images.standard_zstd import use_standard_zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENTS = {b"first": b"one " * 9, b"second": bytes(range(256)) * 700, b"third": b""}


@pytest.fixture(params=["zstandard", "compression.zstd"])
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "zstandard":
            use_standard_zstd(patch)
        yield request.param


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in CONTENTS.items():
            info = tarfile.TarInfo(name.decode())
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def contents(stream: bytes) -> dict[bytes, bytes | None]:
    found = {}
    for member in TarInput(io.BytesIO(stream), "a.tar.zst"):
        assert isinstance(member, Entry)
        assert member.open is not None
        with closing(member.open()) as file:
            found[member.path] = file.read(1 << 20)
    return found


def test_a_stream_of_zstd_is_read(library: str) -> None:
    stream = zstandard.compress(tar())
    assert contents(stream) == CONTENTS
    assert TarInput(io.BytesIO(stream), "").starts_well()


def test_frames_one_after_another_are_one_stream(library: str) -> None:
    whole = tar()
    assert contents(zstandard.compress(whole[:700]) + zstandard.compress(whole[700:])) == CONTENTS


def test_a_damaged_stream_of_zstd_gives_no_other_content(library: str) -> None:
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    stream = compressor.compress(tar())
    for at in range(4, len(stream)):
        damaged = bytearray(stream)
        damaged[at] ^= 0xFF
        with suppress(PackingError):  # and nothing else
            assert contents(bytes(damaged)) == CONTENTS
        TarInput(io.BytesIO(damaged), "").starts_well()  # either answer, and no error


def test_a_damaged_header_does_not_end_the_stream() -> None:
    stream = tar()
    second = stream.index(b"second")
    for at in (second, second + 148, second + 511):  # the name, the checksum, the padding
        damaged = bytearray(stream)
        damaged[at] ^= 0xFF
        with pytest.raises(PackingError, match=r"a damaged one: a member's header: (bad|invalid)"):
            contents(bytes(damaged))
    with pytest.raises(PackingError, match="a member's header: truncated"):
        contents(stream[: second + 100])


def test_a_stream_of_zstd_that_ends_early_is_an_error(library: str) -> None:
    stream = zstandard.ZstdCompressor(level=1).compress(tar())
    for end in range(5, len(stream) - 4, 7):
        with pytest.raises(PackingError, match=r"a\.tar\.zst"):
            contents(stream[:end])


def test_a_stream_of_zstd_without_a_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PackingError, match=r"s3archivefs\[zstd\]"):
        contents(zstandard.compress(tar()))
