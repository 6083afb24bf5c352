"""What each compressor makes is what the reader's codec of its id decodes."""

from __future__ import annotations

import importlib
import lzma
import zlib
from types import ModuleType

import pytest

import s3archivefs.writer.compressors as module
from s3archivefs import Limits
from s3archivefs.compression import codec_for
from s3archivefs.errors import CodecUnavailableError, PackingError
from s3archivefs.writer.compressors import compressor_for
from s3archivefs.writer.options import PackOptions
from tests.support.images.standard_zstd import use_standard_zstd

TEXT = b"the same words, again and again, " * 500
LINES = b"".join(b"%d bottles of %x\n" % (n, n * n) for n in range(2000))


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("gzip", [None, 1, 9]),
        ("lzo", [None]),
        ("xz", [None, 0]),
        ("lz4", [None, 1, 12]),
        ("zstd", [None, 1, 22]),
    ],
)
def test_blocks_decode(name: str, levels: list[int | None]) -> None:
    for level in levels:
        made = compressor_for(PackOptions(compressor=name, level=level, block_size=32768))
        assert made.encode is not None
        block = made.encode(TEXT)
        assert len(block) < len(TEXT) // 4
        assert codec_for(made.compression, Limits()).decode(block, 32768, "a block", 0) == TEXT


def test_zstd_blocks_decode_where_only_the_standard_library_makes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_standard_zstd(monkeypatch)
    test_blocks_decode("zstd", [None, 1, 22])
    sizes = {}
    for level in (1, 22):
        made = compressor_for(PackOptions(compressor="zstd", level=level))
        assert made.encode is not None
        sizes[level] = len(made.encode(LINES))
    assert sizes[22] < sizes[1]  # the level is heard


def test_nothing_is_compressed_on_request() -> None:
    made = compressor_for(PackOptions(compressor="none"))
    assert (made.compression, made.encode, made.options) == (1, None, b"")


@pytest.mark.parametrize(
    ("name", "level"),
    [("gzip", 10), ("gzip", 0), ("zstd", 23), ("lz4", 13), ("xz", 10), ("lzo", 5)],
)
def test_a_level_that_is_none_of_the_compressors_is_an_error(name: str, level: int) -> None:
    with pytest.raises(PackingError, match=f"{name} has no level {level}; it has"):
        compressor_for(PackOptions(compressor=name, level=level))


@pytest.mark.parametrize(
    ("name", "hidden", "extra"),
    [
        ("lz4", {"lz4.block"}, "lz4"),
        ("zstd", {"zstandard", "compression.zstd"}, "zstd"),
        ("lzo", {"lzo", "lzallright"}, "lzo"),
    ],
)
def test_a_library_that_is_missing_is_named_by_its_extra(
    name: str, hidden: set[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(hidden, monkeypatch)
    with pytest.raises(CodecUnavailableError, match=rf"s3archivefs\[{extra}\]"):
        compressor_for(PackOptions(compressor=name))


def test_gzip_goes_on_without_libdeflate(monkeypatch: pytest.MonkeyPatch) -> None:
    hide({"deflate"}, monkeypatch)
    made = compressor_for(PackOptions(compressor="gzip", level=6))
    assert made.encode is not None
    assert made.encode(TEXT) == zlib.compress(TEXT, 6)


def test_xz_blocks_carry_a_check_that_linux_knows() -> None:
    made = compressor_for(PackOptions(compressor="xz"))
    assert made.encode is not None
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    decoder.decompress(made.encode(TEXT))
    assert decoder.check == lzma.CHECK_CRC32


def hide(names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def imported(name: str) -> ModuleType:
        if name in names:
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(module, "import_module", imported)
