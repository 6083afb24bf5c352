"""One decoder per compressor id, which returns no more bytes than its caller allows.

A decoder takes one compressed block and the most bytes that it may decode to, and returns the
content. Every fault of the stream becomes CorruptImageError; content past the limit and bytes
behind the end of the stream are faults too. A library is imported when the first image needs it.
"""

from __future__ import annotations

import threading
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from s3archivefs.errors import CodecUnavailableError, CorruptImageError
from s3archivefs.format import Compression

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from s3archivefs.limits import Limits

__all__ = ["Codec", "codec_for"]

_ADLER_SIZE = 4
_LZMA_HEADER_SIZE = 13  # properties, dictionary size, content size
_ZSTD_WINDOW_LOG_MIN = 10


class _StreamError(Exception):
    """A fault of a stream that its library accepts."""


class Codec:
    """The decoder of one image's compressor."""

    def __init__(
        self,
        name: str,
        decompress: Callable[[bytes | memoryview, int], bytes],
        errors: tuple[type[Exception], ...] = (),
        *,
        parallel_bytes: int = 0,
    ) -> None:
        self.name = name
        self.parallel_bytes = parallel_bytes
        """Bytes of content from which decoding in parallel pays.

        To hand work to another thread takes as long as libdeflate does for 64 KiB.
        """
        self._decompress = decompress
        self._errors: tuple[type[Exception], ...] = (_StreamError, *errors)

    def decode(self, data: bytes | memoryview, limit: int, what: str, offset: int) -> bytes:
        """Return the content of one compressed block, at most `limit` bytes.

        Raises CorruptImageError, which names `what` was read and the block's `offset` in the image,
        in bytes.
        """
        try:
            content = self._decompress(data, limit)
        except self._errors as error:
            # Without the traceback: its frames hold the decompressor and all of its memory.
            raise CorruptImageError(
                f"{what} does not decompress ({self.name}: {error})", offset
            ) from error.with_traceback(None)
        if len(content) > limit:
            raise CorruptImageError(
                f"{what} decompresses to more than the {limit} bytes it may hold ({self.name})",
                offset,
            )
        return content


def codec_for(compression: Compression, limits: Limits) -> Codec:
    """Return the decoder for a compressor id.

    Raises CodecUnavailableError where it needs a library that is not installed.
    """
    return _CODECS[compression](limits)


def _require(compression: Compression, extras: dict[str, str]) -> ModuleType:
    """Import the first module of `{module: extra that installs it}` that is installed."""
    for module in extras:
        try:
            return import_module(module)
        except ImportError:
            continue
    wanted = " or ".join(
        f"pip install 's3archivefs[{extra}]'" for extra in extras.values() if extra
    )
    raise CodecUnavailableError(
        f"the image is compressed with {compression.name.lower()}, whose library is not installed: "
        f"{wanted}"
    )


# ---- gzip: a zlib stream, whatever its id is called ----------------------------------------------


def _gzip(limits: Limits) -> Codec:  # noqa: ARG001 -- zlib's window is at most 32 KiB
    try:
        deflate = import_module("deflate")
    except ImportError:
        return Codec("zlib", _zlib_decompress, (zlib.error,), parallel_bytes=256 << 10)

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        data = bytes(data)
        content = deflate.zlib_decompress(data, limit)
        # libdeflate ignores bytes behind the stream, whose end is the content's checksum. Where
        # that stands anywhere but at the end of the data, zlib decides. Its own adler32 is 25 times
        # as fast as zlib's, and rfind, for bytes that are mostly not there, twice as fast as find.
        checksum = deflate.adler32(content).to_bytes(_ADLER_SIZE, "big")
        if data.endswith(checksum) and data.rfind(checksum, 0, -1) < 0:
            return bytes(content)  # of a bytearray
        return _zlib_decompress(data, limit)

    return Codec(
        "libdeflate", decompress, (deflate.DeflateError, zlib.error), parallel_bytes=512 << 10
    )


def _zlib_decompress(data: bytes | memoryview, limit: int) -> bytes:
    stream = zlib.decompressobj()
    content = stream.decompress(data, limit + 1)
    if len(content) <= limit:
        _check_end(ended=stream.eof, rest=stream.unused_data)
    return content


# ---- xz and lzma ---------------------------------------------------------------------------------


def _xz(limits: Limits) -> Codec:
    import lzma  # noqa: PLC0415 -- few images need it

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        # Not lzma.decompress(): it accepts concatenated streams and any dictionary size.
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, limits.codec_memory_bytes)
        content = stream.decompress(data, limit + 1)
        if len(content) <= limit:
            _check_end(ended=stream.eof, rest=stream.unused_data)
        return content

    return Codec("xz", decompress, (lzma.LZMAError, EOFError))


