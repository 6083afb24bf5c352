"""The rows of the table: compressors, who packs with each, and the goals."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.reader.figures import Measured, times
from benchmarks.reader.goals import Goal, memory_most, ratio_most
from benchmarks.reader.rows import Row
from benchmarks.reader.ways import Setting, Way

__all__ = ["COLUMNS", "OURS", "TOOL", "rows_of"]

OURS, TOOL, NG, TAR = "s3archivefs pack", "mksquashfs", "gensquashfs", "tar, tar2sqfs"
COLUMNS = (OURS, TOOL, NG, TAR)
_MEMORY_MB = 512
_SIZE_PERCENT = 102
_TIMES = {"gzip": 0.6, "zstd 15": 1.0, "zstd 3": 1.3, "lz4": 1.3}
"""By compressor and level: how many times mksquashfs's wall time is aimed at."""


def rows_of(source: Path) -> dict[str, Row]:
    """Return the rows of a tree on disk, by compressor and level."""
    return {
        name.replace(" ", "-"): Row(
            title=f"{name}, 128K",
            image=None,
            ways=_ways(source, *name.split()),
            goals=(ratio_most(OURS, TOOL, most), _size_most(), memory_most(OURS, _MEMORY_MB)),
            cells=dict.fromkeys(COLUMNS, _times_and_size),
        )
        for name, most in _TIMES.items()
    }


def _ways(source: Path, codec: str, level: str = "") -> dict[str, Way]:
    ours = ("--level", level) if level else ()
    tool = ("-Xcompression-level", level) if level else ()
    other = ("-X", f"level={level}") if level else ()
    packing = (sys.executable, "-m", "s3archivefs.cli", "pack", "--compressor", codec, *ours)
    options = ("-c", codec, *other, "-b", "128K", "-q")
    return {
        OURS: _way('"$@" "$SOURCE" "$IMAGE"', source, *packing),
        TOOL: _way(
            '"$1" "$SOURCE" "$IMAGE" -noappend -quiet -no-progress "${@:2}"',
            source,
            *("mksquashfs", "-comp", codec, "-b", "128K", *tool),
        ),
        NG: _way('"$@" -D "$SOURCE" "$IMAGE"', source, "gensquashfs", *options),
        TAR: _way('tar c -C "$SOURCE" . | "$@" "$IMAGE"', source, "tar2sqfs", *options),
    }


def _way(script: str, source: Path, *command: str) -> Way:
    """Return the way of a script whose arguments are a command; prints the image's size."""

    def packing(setting: Setting) -> Sequence[str]:
        setting.extracted.mkdir()
        image = setting.extracted / "image.sqfs"
        both = f'set -e -o pipefail; {script} >&2; stat -c "size %s" "$IMAGE"'
        environ = (f"SOURCE={source}", f"IMAGE={image}")
        return ["env", *environ, "bash", "-c", both, "bash", *command]

    return Way(packing)


def _size_most() -> Goal:
    return Goal(
        way=OURS,
        text=f"{OURS} ≤ {_SIZE_PERCENT} % of {TOOL}'s size",
        figure=lambda found: 100 * found[OURS].printed["size"] / found[TOOL].printed["size"],
        bound=_SIZE_PERCENT,
        unit="{:.1f} %",
        for_all_sizes=True,
    )


def _times_and_size(found: Measured, ways: Mapping[str, Measured]) -> str:
    return f"{times(found, ways)} / {found.printed['size'] / 1e6:.1f} MB"
