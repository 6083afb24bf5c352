"""The limits on what a hostile image may cost, each with its precedent."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one image may cost.

    They do not repeat what the format itself bounds: a data block by the block size, a metadata
    block by 8192 bytes.
    """

    cache_bytes: int = 96 << 20
    """Bytes of decoded metadata and data blocks kept in memory.

    The metadata of a million files takes 57 MiB of them. Iterators of `read_many` and `walk_files`
    take up to 64 MiB each besides. The counter-example is dissect.squashfs: its `lru_cache(1024)`
    of 1 MiB blocks can take 1 GiB.
    """

    codec_memory_bytes: int = 32 << 20
    """Bytes of memory that one decompression may use for its dictionary or window.

    It bounds xz, lzma and zstd. squashfs-tools has the same memlimit of 32 MiB (xz_wrapper.h).
    """

    symlink_target_bytes: int = 4096
    """Bytes in a symlink's target: Linux refuses more than a page; the format allows 65535."""

    symlink_hops: int = 40
    """Symlinks followed to resolve one path: Linux's MAXSYMLINKS."""

    resolution_steps: int = 1 << 20
    """Names looked up to resolve one path, and entries decoded to find them.

    40 targets of 4096 bytes can lead through 80,000 directories. The same number as `entries`.
    """

    xattr_value_bytes: int = 65536
    """Bytes in an extended attribute's value: Linux's XATTR_SIZE_MAX."""

    xattrs: int = 4096
    """Extended attributes of one inode."""

    xattr_name_bytes: int = 255
    """Bytes in an extended attribute's name, prefix included: Linux's XATTR_NAME_MAX."""

    block_list_bytes: int = 32 << 20
    """Bytes in one file's block list, 4 for each block.

    At the default block size of 128 KiB that is a file of 1 TiB. The list stays in memory while its
    file is open.
    """

    walk_depth: int = 1024
    """Levels of directories below the start of a walk: 7-Zip's kNumDirLevelsMax."""

    entries: int = 1 << 20
    """Names that one `listdir` may return; `scandir` streams, and needs no such bound."""

    read_all_bytes: int = 256 << 20
    """Bytes that one `read()` without a size, or `read_bytes`, may return.

    Four bytes of block list can stand for 1 MiB of zeros: a large file costs its author nothing.
    """
