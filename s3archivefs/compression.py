"""One decoder per compressor id, each bounded: it never makes more bytes than its caller can
accept.

A decoder takes one compressed block and the most bytes it may hold, and returns the content. Every
fault of the stream, content past the limit and bytes behind the end of the stream among them,
becomes CorruptImageError; libraries are imported on first use, by the compressor that the image
names.
"""

from __future__ import annotations

import lzma
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
    """A fault that a decoder here found by itself, where the library saw none."""


class Codec:
    """The decoder of one image's compressor."""

    def __init__(
        self,
        name: str,
        decompress: Callable[[bytes | memoryview, int], bytes],
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self.name = name
        self._decompress = decompress
        self._errors: tuple[type[Exception], ...] = (_StreamError, *errors)

    def decode(self, data: bytes | memoryview, limit: int, what: str, offset: int) -> bytes:
        """The content of one compressed block, at most `limit` bytes.

        Raises CorruptImageError, naming `what` was read and the block's `offset` in the image, in
        bytes.
        """
        try:
            content = self._decompress(data, limit)
        except self._errors as error:
            # Without its traceback, whose frames hold the decompressor and all its memory.
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
    """The decoder for a compressor id.

    Raises CodecUnavailableError when it needs a library that is not installed.
    """
    return _CODECS[compression](limits)


def _require(compression: Compression, extras: dict[str, str]) -> ModuleType:
    """The first importable of the modules `{module: extra that installs it}`."""
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
        return Codec("zlib", _zlib_decompress, (zlib.error,))

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        data = bytes(data)
        content = bytes(deflate.zlib_decompress(data, limit))  # it returns a bytearray
        # libdeflate ignores what follows the stream. The stream ends with the content's checksum:
        # should that stand anywhere but at the end of the data, zlib decides.
        if data.find(zlib.adler32(content).to_bytes(4, "big")) == len(data) - _ADLER_SIZE:
            return content
        return _zlib_decompress(data, limit)

    return Codec("libdeflate", decompress, (deflate.DeflateError, zlib.error))


def _zlib_decompress(data: bytes | memoryview, limit: int) -> bytes:
    stream = zlib.decompressobj()
    content = stream.decompress(data, limit + 1)
    if len(content) <= limit:
        _check_end(ended=stream.eof, rest=stream.unused_data)
    return content


# ---- xz and lzma ---------------------------------------------------------------------------------


def _xz(limits: Limits) -> Codec:
    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        # lzma.decompress() would accept concatenated streams and any dictionary size.
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, limits.codec_memory_bytes)
        content = stream.decompress(data, limit + 1)
        if len(content) <= limit:
            _check_end(ended=stream.eof, rest=stream.unused_data)
        return content

    return Codec("xz", decompress, (lzma.LZMAError, EOFError))


def _lzma(limits: Limits) -> Codec:
    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        """An LZMA-alone stream whose writer filled in the content size although an end marker
        follows.

        liblzma rejects or accepts that by version, so the size is taken out of the header and held
        against the content by hand; the marker may then be there or not.
        """
        if len(data) < _LZMA_HEADER_SIZE:
            raise _StreamError(_ENDS_EARLY)
        size = int.from_bytes(data[5:_LZMA_HEADER_SIZE], "little")
        if size > limit:
            return bytes(limit + 1)  # more than it may hold, and not worth producing
        stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, limits.codec_memory_bytes)
        header = bytes(data[:5]) + b"\xff" * 8
        content = stream.decompress(header + data[_LZMA_HEADER_SIZE:], size) if size else b""
        if not stream.eof and len(content) == size:
            # Reads on to the end marker, or finds more content.
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
        )

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        content: bytes = module.LZOCompressor.decompress(bytes(data), limit)
        return content

    return Codec("lzallright", decompress, (module.LZOError, module.InputNotConsumed))


def _lz4(limits: Limits) -> Codec:  # noqa: ARG001 -- lz4 needs no memory beside its output
    block = _require(Compression.LZ4, {"lz4.block": "lz4"})
    return Codec(
        "lz4",
        lambda data, limit: block.decompress(data, uncompressed_size=limit),
        (block.LZ4BlockError,),
    )


def _zstd(limits: Limits) -> Codec:
    module = _require(Compression.ZSTD, {"zstandard": "zstd", "compression.zstd": ""})
    if module.__name__ == "zstandard":
        return _zstandard(module, limits)
    return _standard_zstd(module, limits)  # pragma: no cover -- as below


def _standard_zstd(module: ModuleType, limits: Limits) -> Codec:  # pragma: no cover -- Python 3.14
    options = {
        module.DecompressionParameter.window_log_max: limits.codec_memory_bytes.bit_length() - 1
    }

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        stream = module.ZstdDecompressor(options=options)
        content: bytes = stream.decompress(data, limit + 1)
        if len(content) <= limit:
            _check_end(ended=stream.eof, rest=stream.unused_data)
        return content

    return Codec("zstd", decompress, (module.ZstdError,))


def _zstandard(module: ModuleType, limits: Limits) -> Codec:
    local = threading.local()  # a ZstdDecompressor serves one thread at a time; each keeps its own

    def decompress(data: bytes | memoryview, limit: int) -> bytes:
        decompressor: Any = getattr(local, "decompressor", None)
        if decompressor is None:
            window = max(limits.codec_memory_bytes, 1 << _ZSTD_WINDOW_LOG_MIN)
            decompressor = local.decompressor = module.ZstdDecompressor(max_window_size=window)
        # A frame that declares its size is decoded whole whatever max_output_size says: look first.
        if (size := module.frame_content_size(data)) > limit:
            return bytes(limit + 1)
        if size == 0:
            return b""
        content: bytes = decompressor.decompress(
            data, max_output_size=limit, allow_extra_data=False
        )
        return content

    return Codec("zstandard", decompress, (module.ZstdError,))


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
