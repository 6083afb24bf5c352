"""The rows of the table: images, who extracts them, and the goals."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from benchmarks.reader.figures import times
from benchmarks.reader.goals import Goal, memory_most, ratio_most
from benchmarks.reader.rows import Row
from benchmarks.reader.ways import Setting, Way, extracting

__all__ = ["COLUMNS", "DOWNLOAD", "LOCAL", "OURS", "TOOL", "of_s3"]

OURS, TOOL, DOWNLOAD = "s3archivefs extract", "unsquashfs", "download, not extracted"
COLUMNS = (OURS, TOOL, DOWNLOAD)
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


def of_s3(bucket: str, key: str, environ: Mapping[str, str]) -> Row:
    """Return the row of an image in S3, beside boto3's download of it."""

    def within(setting: Setting, *command: str) -> Sequence[str]:
        # What is cached of the image is gone with what is extracted.
        cache = f"S3ARCHIVEFS_CACHE_DIR={setting.extracted}/cache"
        return ["env", *(f"{name}={value}" for name, value in environ.items()), cache, *command]

    def download(setting: Setting) -> Sequence[str]:
        setting.extracted.mkdir()
        return within(
            setting, sys.executable, "-c", _DOWNLOAD, bucket, key, f"{setting.extracted}/image"
        )

    return Row(
        title="*source*, gzip 128K, in S3",
        image="source-gzip",
        ways={
            OURS: Way(
                lambda setting: within(setting, *_ours(f"s3://{bucket}/{key}", setting)),
                is_reader=False,
            ),
            DOWNLOAD: Way(download, is_reader=False),
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
            memory_most(OURS, _MEMORY_MB),
        ),
        cells=_CELLS,
    )
