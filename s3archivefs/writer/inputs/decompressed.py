"""What a stream decompresses to: gzip, bzip2, xz, lzma, zstd, in one or several parts."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from s3archivefs.errors import PackingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["Decompressed", "DecompressionError"]

_READ = 16 << 10
"""Bytes that are read at once. zlib copies what it has not decoded yet at each call."""
_START = 10
"""Bytes that tell the compression; bzip2 has its first block's mark there."""


class DecompressionError(Exception):
    """A stream does not decompress, or ends too early."""


class _TrailingDataError(DecompressionError):
    """What follows the compressed parts is neither another nor padding."""


class Decompressed:
    """Reads what a stream decompresses to, or the stream itself where it is not compressed.

    As gzip, bzip2 and xz themselves do, it takes compressed parts that follow one another for one
    stream, with zero bytes between and after them. The file's read() returns fewer bytes than are
    asked for only at its end. Raises PackingError, in which `name` is the stream, for zstd without
    a library.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        start = file.read(_START)
        found = next((each for each in _FORMATS if each.start.match(start)), None)
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, lzma.LZMAError)
        self.tells_its_end = found is not None and found.decoder is not None
        """Whether a stream that is cut short is an error; zstandard tells none."""
        self.has_ended = False
        """Whether the end was read."""
        self._source: _Readable
        if found is None:
            self._source = _Rejoined(start, file)
        elif found.decoder is not None:
            self._source = _Parts(start, file, found.start, found.decoder)
        else:
            self._source = self._of_zstd(start, file, found.start, name)

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end, once. Raises DecompressionError.

        tarfile skips content in steps of 10 KB, and past the end too: for years, for a large size.
        """
        if self.has_ended:
            raise DecompressionError("unexpected end of data")
        try:
            content = self._source.read(size)
        except self._errors as error:
            raise DecompressionError(str(error)) from error
        self.has_ended = not content
        return content

    def drain(self) -> None:
        """Read to the end, where checksums are compared. Raises DecompressionError.

        What is there beside compressed data is left, as GNU tar and others leave it.
        """
        with suppress(_TrailingDataError):
            while not self.has_ended:
                self.read(_READ)

    def _of_zstd(
        self, start: bytes, file: BinaryIO, pattern: re.Pattern[bytes], name: str
    ) -> _Readable:
        for library in ("zstandard", "compression.zstd"):  # the latter from Python 3.14 on
            try:
                module: Any = import_module(library)
            except ImportError:
                continue
            self._errors = (*self._errors, module.ZstdError)
            if library != "zstandard":
                return _Parts(start, file, pattern, module.ZstdDecompressor)
            # Its other decoders return all of what a piece decodes to, 16,000 times as much.
            reader: _Readable = module.ZstdDecompressor().stream_reader(
                _Rejoined(start, file), read_across_frames=True
            )
            return reader
        raise PackingError(
            f"{name}: is compressed with zstd, which needs a library:"
            " pip install 's3archivefs[zstd]'"
        )


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Decoder(Protocol):
    """What decodes one part, as bz2 and lzma have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decoder, which compares checksum and length, as a _Decoder."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)  # 16: gzip and nothing else

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


class _Rejoined:
    """A file whose start was read already."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start = start
        self._file = file

    def read(self, size: int, /) -> bytes:
        start, self._start = self._start, b""
        return start or self._file.read(size)


class _Parts:
    """Reads what the compressed parts of a file decompress to, in turn."""

    def __init__(
        self,
        start: bytes,
        file: BinaryIO,
        pattern: re.Pattern[bytes],
        decoder: Callable[[], _Decoder],
    ) -> None:
        self._undecoded = start
        self._file = file
        self._pattern = pattern
        self._new_decoder = decoder
        self._decoder = decoder()

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        while not self._decoder.eof or self._has_another():
            data, self._undecoded = self._undecoded, b""
            has_ended = False
            if not data and self._decoder.needs_input:
                data = self._file.read(_READ)
                has_ended = not data
            content = self._decoder.decompress(data, size)
            if content:
                return content
            if has_ended and not self._decoder.eof:
                raise EOFError("its compressed data ends too early")
        return b""

    def _has_another(self) -> bool:
        """Begin the next part, if there is one."""
        rest = self._decoder.unused_data
        while not (rest := rest.lstrip(b"\0")):  # tapes and other devices pad with these
            if not (rest := self._file.read(_READ)):
                return False
        rest += self._file.read(_START)
        if not self._pattern.match(rest):
            raise _TrailingDataError("what follows its compressed data is no more of it")
        self._undecoded = rest
        self._decoder = self._new_decoder()
        return True


class _Format(NamedTuple):
    """A compression."""

    start: re.Pattern[bytes]
    """What each part of such a stream begins with."""
    decoder: Callable[[], _Decoder] | None
    """Makes the decoder of a part; None for zstd, which takes a library."""


_FORMATS = (
    _Format(re.compile(rb"\x1f\x8b\x08"), _Gzip),
    # The mark of a block, or of the end: a name in an uncompressed archive may begin with BZh.
    _Format(re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor),
    _Format(re.compile(rb"\xfd7zXZ\0"), lzma.LZMADecompressor),
    # What `lzma -6` and stronger write: dictionaries of 8 MiB and more.
    _Format(re.compile(rb"\x5d\0\0\x80"), lzma.LZMADecompressor),
    # A frame, or one to skip, with which pzstd begins.
    _Format(re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), None),
)
