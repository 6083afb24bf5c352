"""What a walk and a verification of many directories keep in memory, as their docstrings say."""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import s3archivefs
from fixtures.tree import directory
from tests.support.images import make_image

COUNT = 10_000
SHAPES = {
    "side by side": [f"d{number:05}" for number in range(COUNT)],
    "in a hundred others": [
        name
        for top in range(100)
        for name in (f"d{top:02}", *(f"d{top:02}/e{number:02}" for number in range(99)))
    ],
}
WORK: dict[str, Callable[[s3archivefs.SquashFS], Iterable[object]]] = {
    "walk": lambda fs: fs.walk("/"),
    "verify": lambda fs: fs.verify(),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("many")
    return {
        name: make_image(place, tuple(map(directory, names)), name=name.replace(" ", "-"))
        for name, names in SHAPES.items()
    }


@pytest.mark.parametrize(
    ("shape", "work", "bytes_each"),
    [
        ("side by side", "walk", 200),
        ("in a hundred others", "walk", 120),
        ("side by side", "verify", 300),
        ("in a hundred others", "verify", 170),
    ],
)
def test_memory_for_each_directory(
    images: dict[str, Path], shape: str, work: str, bytes_each: int
) -> None:
    # A cache that holds little else than what is read, and is full before.
    with s3archivefs.open(images[shape], limits=s3archivefs.Limits(cache_bytes=1 << 20)) as fs:
        deque(WORK[work](fs), maxlen=0)
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            deque(WORK[work](fs), maxlen=0)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (most - before) / COUNT < bytes_each