def _lzma(limits: Limits) -> Codec:
    import lzma  # noqa: PLC0415 -- likewise

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        """Decode an LZMA-alone stream that may have both a content size and an end marker.

        Some versions of liblzma reject both at once. So the size is taken out of the header and
        compared with the content here; an end marker may then follow or not.
        """
        if len(data) < _LZMA_HEADER_SIZE:
            raise _StreamError(_ENDS_EARLY)
        size = int.from_bytes(data[5:_LZMA_HEADER_SIZE], "little")
        if size > limit:
            return bytes(limit + 1)  # longer than allowed, and so refused without decoding
        stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, limits.codec_memory_bytes)
        header = bytes(data[:5]) + b"\xff" * 8
        content = stream.decompress(header + data[_LZMA_HEADER_SIZE:], size) if size else b""
        if not stream.eof and len(content) == size:
            # Read on to the end marker, or find more content.
            content += stream.decompress(b"", 1)
        if len(content) != size:
            raise _StreamError(f"{len(content)} bytes where its header says {size}")
        if stream.eof:
            _check_end(ended=True, rest=stream.unused_data)
        return content

    return Codec("lzma", decompress, (lzma.LZMAError, EOFError))


# ---- lzo, lz4, zstd ------------------------------------------------------------------------------


def _lzo(limits: Limits) -> Codec:  # noqa: ARG001 -- lzo needs no memory beside its output
    module = _require(Compression.LZO, {"lzo": "lzo", "lzallright": "lzo-wheels"})
    if module.__name__ == "lzo":
        return Codec(
            "lzo",
            lambda data, limit: module.decompress(bytes(data), False, limit),  # noqa: FBT003 -- "no header"; python-lzo takes no keywords
            (module.error,),
            parallel_bytes=512 << 10,
        )

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        content: bytes = module.LZOCompressor.decompress(bytes(data), limit)
        return content

    errors = (module.LZOError, module.InputNotConsumed)
    return Codec("lzallright", decompress, errors, parallel_bytes=512 << 10)


def _lz4(limits: Limits) -> Codec:  # noqa: ARG001 -- lz4 needs no memory beside its output
    block = _require(Compression.LZ4, {"lz4.block": "lz4"})
    return Codec(
        "lz4",
        lambda data, limit: block.decompress(data, uncompressed_size=limit),
        (block.LZ4BlockError,),
        parallel_bytes=1 << 20,
    )


def _zstd(limits: Limits) -> Codec:
    module = _require(Compression.ZSTD, {"zstandard": "zstd", "compression.zstd": ""})
    if module.__name__ == "zstandard":
        return _zstandard(module, limits)
    return _standard_zstd(module, limits)


def _standard_zstd(module: ModuleType, limits: Limits) -> Codec:
    options = {
        module.DecompressionParameter.window_log_max: limits.codec_memory_bytes.bit_length() - 1
    }

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        stream = module.ZstdDecompressor(options=options)
        content: bytes = stream.decompress(data, limit + 1)
        if len(content) <= limit:
            _check_end(ended=stream.eof, rest=stream.unused_data)
        return content

    return Codec("zstd", decompress, (module.ZstdError,), parallel_bytes=256 << 10)


def _zstandard(module: ModuleType, limits: Limits) -> Codec:
    local = threading.local()  # one ZstdDecompressor per thread: it serves one at a time

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        decompressor: Any = getattr(local, "decompressor", None)
        if decompressor is None:
            window = max(limits.codec_memory_bytes, 1 << _ZSTD_WINDOW_LOG_MIN)
            decompressor = local.decompressor = module.ZstdDecompressor(max_window_size=window)
        # The library decodes a frame that declares its size whole, whatever max_output_size says:
        # compare that size first.
        if (size := module.frame_content_size(data)) > limit:
            return bytes(limit + 1)
        if size == 0:
            return b""
        content: bytes = decompressor.decompress(
            data, max_output_size=limit, allow_extra_data=False
        )
        return content

    return Codec("zstandard", decompress, (module.ZstdError,), parallel_bytes=512 << 10)


_TRAILING = "bytes follow the end of the stream"
_ENDS_EARLY = "the stream ends early"


def _check_end(*, ended: bool, rest: bytes) -> None:
    if not ended:
        raise _StreamError(_ENDS_EARLY)
    if rest:
        raise _StreamError(_TRAILING)


_CODECS: dict[Compression, Callable[[Limits], Codec]] = {
    Compression.GZIP: _gzip,
    Compression.LZMA: _lzma,
    Compression.LZO: _lzo,
    Compression.XZ: _xz,
    Compression.LZ4: _lz4,
    Compression.ZSTD: _zstd,
}
