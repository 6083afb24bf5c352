"""`s3archivefs info`: say what an image is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import add_image, examples
from s3archivefs.cli.opened import opened

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(("s3archivefs info docs.sqfs", "compression, sizes, time of packing"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `info`."""
    add_image(parser)


def run(options: argparse.Namespace) -> int:
    """Write what the superblock says."""
    with opened(options) as opened_image:
        found = opened_image.image.superblock
        made = datetime.fromtimestamp(found.mkfs_time, UTC)
        print(
            f"squashfs 4.0 image of {found.bytes_used:,} bytes, made {made:%Y-%m-%d %H:%M:%S} UTC"
        )
        print(f"compression {found.compression.name.lower()}, blocks of {found.block_size:,} bytes")
        print(
            f"{found.inode_count:,} inodes, {found.fragment_count:,} fragments, "
            f"{found.id_count:,} ids"
        )
        print(f"{found.bytes_used - found.inode_table_start:,} bytes of metadata at the end")
    return opened_image.faults.code
