"""The rows of the table: images, who extracts them, and the goals."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.reader.figures import times
from benchmarks.reader.goals import Goal, memory_most, ratio_most
from benchmarks.reader.rows import Row
from benchmarks.reader.ways import Setting, Way, extracting

__all__ = ["COLUMNS", "LOCAL", "Bucket", "of_image", "of_objects"]

OURS, TOOL, DOWNLOAD = "s3archivefs extract", "unsquashfs", "download, not extracted"
BOTH, OBJECTS = "download, then unsquashfs", "the files as objects, 32 at a time"
COLUMNS = (OURS, TOOL, DOWNLOAD, BOTH, OBJECTS)
_CELLS = dict.fromkeys(COLUMNS, times)
_MEMORY_MB = 200
_DOWNLOAD = "import boto3, sys; boto3.client('s3').download_file(*sys.argv[1:])"


def _ours(image: str, setting: Setting) -> list[str]:
    target = str(setting.extracted / "tree")
    return [sys.executable, "-m", "s3archivefs.cli", "extract", image, "-C", target]


def _local(codec: str, times_most: float) -> Row:
    return Row(
        title=f"*source*, {codec}",
        image=f"source-{codec.partition(' ')[0]}",
        ways={
            OURS: Way(lambda setting: _ours(str(setting.image), setting), is_reader=False),
            TOOL: extracting(),
        },
        goals=(ratio_most(OURS, TOOL, times_most), memory_most(OURS, _MEMORY_MB)),
        cells=_CELLS,
    )


LOCAL: dict[str, Row] = {
    "gzip": _local("gzip 128K", 1.3),
    "zstd": _local("zstd 1M", 1.6),
    "lz4": _local("lz4 128K", 2),
}
"""Images on disk, by the name of the codec."""


class Bucket(NamedTuple):
    """Where rows in S3 read."""

    name: str
    environ: Mapping[str, str]
    """Variables of a process that reads there."""

    def within(self, setting: Setting, *command: str) -> Sequence[str]:
        """Return a command that reads there; its cache is gone with what is extracted."""
        cache = f"S3ARCHIVEFS_CACHE_DIR={setting.extracted}/cache"
        return ["env", *(f"{name}={each}" for name, each in self.environ.items()), cache, *command]

    def extracting(self, key: str) -> Way:
        """Return how this project extracts an image there."""
        url = f"s3://{self.name}/{key}"
        return Way(lambda setting: self.within(setting, *_ours(url, setting)), is_reader=False)

    def downloading(self, key: str, *, extracts: bool) -> Way:
        """Return how boto3 downloads an image, which unsquashfs extracts then if wanted."""

        def command(setting: Setting) -> Sequence[str]:
            setting.extracted.mkdir()
            image, tree = f"{setting.extracted}/image", f"{setting.extracted}/tree"
            download = (sys.executable, "-c", _DOWNLOAD, self.name, key, image)
            if not extracts:
                return self.within(setting, *download)
            extract = f"unsquashfs -quiet -no-progress -dest {tree} {image}"
            return self.within(setting, "sh", "-c", f'"$@" && {extract}', "sh", *download)

        return Way(command, is_reader=False)

    def getting(self, prefix: str) -> Way:
        """Return how boto3 downloads objects."""
        module = ("-m", "benchmarks.extract.objects", "get", self.name, prefix)
        return Way(
            lambda setting: self.within(setting, sys.executable, *module, str(setting.extracted)),
            is_reader=False,
        )


def of_image(bucket: Bucket, key: str, title: str) -> Row:
    """Return the row of *source* in S3, beside what people do without this project."""
    return Row(
        title=f"*source*, gzip 128K, {title}",
        image="source-gzip",
        ways={
            OURS: bucket.extracting(key),
            DOWNLOAD: bucket.downloading(key, extracts=False),
            BOTH: bucket.downloading(key, extracts=True),
        },
        goals=(
            Goal(
                way=OURS,
                text=f"{OURS} ≥ 80 % of a parallel download",
                figure=lambda found: 100 * found[DOWNLOAD].wall / found[OURS].wall,
                bound=80,
                at_least=True,
                unit="{:.0f} %",
            ),
            ratio_most(OURS, BOTH, 1),
            memory_most(OURS, _MEMORY_MB),
        ),
        cells=_CELLS,
    )


def of_objects(bucket: Bucket, key: str, prefix: str, files: int) -> Row:
    """Return the row of an image in S3, beside its files as objects."""
    return Row(
        title=f"{files:,} files of *source*, gzip 128K, in S3",
        image=None,
        ways={OURS: bucket.extracting(key), OBJECTS: bucket.getting(prefix)},
        goals=(ratio_most(OURS, OBJECTS, 1 / 0.8), memory_most(OURS, _MEMORY_MB)),
        cells=_CELLS,
    )
