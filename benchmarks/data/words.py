"""Very many small texts, whose words Dask counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random

from benchmarks.data.packing import Files, pack_image, put_all, put_image
from benchmarks.data.report import costs, rate
from benchmarks.data.story import Column, Contender, Figures, Goal, Made, Story
from benchmarks.remote.store import Store

__all__ = ["STORY", "path_of"]

_WORKS = "benchmarks.data.words_works"
_FULL, _QUICK = 1_000_000, 50_000  # texts
_OBJECTS = 5_000  # of them as objects
_PER_DIRECTORY = 1_000
_SIZE_LEAST, _SIZE_SPREAD = 200, 1_600  # bytes
_VOCABULARY, _DRAWN = 20_000, 2_000_000  # words

ONE, TWO, PLAIN = "s3archivefs, 1 worker", "s3archivefs, 2 workers", "plain objects, 2 workers"


def path_of(number: int) -> str:
    """Return the path of a text, counted from 0."""
    return f"d{number // _PER_DIRECTORY:04}/{number:07}.txt"


def _texts(count: int) -> Files:
    """Yield texts, of words by Zipf's law."""
    draw = Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(_VOCABULARY)]
    weights = [*accumulate(1 / rank for rank in range(1, _VOCABULARY + 1))]
    words = " ".join(draw.choices(vocabulary, cum_weights=weights, k=_DRAWN)).encode()
    for number in range(count):
        size = _SIZE_LEAST + draw.randrange(_SIZE_SPREAD)
        start = draw.randrange(len(words) - size)
        yield path_of(number), words[start : start + size]


def make(directory: Path, store: Store, is_quick: bool) -> Made:  # noqa: FBT001 -- as Story has it
    """Pack and upload the texts, and count their words."""
    count = _QUICK if is_quick else _FULL
    image, known = directory / "texts.sqfs", directory / "texts.json"
    numbers = (count, _OBJECTS)
    if not image.exists() or not known.exists():
        image.unlink(missing_ok=True)
        words: list[Counter[bytes]] = [Counter(), Counter()]
        pack_image(image, _counted(count, words))
        found = [[sum(each.values()), each.most_common(1)[0][1]] for each in words]
        known.write_text(json.dumps(found), "utf-8")
    put_image(store, "texts.sqfs", image)
    put_all(store, ((f"plain/{path}", content) for path, content in _texts(_OBJECTS)))
    totals = json.loads(known.read_text("utf-8"))
    return Made(
        note=(
            f"{count:,} texts of 0.2 to 1.8 KB in one archive of {image.stat().st_size / 1e6:,.0f}"
            f" MB; the first {_OBJECTS:,} as objects. Dask counts the words of all, with spawned"
            " processes that share no cache."
        ),
        parameters={"objects": _OBJECTS, "image_bytes": image.stat().st_size},
        expected={
            step: {"texts": number, "words": total, "most_common": most}
            for step, number, (total, most) in zip(("count", "few"), numbers, totals, strict=True)
        },
    )


def _counted(count: int, words: list[Counter[bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield the texts, and count the words of all, and of the objects."""
    for number, (path, content) in enumerate(_texts(count)):
        found = content.split()
        words[0].update(found)
        if number < _OBJECTS:
            words[1].update(found)
        yield path, content


def _fetched(figures: Figures, contender: str, step: str = "count") -> float:
    return figures.median(contender, step, lambda cost: cost.bytes / cost.answer["image_bytes"])


def _fetched_cell(figures: Figures, contender: str, step: str) -> str:
    return f"{_fetched(figures, contender, step):.3f}"


STORY = Story(
    title="Words",
    measures="Dask: the words of a million small texts, with 1 and 2 workers",
    make=make,
    contenders=(
        Contender(name=ONE, work=f"{_WORKS}:archive", options={"workers": 1}),
        Contender(name=TWO, work=f"{_WORKS}:archive", options={"workers": 2}),
        Contender(name=PLAIN, work=f"{_WORKS}:plain_objects", options={"workers": 2}),
    ),
    columns=(
        Column("all", "count", costs),
        Column("texts", "count", rate),
        Column("bytes fetched for each of the image", "count", _fetched_cell),
        Column("the first as objects", "few", costs),
        Column("texts", "few", rate),
    ),
    goals=(
        Goal(
            text="2 workers ≥ 1.7 x one",
            figure=lambda figures: figures.wall(ONE, "count") / figures.wall(TWO, "count"),
            bound=1.7,
        ),
        Goal(
            text="each chunk fetched once: bytes ≤ 1.05 x the image's, with 2 workers",
            figure=lambda figures: _fetched(figures, TWO),
            bound=1.05,
            at_least=False,
            unit="{:.3f} x",
        ),
        Goal(
            text="ahead of plain objects, in texts/s",
            figure=lambda figures: figures.rate(TWO, "count") / figures.rate(PLAIN, "few"),
            bound=1,
        ),
    ),
)
