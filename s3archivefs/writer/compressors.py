"""One encoder per compressor, at mksquashfs's default levels.

An encoder takes the content of one block and returns the compressed block, which may be longer.
They release the GIL, so that blocks are compressed in parallel.
"""

from __future__ import annotations

import threading
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs.errors import CodecUnavailableError, PackOptionsError
from s3archivefs.format import (
    METADATA_BLOCK_SIZE,
    Compression,
    GzipOptions,
    Lz4Options,
    LzoOptions,
    ZstdOptions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import ModuleType

    from s3archivefs.writer.options import PackOptions

__all__ = ["Compressor", "compressor_for"]

_GZIP_WINDOW_LOG = 15  # mksquashfs's default
_LZ4_VERSION = 1
_LZ4_HIGH_COMPRESSION = 1  # a bit of Lz4Options.flags
_LZO1X_1 = 0  # numbers of algorithms in LzoOptions
_LZO1X_999 = 4
_LZO_LEVEL = 8  # of lzo1x_999: mksquashfs's default


class Compressor(NamedTuple):
    """The encoder of one image."""

    compression: Compression
    encode: Callable[[bytes], bytes] | None
    """Compresses a block; None to store all blocks as they are."""
    options: bytes = b""
    """The record of options that the image stores; empty where they are the format's defaults.

    Format: "Compression Options".
    """


def compressor_for(options: PackOptions, *, xz_dictionary: int = 0) -> Compressor:
    """Return the encoder for the options.

    `xz_dictionary` are the bytes of xz's dictionary, where they are not the format's default.

    Raises PackOptionsError for a level that the compressor has not, and CodecUnavailableError,
    which names the extra to install, where it needs a library that is not installed.
    """
    if options.compressor == "none":
        return Compressor(Compression.GZIP, None)
    if options.compressor == "xz":
        return _xz(options, xz_dictionary)
    return _COMPRESSORS[options.compressor](options)


def _level(options: PackOptions, default: int, allowed: Collection[int]) -> int:
    """Return the level that is asked for, or the default."""
    level = default if options.level is None else options.level
    if level not in allowed:
        raise PackOptionsError(
            f"{options.compressor} has no level {level}; it has {min(allowed)} to {max(allowed)}"
        )
    return level


def _require(compressor: str, modules: dict[str, str]) -> ModuleType:
    """Import the first module of `{module: extra that installs it}` that is installed."""
    for module in modules:
        try:
            return import_module(module)
        except ImportError:
            continue
    wanted = " or ".join(f"pip install 's3archivefs[{each}]'" for each in modules.values() if each)
    raise CodecUnavailableError(f"packing with {compressor} needs a library: {wanted}")


def _gzip(options: PackOptions) -> Compressor:
    level = _level(options, 9, range(1, 10))
    record = b""
    if level != 9:
        record = GzipOptions.layout.pack(level, _GZIP_WINDOW_LOG, 0)
    try:
        deflate: Any = import_module("deflate")
    except ImportError:
        return Compressor(Compression.GZIP, lambda block: zlib.compress(block, level), record)
    return Compressor(
        Compression.GZIP, lambda block: bytes(deflate.zlib_compress(block, level)), record
    )


def _lzo(options: PackOptions) -> Compressor:
    level = _level(options, 9, (1, 9))
    module: Any = _require("lzo", {"lzo": "lzo", "lzallright": "lzo-wheels"})
    record = LzoOptions.layout.pack(_LZO1X_1, 0) if level == 1 else b""
    if module.__name__ == "lzo":
        return Compressor(
            Compression.LZO,
            lambda block: module.compress(block, level, False),  # noqa: FBT003 -- "no header"; python-lzo takes no keywords
            record,
        )
    if level == 1:
        raise PackOptionsError("lzo at level 1 needs python-lzo: pip install 's3archivefs[lzo]'")
    local = threading.local()

    def encode(block: bytes) -> bytes:
        encoder = getattr(local, "encoder", None)
        if encoder is None:
            encoder = local.encoder = module.LZOCompressor()
        return bytes(encoder.compress(block))

    return Compressor(Compression.LZO, encode, record)


def _xz(options: PackOptions, dictionary: int) -> Compressor:
    import lzma  # noqa: PLC0415 -- few images need it

    preset = _level(options, 6, range(10))
    dictionary = dictionary or max(options.block_size, METADATA_BLOCK_SIZE)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary}]

    def encode(block: bytes) -> bytes:
        # Linux decodes blocks with CRC32 or without a check, and none with CRC64.
        return lzma.compress(block, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)

    return Compressor(Compression.XZ, encode)


def _lz4(options: PackOptions) -> Compressor:
    block_format: Any = _require("lz4", {"lz4.block": "lz4"})
    level = _level(options, 0, range(13))
    record = Lz4Options.layout.pack(_LZ4_VERSION, _LZ4_HIGH_COMPRESSION if level else 0)
    if not level:
        return Compressor(
            Compression.LZ4, lambda block: block_format.compress(block, store_size=False), record
        )
    return Compressor(
        Compression.LZ4,
        lambda block: block_format.compress(
            block, mode="high_compression", compression=level, store_size=False
        ),
        record,
    )


def _zstd(options: PackOptions) -> Compressor:
    level = _level(options, 15, range(1, 23))
    record = ZstdOptions.layout.pack(level) if level != 15 else b""
    module: Any = _require("zstd", {"zstandard": "zstd", "compression.zstd": ""})
    if module.__name__ != "zstandard":
        return Compressor(Compression.ZSTD, lambda block: module.compress(block, level), record)
    local = threading.local()  # one encoder per thread: it serves one at a time

    def encode(block: bytes) -> bytes:
        encoder = getattr(local, "encoder", None)
        if encoder is None:
            encoder = local.encoder = module.ZstdCompressor(level=level)
        return bytes(encoder.compress(block))

    return Compressor(Compression.ZSTD, encode, record)


_COMPRESSORS: dict[str, Callable[[PackOptions], Compressor]] = {
    "gzip": _gzip,
    "lzo": _lzo,
    "lz4": _lz4,
    "zstd": _zstd,
}
