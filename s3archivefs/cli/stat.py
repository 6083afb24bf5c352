"""`s3archivefs stat`: say all that an image holds of a path but its content."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from stat import S_IMODE, filemode
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cli.arguments import add_image, add_json, add_paths, examples
from s3archivefs.cli.described import described, device_numbers, target_of
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import counted, named, shown, write_json
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from s3archivefs.content import Storage
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs stat docs.sqfs /README.md", "attributes of a file, and how it is stored"),
    ("s3archivefs stat --json docs.sqfs /README.md | jq .xattrs", "one of them, for a program"),
)

_KINDS = {
    FileKind.DIRECTORY: "directory",
    FileKind.FILE: "regular file",
    FileKind.SYMLINK: "symbolic link",
    FileKind.BLOCK_DEVICE: "block special file",
    FileKind.CHAR_DEVICE: "character special file",
    FileKind.FIFO: "fifo",
    FileKind.SOCKET: "socket",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `stat`."""
    add_image(parser)
    add_paths(parser, default="/")
    parser.add_argument(
        "-L", "--dereference", action="store_true", help="what a symlink leads to, not the link"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write what is known of each path."""
    with opened(options) as found:
        for path in found.paths:
            with found.faults.reported(path):
                known = _known(found.image, path, follow=options.dereference)
                if options.json:
                    write_json(_object(known))
                else:
                    sys.stdout.writelines(_lines(known))
    return found.faults.code


class _Known(NamedTuple):
    """All that an image holds of a path but its content."""

    path: bytes
    stat: Stat
    target: bytes | None
    xattrs: dict[bytes, bytes]
    block_size: int
    storage: Storage | None
    """How the content of a regular file is stored."""


def _known(image: SquashFS, path: bytes, *, follow: bool) -> _Known:
    stat = image.stat(path, follow_symlinks=follow)
    is_file = stat.kind is FileKind.FILE
    return _Known(
        path,
        stat,
        target_of(image, stat),
        image.xattr_pairs_of_node(stat.reference),
        image.superblock.block_size,
        image.open_node(stat.reference).storage if is_file else None,
    )


def _object(known: _Known) -> dict[str, object]:
    """Return it as an object of JSON (docs/json.md, "Files")."""
    found = described(known.path, known.stat, known.target)
    found["xattrs"] = [
        {**named("name", name), **named("value", value)} for name, value in known.xattrs.items()
    ]
    if known.storage is not None:
        found |= {
            "block_size": known.block_size,
            "blocks": known.storage.blocks,
            "holes": known.storage.holes,
            "stored_size": known.storage.size,
            "tail_size": known.storage.tail,
        }
    return found


def _lines(known: _Known) -> Iterator[str]:
    """Yield it as lines in the manner of stat(1)."""
    stat = known.stat
    arrow = "" if known.target is None else f" -> {shown(known.target)}"
    yield f"  File: {shown(known.path)}{arrow}\n"
    yield f"  Size: {stat.size:<12} {_KINDS[stat.kind]}\n"
    device = " Device type: {},{}".format(*device_numbers(stat)) if stat.rdev else ""
    yield f" Inode: {stat.inode_number:<12} Links: {stat.nlink}{device}\n"
    mode = f"{S_IMODE(stat.mode):04o}/{filemode(stat.mode)}"
    yield f"Access: ({mode})  Uid: {stat.uid}  Gid: {stat.gid}\n"
    yield f"Modify: {datetime.fromtimestamp(stat.mtime, UTC):%Y-%m-%d %H:%M:%S %z}\n"
    if known.storage is not None:
        yield f"Stored: {_stored(known.storage)}\n"
    for name, value in known.xattrs.items():
        yield f" Xattr: {shown(name)}={shown(value)}\n"


def _stored(storage: Storage) -> str:
    """Return in words where the content lies in the image."""
    blocks = counted(storage.blocks, "block", "blocks")
    parts = [f"{blocks} of {storage.size:,} bytes in all"]
    if storage.holes:
        parts.append(counted(storage.holes, "hole", "holes"))
    if storage.tail:
        parts.append(f"the last {counted(storage.tail, 'byte', 'bytes')} in a fragment")
    return ", ".join(parts)
