"""Images to train on: incompressible files of some tens of kilobytes, shuffled."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple
from zlib import crc32

from benchmarks.data.packing import Files, pack_image, pack_tar, pack_zip, put_all, put_image
from benchmarks.data.report import memory, rate
from benchmarks.data.story import Column, Contender, Figures, Goal, Made, Story
from benchmarks.remote.store import Store

__all__ = ["STORY", "content_of", "path_of"]

_WORKS = "benchmarks.data.images_works"
_PER_DIRECTORY = 100
_PER_SHARD = 1_000
_SIZE_LEAST, _SIZE_SPREAD = 5_000, 55_000


class _Sizes(NamedTuple):
    """Numbers of files."""

    image: int
    """In the image."""
    others: int
    """In the zip, and in the tars: the first ones."""
    reads: int
    """That are read in random order."""


_FULL = _Sizes(image=100_000, others=10_000, reads=2_000)
_QUICK = _Sizes(image=10_000, others=2_500, reads=500)

WINDOWED, RANDOM = "s3archivefs, shuffled by blocks", "s3archivefs, at random"
PLAIN, PLAIN_AT_ONCE = "plain objects", "plain objects, a batch at once"
ZIP, SQUASHFSSPEC, SHARDS = "zip through fsspec", "squashfsspec", "WebDataset"


def path_of(number: int) -> str:
    """Return the path of a file, counted from 0 in the order of paths."""
    return f"n{number // _PER_DIRECTORY:04}/{number:07}.jpg"


def content_of(number: int) -> bytes:
    """Return its content: 5 to 60 KB of noise."""
    draw = Random(number)
    return draw.randbytes(_SIZE_LEAST + draw.randrange(_SIZE_SPREAD))


def _files(numbers: Iterable[int]) -> Files:
    return ((path_of(number), content_of(number)) for number in numbers)


def _shards(count: int) -> Iterator[tuple[str, bytes]]:
    for shard, first in enumerate(range(0, count, _PER_SHARD)):
        numbers = range(first, min(first + _PER_SHARD, count))
        yield f"shards/{shard:04}.tar", pack_tar(_files(numbers))


def make(directory: Path, store: Store, is_quick: bool) -> Made:  # noqa: FBT001 -- as Story has it
    """Pack and upload the images, and note the size and the check sum of each."""
    sizes = _QUICK if is_quick else _FULL
    image, packed = directory / "images.sqfs", directory / "images.zip"
    pack_image(image, _files(range(sizes.image)))
    pack_zip(packed, _files(range(sizes.others)))
    known = directory / "known.bin"
    if not known.exists():
        table = array("I")
        for number in range(sizes.image):
            content = content_of(number)
            table.extend((len(content), crc32(content)))
        known.write_bytes(table.tobytes())
    reads = Random(1).sample(range(sizes.image), sizes.reads)
    of_others = Random(2).sample(range(sizes.others), sizes.reads)
    put_image(store, "images.sqfs", image)
    store.gateway.client().upload_file(str(packed), store.bucket, "images.zip")
    put_all(store, _shards(sizes.others))
    put_all(store, ((f"plain/{path}", content) for path, content in _files(reads)))
    shards = range(-(-sizes.others // _PER_SHARD))
    return Made(
        note=(
            f"{sizes.image:,} files of 5 to 60 KB of noise in {sizes.image // _PER_DIRECTORY:,}"
            f" directories, {image.stat().st_size / 1e9:.2f} GB as an image; the first"
            f" {sizes.others:,} of them as a zip, and as {len(shards)} tars. DataLoader, batches of"
            f" 64, 2 spawned workers. Read are all files of image and tars in a windowed shuffle,"
            f" {sizes.reads:,} where the order is random throughout."
        ),
        parameters={
            "known": str(known),
            "others": sizes.others,
            "reads": reads,
            "reads_of_others": of_others,
            "shards": [store.presigned(f"shards/{shard:04}.tar") for shard in shards],
        },
        expected={"epoch": {"is_sound": True}},
    )


def _rate_against(contender: str, *others: str, least: float, text: str) -> Goal:
    return Goal(
        text=text,
        figure=lambda figures: (
            figures.rate(contender, "epoch")
            / max(figures.rate(each, "epoch") for each in others if figures.has(each, "epoch"))
        ),
        bound=least,
    )


def _fetched(figures: Figures, contender: str, step: str = "epoch") -> float:
    return figures.median(contender, step, lambda cost: cost.bytes / cost.answer["bytes"])


def _fetched_cell(figures: Figures, contender: str, step: str) -> str:
    return f"{_fetched(figures, contender, step):.2f}"


def _requests_cell(figures: Figures, contender: str, step: str) -> str:
    each = figures.median(contender, step, lambda cost: cost.requests / cost.answer["items"])
    return f"{1000 * each:,.0f}"


def _processor_cell(figures: Figures, contender: str, step: str) -> str:
    each = figures.median(contender, step, lambda cost: cost.processor / cost.answer["items"])
    return f"{1000 * each:.2f} ms"


def _seconds_cell(figures: Figures, contender: str, step: str) -> str:
    return f"{figures.wall(contender, step):.2f} s"


STORY = Story(
    title="Images",
    measures="training: images a second under PyTorch's DataLoader",
    make=make,
    contenders=(
        Contender(name=WINDOWED, work=f"{_WORKS}:shuffled_by_blocks"),
        Contender(name=RANDOM, work=f"{_WORKS}:at_random"),
        Contender(name=PLAIN, work=f"{_WORKS}:plain_objects"),
        Contender(name=PLAIN_AT_ONCE, work=f"{_WORKS}:plain_objects", options={"at_once": True}),
        Contender(name=SHARDS, work=f"{_WORKS}:shards"),
        Contender(name=ZIP, work=f"{_WORKS}:zip_through_fsspec"),
        Contender(name=SQUASHFSSPEC, work=f"{_WORKS}:through_squashfsspec", once=True),
    ),
    columns=(
        Column("images", "epoch", rate),
        Column("bytes fetched for each used", "epoch", _fetched_cell),
        Column("requests for 1,000", "epoch", _requests_cell),
        Column("processor for each", "epoch", _processor_cell),
        Column("the largest process", "epoch", memory),
        Column("until the files are known", "open", _seconds_cell),
    ),
    goals=(
        _rate_against(
            WINDOWED, PLAIN, least=10, text="shuffled by blocks ≥ 10 x plain objects, in images/s"
        ),
        _rate_against(RANDOM, PLAIN, least=10, text="at random ≥ 10 x plain objects"),
        _rate_against(
            RANDOM, ZIP, SQUASHFSSPEC, least=2, text="at random ≥ 2 x zip and squashfsspec"
        ),
        Goal(
            text="bytes fetched ≤ 1.5 x used, shuffled by blocks",
            figure=lambda figures: _fetched(figures, WINDOWED),
            bound=1.5,
            at_least=False,
            for_all_sizes=True,
        ),
    ),
)
