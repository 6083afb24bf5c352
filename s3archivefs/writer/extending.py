"""An image that grows: new data follows what it has, tables are made anew.

    with HeldImage("a.sqfs") as held, ImageExtension(held.image, held.output()) as image:
        image.remove(b"docs/old")
        image.add(Entry(b"docs/README", open=lambda: io.BytesIO(b"Hello")))

What is removed or replaced leaves dead bytes among the data, which readers never look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from s3archivefs.errors import PackingError, UnsupportedError
from s3archivefs.format import (
    ABSENT_64,
    MAGIC_STREAMED,
    Compression,
    GzipOptions,
    Lz4Options,
    SuperblockFlags,
    XzOptions,
    ZstdOptions,
)
from s3archivefs.options import check_compressor_options, read_compressor_options
from s3archivefs.writer.compressors import Compressor, compressor_for
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.kept_tree import KeptTree
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs.image import SquashFS

__all__ = ["Cost", "ExtensionOutput", "ImageExtension", "ImageRevision", "kept_bytes"]

_ALL_STORED = SuperblockFlags.UNCOMPRESSED_DATA | SuperblockFlags.UNCOMPRESSED_INODES
_LZ4_HIGHEST = 12


class Cost(NamedTuple):
    """What it takes to replace an image by one that begins as it does."""

    sent: int
    """Bytes that are written, or sent to a store."""
    received: int
    """Bytes that a store sends."""
    copied: int
    """Bytes that the file system or the store copies."""
    requests: int
    """Requests to a store."""


class ExtensionOutput(Output, Protocol):
    """An output that begins with bytes of the image that it replaces."""

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin with these ranges of the image, each a start and an end, in order.

        Nothing was written before.
        """


def kept_bytes(image: SquashFS) -> int:
    """Return how many of the image's first bytes an extension keeps: all before its tables.

    Raises PackingError for images that cannot be extended.
    """
    if image.origin.offset:
        raise PackingError(
            "an image behind other bytes of its file cannot grow: copy it to a file of its own"
        )
    if int.from_bytes(image.device.pread(0, 4), "little") in MAGIC_STREAMED:
        raise PackingError("a streamed image, whose superblock is its end, cannot grow: pack anew")
    if image.superblock.compression is Compression.LZMA:
        raise PackingError("nothing here compresses with lzma: pack anew, with xz")
    return image.superblock.inode_table_start


class ImageRevision(ImageWriter):
    """Writes an image that begins with all members of another; some may be removed.

    Tables and new blocks are compressed as the image's are, but at the `level` that is given.
    Leaving the context finishes the image. Raises PackingError for images that cannot be extended,
    and what reading the image raises.
    """

    def __init__(
        self,
        image: SquashFS,
        output: ExtensionOutput,
        *,
        level: int | None = None,
        checksums: bool = False,
        time: int | None = None,
    ) -> None:
        try:
            kept = kept_bytes(image)
            tree = KeptTree(image)
            options = _options(image, level, checksums=checksums, time=time)
            compressor = compressor_for(options, xz_dictionary=_xz_dictionary(image))
            stored = check_compressor_options(image.device, image.superblock)
        except BaseException:
            output.abandon()
            raise
        super().__init__(
            output,
            options,
            # One that is stored as it is has a compressor all the same, which others may use.
            compressor=Compressor(image.superblock.compression, compressor.encode, stored or b""),
            start=kept,
            fragment_entries=tree.fragment_entries,
        )
        try:
            self._begin_reading(tree)
            tree.read_into(self._tree, self._ids, self._xattrs)
            self._begin(kept)
        except BaseException:
            self.abandon()
            raise

    def remove(self, path: bytes) -> None:
        """Remove a member, and all below it.

        Raises FileNotFoundError where there is none, and PackingError for the root.
        """
        self._data.settle()
        self._tree.remove(path)

    def _begin_reading(self, tree: KeptTree) -> None:
        """Prepare for the members of the image."""

    def _begin(self, kept: int) -> None:
        """Begin the output, where the image keeps the first `kept` bytes."""


class ImageExtension(ImageRevision):
    """Writes an image that has all members of another, with others added or removed.

    The other's data stays where it lies: what is new follows it. A file that is added and whose
    content the other has shares its data. To find that, files of the other are read, in proportion
    to what is added; with `claimed`, only those that have the SHA-256 as an attribute and take so
    many bytes. See ImageRevision.
    """

    _output: ExtensionOutput

    def __init__(
        self,
        image: SquashFS,
        output: ExtensionOutput,
        *,
        level: int | None = None,
        checksums: bool = False,
        time: int | None = None,
        claimed: int | None = None,
    ) -> None:
        self._claimed = claimed
        super().__init__(image, output, level=level, checksums=checksums, time=time)

    def _begin_reading(self, tree: KeptTree) -> None:
        self._data.kept = tree.contents(self._claimed)

    def _begin(self, kept: int) -> None:
        self._output.keep([(0, kept)])


def _options(
    image: SquashFS, level: int | None, *, checksums: bool, time: int | None
) -> PackOptions:
    """Return the options with which the image was packed, as far as it tells them."""
    superblock = image.superblock
    flags = superblock.flags
    name = superblock.compression.name.lower()
    if flags & _ALL_STORED == _ALL_STORED:
        name, level = "none", None
    return PackOptions(
        compressor=name,
        level=_level(image) if level is None else level,
        block_size=superblock.block_size,
        fragments=not flags & SuperblockFlags.NO_FRAGMENTS,
        tail_ends=bool(flags & SuperblockFlags.ALWAYS_FRAGMENTS),
        exportable=superblock.export_table_start != ABSENT_64,
        checksums=checksums,
        time=time,
    )


def _level(image: SquashFS) -> int | None:
    """Return the level at which the image's blocks were compressed; None for the default."""
    try:
        record = read_compressor_options(image.device, image.superblock)
    except UnsupportedError:  # options of a size that is unknown
        return None
    if isinstance(record, GzipOptions) and 1 <= record.level <= 9:
        return record.level
    if isinstance(record, ZstdOptions) and 1 <= record.level <= 22:
        return record.level
    if isinstance(record, Lz4Options) and record.flags & 1:
        return _LZ4_HIGHEST
    return None


def _xz_dictionary(image: SquashFS) -> int:
    """Return the bytes of an xz image's dictionary; 0 for the default.

    Linux keeps so many, and decodes no block that wants more.
    """
    try:
        record = read_compressor_options(image.device, image.superblock)
    except UnsupportedError:
        return 0
    return record.dictionary_size if isinstance(record, XzOptions) else 0
