"""What this project's reader does: by path, by directory entry, and in bulk.

To add a way of reading, add its function to `CONTENTS` or `WALKS`; the rows that wait for it, "in
bulk", then measure it, and `check` holds what it reads against what was packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import s3archivefs
from benchmarks.reader.works import Work
from s3archivefs import FileKind, SquashFS

__all__ = ["WORKS"]

_WARMING, _REQUESTS = 500, 2_000
"""To the operations: before those that are timed, and those."""
# To reach a member of an enum takes 75 ns in Python 3.11, a tenth of what an entry takes.
_DIRECTORY, _FILE = FileKind.DIRECTORY, FileKind.FILE

# ---- Ways of reading -----------------------------------------------------------------------------


def _contents_by_path(fs: SquashFS) -> Iterator[tuple[str, bytes]]:
    for top, _, files in fs.walk("/"):
        prefix = top.rstrip("/")
        for name in files:
            path = f"{prefix}/{name}"
            fs.stat(path)
            yield path, fs.read_bytes(path)


def _contents_in_bulk(fs: SquashFS) -> Iterator[tuple[str, bytes]]:
    for path, _, file in fs.walk_files("/"):
        yield path, file.read()


def _walk_by_entry(fs: SquashFS) -> tuple[int, int]:
    files = size = 0
    todo = [fs.scandir("/")]
    while todo:
        for entry in todo.pop():
            found = entry.stat(follow_symlinks=False)
            if found.kind is _FILE:
                files += 1
                size += found.size
            elif found.kind is _DIRECTORY:
                todo.append(entry.scandir())
    return files, size


def _walk_in_bulk(fs: SquashFS) -> tuple[int, int]:
    files = size = 0
    todo = [""]
    while todo:
        top = todo.pop()
        for name, found in fs.scandir_stats(top):
            if found.kind is _FILE:
                files += 1
                size += found.size
            elif found.kind is _DIRECTORY:
                todo.append(f"{top}/{name}")
    return files, size


CONTENTS: dict[str, Callable[[SquashFS], Iterable[tuple[str, bytes]]]] = {
    "by path": _contents_by_path,
    "in bulk": _contents_in_bulk,
}
"""Each path from the root and its content, of all files."""
WALKS: dict[str, Callable[[SquashFS], tuple[int, int]]] = {
    "by entry": _walk_by_entry,
    "in bulk": _walk_in_bulk,
}
"""Number of files and their bytes, from the attributes of all below the root."""


# ---- Works ---------------------------------------------------------------------------------------


def _read(way: str) -> Work:
    def work(image: str, members: int) -> dict[str, float]:
        files = size = 0
        with s3archivefs.open(image) as fs:
            for _, content in CONTENTS[way](fs):
                files += 1
                size += len(content)
        return {"files": files, "bytes": size}

    return work


def _walk(way: str) -> Work:
    def work(image: str, members: int) -> dict[str, float]:
        with s3archivefs.open(image) as fs:
            files, size = WALKS[way](fs)
        return {"files": files, "bytes": size}

    return work


def _check(image: str, members: int) -> dict[str, float]:
    """Hold the contents of a source image, read in each way, against what was packed."""
    from zlib import crc32

    from benchmarks.reader.source_tree import SOURCE

    packed = {f"/{file.path}": crc32(file.content) for file in SOURCE.files(members)}
    with s3archivefs.open(image) as fs:
        for way, contents in CONTENTS.items():
            if {path: crc32(content) for path, content in contents(fs)} != packed:
                raise ValueError(
                    f"{way}: not what was packed, or a kept image of other code: {image}"
                )
    return {"ways": len(CONTENTS)}


def _list(image: str, members: int) -> dict[str, float]:
    with s3archivefs.open(image) as fs:
        return {"files": len(fs.listdir("/"))}


def _verify(image: str, members: int) -> dict[str, float]:
    with s3archivefs.open(image) as fs:
        return {"problems": sum(1 for _ in fs.verify())}


def _look_up(kind: str) -> Work:
    def work(image: str, members: int) -> dict[str, float]:
        from benchmarks.reader.lookups import timed_lookups

        with s3archivefs.open(image) as fs:
            return timed_lookups(fs.stat, kind, members)

    return work


def _operations(image: str, members: int) -> dict[str, float]:
    """Read random files, by GetObject."""
    import time
    from contextlib import closing
    from random import Random

    from benchmarks.reader.source_tree import SMALL
    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.archives.client import make_archive_client
    from s3archivefs_lambda.bucket.operations import Operations
    from s3archivefs_lambda.config.settings import Config
    from s3archivefs_lambda.s3api.messages import S3Request

    config = Config.from_environ({"S3ARCHIVEFS_PREFIX_VMAP1": f"|file://{image}"})
    operations = Operations(Archives(config, make_archive_client))
    sizes = {file.path: file.size for file in SMALL.files(members)}

    def read(path: str) -> None:
        with closing(operations.answer("GetObject", S3Request(key=path))) as response:
            assert sum(map(len, response.body)) == sizes[path]

    drawn = Random(1).choices([*sizes], k=_WARMING + _REQUESTS)
    for path in drawn[:_WARMING]:
        read(path)
    start = time.process_time()
    for path in drawn[_WARMING:]:
        read(path)
    return {"ms": (time.process_time() - start) / _REQUESTS * 1000}


WORKS: dict[str, Work] = {
    **{f"read {way}": _read(way) for way in CONTENTS},
    **{f"walk {way}": _walk(way) for way in WALKS},
    **{f"look up {kind}": _look_up(kind) for kind in ("million", "flat")},
    "check": _check,
    "list": _list,
    "operations": _operations,
    "verify": _verify,
}
