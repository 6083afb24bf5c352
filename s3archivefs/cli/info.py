"""`s3archivefs info`: say what an image is and how well it is packed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3archivefs.cli.arguments import add_image, examples
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import human_size, named, shown, write_json
from s3archivefs.cli.packing_advice import FETCHED_WHOLE, FIRST_REQUEST, Advice, advice_on
from s3archivefs.cli.totals import stats_below
from s3archivefs.errors import UnsupportedError
from s3archivefs.extents import Extents
from s3archivefs.format import ABSENT_32, SuperblockFlags
from s3archivefs.inode import FileKind
from s3archivefs.layout import table_sizes
from s3archivefs.names import encode
from s3archivefs.options import data_start

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from s3archivefs.image import SquashFS

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs info docs.sqfs", "compression, tables, and what to pack otherwise"),
    ("s3archivefs info --scan docs.sqfs", "how far its content is compressed too"),
    ("s3archivefs info --json s3://bucket/a.sqfs", "an object for a program"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `info`."""
    add_image(parser)
    parser.add_argument(
        "--scan",
        action="store_true",
        help="count files, bytes and dead data too, which reads all metadata: of a million files "
        "some 16M",
    )
    parser.add_argument("--json", action="store_true", help="write an object of JSON")


def run(options: argparse.Namespace) -> int:
    """Write what the superblock and the starts of the tables say."""
    with opened(options) as found:
        facts = _facts(found.name, found.image, scan=options.scan)
        if options.json:
            write_json(facts)
        else:
            _write(found.name, facts)
    return found.faults.code


def _facts(name: str, image: SquashFS, *, scan: bool) -> dict[str, Any]:
    """Return what there is to say, as the object of JSON (docs/json.md, "Images")."""
    superblock = image.superblock
    tables = table_sizes(image.device, superblock)
    padding = image.device.size - superblock.bytes_used
    content = _content(image) if scan else {}
    advice = [*advice_on(superblock, tables, padding, content.get("dead", 0))]
    remarks: Callable[[], list[str]] | None = getattr(image.device, "remarks", None)
    advice += (Advice("store", each) for each in (remarks() if remarks is not None else ()))
    flags = SuperblockFlags(superblock.flags)
    facts: dict[str, Any] = {
        **named("image", encode(name)),
        "size": superblock.bytes_used,
        "padding": padding,
        "mtime": superblock.mkfs_time,
        "compressor": superblock.compression.name.lower(),
        "compressor_options": _compressor_options(image),
        "block_size": superblock.block_size,
        "inodes": superblock.inode_count,
        "fragments": superblock.fragment_count,
        "ids": superblock.id_count,
        "flags": [flag.name.lower() for flag in SuperblockFlags if flag in flags and flag.name],
        "metadata": sum(tables.values()),
        "tables": tables,
        "advice": [each._asdict() for each in advice],
    }
    return facts | content


def _compressor_options(image: SquashFS) -> dict[str, int] | None:
    """Return the options of the compressor, or None for its defaults and for unknown ones."""
    try:
        found = image.compressor_options
    except UnsupportedError:
        return None
    return None if found is None else found.as_dict()


def _content(image: SquashFS) -> dict[str, Any]:
    """Return how many regular files there are, their bytes, and those of dead data.

    Hard links count once. No file refers to dead data.
    """
    superblock = image.superblock
    files, size = 0, 0
    seen: set[int] = set()
    fragments: set[int] = set()
    extents = Extents()
    for stat in stats_below(image, b"/"):
        if stat.kind is not FileKind.FILE or stat.reference in seen:
            continue
        if stat.nlink > 1:
            seen.add(stat.reference)
        files += 1
        size += stat.size
        place = image.content_place(stat)
        fragments.add(place.fragment_index)
        if place.fragment_index == ABSENT_32 or place.size >= superblock.block_size:
            extents.add(place.blocks_start, image.open_node(stat.reference).storage.size)
    for number, (start, length) in enumerate(image.fragment_extents()):
        extents.add(start, length if number in fragments else 0)
    first, end = data_start(image.device, superblock), superblock.inode_table_start
    ratio = round(superblock.bytes_used / size, 4) if size else None
    dead = extents.left_out(first, end)
    return {"files": files, "content": size, "ratio": ratio, "dead": dead}


def _write(name: str, facts: dict[str, Any]) -> None:
    made = datetime.fromtimestamp(facts["mtime"], UTC)
    options = facts["compressor_options"] or {}
    given = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())
    metadata = facts["metadata"]
    print(f"{shown(name)}: squashfs 4.0 image, made {made:%Y-%m-%d %H:%M:%S} UTC")
    print(f"size         {facts['size']:,} bytes, and {facts['padding']:,} of padding")
    print(f"compression  {facts['compressor']}{f' ({given})' if given else ''}")
    print(f"blocks       {facts['block_size']:,} bytes")
    print(f"holds        {facts['inodes']:,} inodes, {facts['fragments']:,} fragments")
    if "files" in facts:
        print(f"content      {facts['content']:,} bytes in {facts['files']:,} files{_share(facts)}")
    else:
        print(f"content      --scan tells: it reads {human_size(metadata)} of metadata")
    if "dead" in facts:
        print(f"dead data    {facts['dead']:,} bytes that no file refers to")
    tables = (f"{name} {size:,}" for name, size in facts["tables"].items())
    print(f"metadata     {metadata:,} bytes: {', '.join(tables)}")
    print(f"flags        {', '.join(facts['flags']).replace('_', ' ') or 'none'}")
    print(f"in S3        {_opening(metadata + facts['padding'])}")
    for each in facts["advice"]:
        print(f"advice       {each['text']}")
    if not facts["advice"]:
        print("advice       none: it is packed well for remote reading")


def _share(facts: dict[str, Any]) -> str:
    ratio = facts["ratio"]
    return "" if ratio is None else f", of which the image takes {ratio:.1%}"


def _opening(tail: int) -> str:
    """Return what opening the image takes by the adapter's defaults."""
    if tail <= FIRST_REQUEST:
        return "the first request brings all metadata"
    if tail <= FETCHED_WHOLE:
        return "metadata takes a second request, and is held in memory then"
    return "metadata is fetched in parts, as it is needed"
