"""The limits that keep a hostile image from costing more than it should, each with its
precedent.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one image may cost. What the format bounds itself (a data block by the block
    size, a metadata block by 8192 bytes) is not repeated here.
    """

    cache_bytes: int = 16 << 20
    """Decoded metadata and data blocks kept in memory, in bytes. dissect.squashfs's
    `lru_cache(1024)` of 1 MiB blocks is the counter-example.
    """

    codec_memory_bytes: int = 32 << 20
    """Memory that one decompression may ask for (xz and lzma dictionaries, zstd windows), in bytes:
    the 32 MiB memlimit of squashfs-tools (xz_wrapper.h).
    """

    symlink_target_bytes: int = 4096
    """Length of a symlink's target, in bytes: Linux refuses more than a page; the format allows
    65535.
    """

    symlink_hops: int = 40
    """Symlinks followed to resolve one path: Linux MAXSYMLINKS."""

    resolution_steps: int = 1 << 20
    """Names looked up to resolve one path, and entries decoded to find them: 40 targets of 4096
    bytes can lead through 80,000 directories. As many as `entries`.
    """

    xattr_value_bytes: int = 65536
    """Length of an attribute's value, in bytes: Linux XATTR_SIZE_MAX."""

    xattrs: int = 4096
    """Attributes of one inode."""

    xattr_name_bytes: int = 255
    """Length of an attribute's name with its prefix, in bytes: Linux XATTR_NAME_MAX."""

    block_list_bytes: int = 32 << 20
    """Length of one file's block list, in bytes, 4 for each block: at the default block size of
    128 KiB that is a file of 1 TiB. The list is held in memory while its file is open.
    """

    walk_depth: int = 1024
    """Directories nested below the start of a walk: 7-Zip's kNumDirLevelsMax."""

    entries: int = 1 << 20
    """Names that one `listdir` may return; `scandir` streams and has no such bound."""

    read_all_bytes: int = 256 << 20
    """Bytes that one `read()` without a size, or `read_bytes`, may return: four bytes of block list
    can stand for 1 MiB of zeros, so a file's size costs its author nothing.
    """
