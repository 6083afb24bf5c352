"""What PySquashfsImage does. It reads the whole tree when it opens an image."""

from __future__ import annotations

from typing import Any

from PySquashfsImage import SquashFsImage

from benchmarks.reader.works import Work

__all__ = ["WORKS"]


def _read(image: str, members: int) -> dict[str, float]:
    files = size = 0
    with SquashFsImage.from_file(image) as fs:
        for node in fs:
            if node.is_file:
                _stat(node)
                files += 1
                size += len(node.read_bytes())
    return {"files": files, "bytes": size}


def _walk(image: str, members: int) -> dict[str, float]:
    files = size = 0
    with SquashFsImage.from_file(image) as fs:
        for node in fs:
            _stat(node)
            if node.is_file:
                files += 1
                size += node.size
    return {"files": files, "bytes": size}


def _list(image: str, members: int) -> dict[str, float]:
    with SquashFsImage.from_file(image) as fs:
        return {"files": len([node.name for node in fs.root.iterdir()])}


def _look_up(kind: str) -> Work:
    def work(image: str, members: int) -> dict[str, float]:
        from benchmarks.reader.lookups import timed_lookups

        with SquashFsImage.from_file(image) as fs:
            return timed_lookups(lambda path: _stat(fs.root.select(path)), kind, members)

    return work


def _stat(node: Any) -> tuple[int, ...]:
    return node.mode, node.uid, node.gid, node.time, node.size


WORKS: dict[str, Work] = {
    "read": _read,
    "walk": _walk,
    "list": _list,
    "look up million": _look_up("million"),
    "look up flat": _look_up("flat"),
}
