"""Count the images in an archive by format and size, with Ray.

    python examples/ray_images.py s3://my-bucket/images.sqfs [WORKERS]

With WORKERS it starts so many on this machine, else it uses the cluster if there is one.

Partitions are images that lie together in the archive: a worker reads each with a few requests, and
no two fetch the same blocks. Workers share nothing but the archive, so that they may be anywhere.
Formats and sizes are in the first bytes of PNG, GIF and JPEG: no library decodes them here.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import ray

from s3archivefs.dataset import ArchiveDataset

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_ONCE = 2  # partitions for each worker that are handed out, so that none has to wait


class Header(NamedTuple):
    """What an image says of itself; size in pixels, 0 if it is of no known format."""

    format: str
    width: int
    height: int


def header_of(content: bytes) -> Header:
    """Return the format and size of an image, by its first bytes."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return Header("png", *struct.unpack_from(">II", content, 16))
        if content.startswith((b"GIF87a", b"GIF89a")):
            return Header("gif", *struct.unpack_from("<HH", content, 6))
        at = 2 if content.startswith(b"\xff\xd8") else len(content)
        while True:  # the segments of a JPEG, until one is the head of a frame
            marker, length = struct.unpack_from(">HH", content, at)
            if 0xFFC0 <= marker <= 0xFFCF and marker not in {0xFFC4, 0xFFC8, 0xFFCC}:
                height, width = struct.unpack_from(">HH", content, at + 5)
                return Header("jpeg", width, height)
            at += 2 + length
    except struct.error:
        return Header("unknown", 0, 0)


@ray.remote  # type: ignore[untyped-decorator]  # not installed where types are checked
def count(images: Iterable[Header]) -> Counter[Header]:
    """Return how many images there are of each format and size."""
    return Counter(images)


def main(archive: str, workers: str = "") -> None:
    """Print the formats and sizes that are most frequent."""
    ray.init(num_cpus=int(workers) if workers else None)
    headers: Counter[Header] = Counter()
    with ArchiveDataset(archive, decode=header_of) as images:
        partitions = images.partitions()
    at_once = AT_ONCE * int(ray.cluster_resources()["CPU"])
    counts: list[ray.ObjectRef] = []
    while partitions or counts:
        while partitions and len(counts) < at_once:
            counts.append(count.remote(partitions.pop()))
        done, counts = ray.wait(counts)
        headers.update(ray.get(done[0]))
    for header, number in headers.most_common(10):
        print(number, header.format, f"{header.width}x{header.height}")


if __name__ == "__main__":
    main(*sys.argv[1:])
