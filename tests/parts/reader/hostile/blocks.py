"""Hostile metadata blocks and look-up tables: M1 to M16."""

from __future__ import annotations

import lzma
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import CorruptImageError, SquashFS
from tests.parts.reader.hostile.case import Case
from tests.support.images.built import STORED, Image, build, directory, file, metadata
from tests.support.images.compressors import COMPRESSORS, lzma_alone, xz_crc32

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.images.built import Compressor


OK = (["file"], 1, b"content")


def small(**options: object) -> Image:
    tree = directory({b"file": file(b"content", mode=0o600)}, mode=0o755)
    return build(tree, **options)  # type: ignore[arg-type]  # passed on as they are


def blocks(*payloads: bytes, compressed: bool = True) -> bytes:
    """Metadata blocks of these payloads."""
    flag = 0 if compressed else STORED
    return b"".join(struct.pack("<H", len(payload) | flag) + payload for payload in payloads)


def inodes_as(payload: bytes, compression: int = 1) -> Callable[[], Image]:
    """An image whose inode table is this one compressed block."""
    return lambda: small(
        tables={"inode": blocks(payload)}, compression=compression, superblock={"root_inode": 0}
    )


def header_of(table: str, header: int) -> Callable[[], Image]:
    def make() -> Image:
        image = small()
        return image.put(image.table(table), "H", header)

    return make


def longer_header(table: str, more: int) -> Image:
    image = small()
    (header,) = struct.unpack_from("<H", image.data, image.table(table))
    return image.put(image.table(table), "H", header + more)


def inode_stream() -> bytes:
    """The inodes of `small`, as they stand in their one block."""
    image = small()
    return bytes(image.data[image.table("inode") + 2 : image.table("directory")])


def short_first_block() -> Image:
    """The root's record begins in a block of fewer than 8 KiB and goes on in the next."""
    stream = inode_stream()
    root = len(stream) - 32
    cut = root + 10
    tables = {"inode": blocks(stream[:cut], stream[cut:], compressed=False)}
    return small(tables=tables, superblock={"root_inode": root})


def compressed(codec: str) -> Image:
    number, compressor = COMPRESSORS[codec]
    children = {b"%02d" % one: file() for one in range(30)} | {b"file": file(b"content" * 60)}
    return build(directory(children), compression=number, compressor=compressor)


def cut(codec: str) -> Image:
    """The inode table's stream lacks its end."""
    image = compressed(codec)
    start = image.table("inode")
    (header,) = struct.unpack_from("<H", image.data, start)
    return image.put(start, "H", header - 12)


