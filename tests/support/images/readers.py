"""The readers below an open image, as tests of them need them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from s3archivefs import BytesDevice
from s3archivefs.offset_device import OffsetDevice
from s3archivefs.readers import open_readers
from s3archivefs.resolution import Resolver

if TYPE_CHECKING:
    from s3archivefs import BlockDevice, SquashFS
    from s3archivefs.readers import Readers

__all__ = ["readers_of", "resolver_of"]


def readers_of(fs: SquashFS) -> Readers:
    """Readers of the same image, with caches of their own."""
    source, offset, *_ = fs.origin
    if isinstance(source, str | bytes):
        source = BytesDevice(Path(str(source)).read_bytes())
    device = cast("BlockDevice", source)
    return open_readers(OffsetDevice(device, offset), fs.superblock, fs.limits)


def resolver_of(fs: SquashFS, readers: Readers | None = None) -> Resolver:
    """A resolver of the image's paths, by such readers."""
    readers = readers or readers_of(fs)
    return Resolver(readers.root(fs.superblock.root_inode), readers, fs.limits)
