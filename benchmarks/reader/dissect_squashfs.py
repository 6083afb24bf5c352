"""What dissect.squashfs does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dissect.squashfs import SquashFS

from benchmarks.reader.works import Work

__all__ = ["WORKS"]


def _read(image: str, members: int) -> dict[str, float]:
    files = size = 0
    with Path(image).open("rb") as file:
        for node in _nodes(SquashFS(file).root):
            _stat(node)
            if node.is_file():
                files += 1
                size += len(node.open().read())
    return {"files": files, "bytes": size}


def _walk(image: str, members: int) -> dict[str, float]:
    files = size = 0
    with Path(image).open("rb") as file:
        for node in _nodes(SquashFS(file).root):
            _stat(node)
            if node.is_file():
                files += 1
                size += node.size
    return {"files": files, "bytes": size}


def _list(image: str, members: int) -> dict[str, float]:
    with Path(image).open("rb") as file:
        return {"files": len(SquashFS(file).root.listdir())}


def _look_up(kind: str) -> Work:
    def work(image: str, members: int) -> dict[str, float]:
        from benchmarks.reader.lookups import timed_lookups

        with Path(image).open("rb") as file:
            fs = SquashFS(file)
            return timed_lookups(lambda path: _stat(fs.get(path)), kind, members)

    return work


def _nodes(top: Any) -> Iterator[Any]:
    for node in top.iterdir():
        yield node
        if node.is_dir():
            yield from _nodes(node)


def _stat(node: Any) -> tuple[Any, ...]:
    return node.mode, node.uid, node.gid, node.mtime, node.size


WORKS: dict[str, Work] = {
    "read": _read,
    "walk": _walk,
    "list": _list,
    "look up million": _look_up("million"),
    "look up flat": _look_up("flat"),
}
