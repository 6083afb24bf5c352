"""Long paths take little memory: a deep tree names each directory once, its path all above it."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs import Limits
from tests.support.images import built

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
LEVELS, NAME, FILES = 500, 250, 500


def deep(files: int) -> s3archivefs.SquashFS:
    """An image of nested directories, each beside an empty one, with files in the deepest."""
    names = (b"%05d" % number + b"f" * (NAME - 5) for number in range(files))
    node = built.directory({name: built.file() for name in names}, extended=True)
    for _ in range(LEVELS):
        node = built.directory({b"d" * NAME: node, b"e" * NAME: built.directory()})
    image = bytes(built.build(node))
    return s3archivefs.open(s3archivefs.BytesDevice(image), limits=Limits(cache_bytes=MIB))


def walk(fs: s3archivefs.SquashFS) -> int:
    return sum(len(others) for _, _, others in fs.walk("/"))


def walk_files(fs: s3archivefs.SquashFS) -> int:
    return sum(1 for _ in fs.walk_files("/"))


def verify(fs: s3archivefs.SquashFS) -> int:
    assert not [*fs.verify()]
    return FILES


@pytest.mark.parametrize(
    ("go_through", "most"),
    [(walk, 8), (walk_files, 24 + 8), (verify, 8)],  # walk_files holds paths of 24 MiB ahead
)
def test_a_deep_tree_takes_little_memory(
    go_through: Callable[[s3archivefs.SquashFS], int], most: int
) -> None:
    with deep(FILES) as fs:
        tracemalloc.start()
        try:
            assert go_through(fs) == FILES
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert LEVELS * LEVELS * NAME // 2 > 24 * MIB  # the paths of all directories
    assert FILES * LEVELS * NAME > 56 * MIB  # and of all files
    assert peak < most * MIB


def test_a_deep_tree_has_whole_paths() -> None:
    with deep(1) as fs:
        top = "/" + "/".join(["d" * NAME] * 400)
        below = "/" + "/".join(["d" * NAME] * (LEVELS - 400))
        (name,) = fs.listdir(top + below)
        assert [path for path, _, _ in fs.walk_files(top)] == [top + below + "/" + name]
        walked = {path: (directories, files) for path, directories, files in fs.walk(top)}
        assert walked[top + below] == ([], [name])
        assert len(walked) == 1 + 2 * (LEVELS - 400)
        assert all(path.startswith(top) for path in walked)