def flipped(codec: str) -> Image:
    image = compressed(codec)
    image.data[(image.table("inode") + image.table("directory")) // 2] ^= 0x10
    return image


def followed(codec: str, *, by: bytes | None) -> Image:
    """The inode table's stream is followed by other bytes, or by itself."""
    number, compressor = COMPRESSORS[codec]
    stream = compressor(inode_stream() * 8)
    payload = stream + (stream if by is None else by)
    return small(
        tables={"inode": blocks(payload)}, compression=number, superblock={"root_inode": 0}
    )


def lzma_wanting(dictionary: int) -> bytes:
    return b"\x5d" + struct.pack("<IQ", dictionary, 100) + lzma_alone(bytes(100))[13:]


def xz_wanting_4_gib() -> bytes:
    """A stream whose block header asks for the largest dictionary there is."""
    stream = bytearray(xz_crc32(bytes(100)))
    header = stream[12 : 12 + (stream[12] + 1) * 4]
    place = header.index(b"\x21\x01") + 2  # LZMA2, with one byte of properties
    header[place] = 40
    header[-4:] = struct.pack("<I", zlib.crc32(header[:-4]))
    stream[12 : 12 + len(header)] = header
    return bytes(stream)


def zstd_frame(*, window: int | None, size: int | None, content: bytes) -> bytes:
    """A frame of one raw block, with what its header says given."""
    descriptor = 0xC0 if size is not None else 0
    header = b"" if window is None else bytes([(window - 10) << 3])
    descriptor |= 0x20 if window is None else 0
    if size is not None:
        header += struct.pack("<Q", size)
    block = struct.pack("<I", len(content) << 3 | 1)[:3] + content
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + header + block


def xz_checked(check: int) -> Compressor:
    return lambda data: lzma.compress(data, check=check)


def with_xz_check(check: int) -> Image:
    return build(
        directory({b"file": file(b"content")}), compression=4, compressor=xz_checked(check)
    )


def wrong_crc() -> Image:
    stream = bytearray(xz_crc32(inode_stream() * 8))
    index = stream.rindex(b"\x00\x01", 0, -12)  # before it stands the block's check
    stream[index - 1] ^= 1
    return inodes_as(bytes(stream), 4)()


def listed(table: str, *positions: int) -> Callable[[], Image]:
    """An image whose list of a look-up table's blocks says these positions."""

    def make() -> Image:
        image = small()
        return image.put(image.table(table), f"{len(positions)}Q", *positions)

    return make


def many() -> Image:
    """An image with an export table of two blocks."""
    return build(directory({b"%05d" % number: file() for number in range(1100)}))


def relisted(choose: Callable[[int, int], tuple[int, int]]) -> Callable[[], Image]:
    """Two blocks of an export table, listed as chosen from where they are."""

    def make() -> Image:
        image = many()
        start = image.table("export")
        return image.put(start, "QQ", *choose(*struct.unpack_from("<QQ", image.data, start)))

    return make


def own_list(table: str) -> Image:
    image = small()
    return image.put(image.table(table), "Q", image.table(table))


def export_of_one(fs: SquashFS) -> object:
    return fs.stat_inode(1)


CASES: dict[str, Case] = {
    **{
        f"M1-{length}": Case(image=header_of("inode", length), match=f"size of {length & 32767}")
        for length in (8193, 8194, 32767, 8193 | STORED, 32767 | STORED)
    },
    **{
        f"M2-{table}-{header:#06x}": Case(image=header_of(table, header), match="size of 0")
        for table in ("inode", "directory")
        for header in (0, STORED)
    },
    **{
        f"M3-{table}-{more}": Case(
            image=partial(longer_header, table, more),
            match="runs past the table's end",
        )
        # Behind the directory table lie other tables' blocks, which its last block may not pass.
        for table, more in (("inode", 1), ("inode", 2000), ("directory", 2000))
    },
    **{
        f"M4-{size}": Case(image=inodes_as(zlib.compress(bytes(size), 9)), match="decompress")
        for size in (8193, 100_000, 8 << 20)
    },
    "M5": Case(image=short_first_block, match="outside a metadata block"),
    "M6-one": Case(image=inodes_as(zlib.compress(b"")), match="is empty"),
    "M6-a-million": Case(
        image=lambda: small(
            tables={"inode": blocks(zlib.compress(b"")) * 10**6}, superblock={"root_inode": 0}
        ),
        match="is empty",
        reads=3,
        total=1 << 14,
    ),
    **{
        f"M7-{codec}-truncated": Case(image=partial(cut, codec), match="does not decompress|holds")
        for codec in COMPRESSORS
    },
    **{
        f"M7-{codec}-flipped": Case(image=partial(flipped, codec), match="does not decompress")
        for codec in ("gzip", "xz")  # with a checksum; of the others, a flip may go unseen
    },
    **{
        f"M8-{codec}-trailing": Case(
            image=partial(followed, codec, by=b"trailing"), match="does not decompress"
        )
        for codec in ("gzip", "lzma", "lzo", "xz", "lz4", "zstd")
    },
    **{
        f"M8-{codec}-twice": Case(
            image=partial(followed, codec, by=None), match="does not decompress"
        )
        for codec in ("gzip", "xz", "zstd")
    },
    "M9-lzma-4-gib": Case(image=inodes_as(lzma_wanting(2**32 - 1), 2), match="[Mm]emory"),
    "M9-lzma-64-mib": Case(image=inodes_as(lzma_wanting(1 << 26), 2), match="[Mm]emory"),
    "M9-xz-4-gib": Case(image=inodes_as(xz_wanting_4_gib(), 4), match="[Mm]emory"),
    "M9-zstd-2-gib": Case(
        image=inodes_as(zstd_frame(window=31, size=None, content=bytes(100)), 6),
        match="does not decompress",
    ),
    **{
        f"M10-check-{check}": Case(image=partial(with_xz_check, check), error=None, answer=OK)
        for check in (lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256)
    },
    "M10-wrong-crc": Case(image=wrong_crc, match="does not decompress"),
    "M11-2-to-40": Case(
        image=inodes_as(zstd_frame(window=None, size=2**40, content=bytes(100)), 6),
        match="more than the 8192",
    ),
    "M11-smaller": Case(
        image=inodes_as(zstd_frame(window=None, size=1, content=bytes(100)), 6),
        match="does not decompress",
    ),
    **{
        f"M12-{position}": Case(image=listed("id", position), match="list of blocks names byte")
        for position in (0, 50, 2**63)
    },
    "M12-its-own-list": Case(image=lambda: own_list("id"), match="list of blocks names byte"),
    "M12-decreasing": Case(
        image=relisted(lambda first, second: (second, first)),
        ask=export_of_one,
        match="list of blocks names byte",
    ),
    "M12-gap": Case(
        image=relisted(lambda first, second: (first - 9000, second)),
        ask=export_of_one,
        match="list of blocks names byte",
    ),
    "M13": Case(
        image=lambda: small().put_superblock(inode_count=20_000), match="list of blocks needs"
    ),
    "M14": Case(
        image=lambda: small(tables={"id": b"".join(metadata(bytes(8192)))}),
        match="holds 8192 bytes instead of 4",
    ),
    "M15": Case(
        image=relisted(lambda first, _: (first, first)),
        ask=export_of_one,
        match="list of blocks names byte",
    ),
    "M16": Case(
        image=lambda: build(directory({b"file": file(b"content", uid=1)})),
        error=CorruptImageError,
        match="names id 1 of 1",
    ),
}
