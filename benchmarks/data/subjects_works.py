"""The works of `subjects`: reading a directory of one archive, then listing all archives.

What they need is imported before the first step, and clients are made within it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

from benchmarks.data.process import Clock, Task

__all__ = ["images", "images_through_squashfsspec", "objects", "objects_through_s3fs", "zips"]


def images(task: Task, clock: Clock) -> None:
    """Read images through this project's filesystem."""
    import botocore.session  # noqa: F401 -- imported by the adapter when it first needs it

    import s3archivefs_lambda.archives.targets  # noqa: F401 -- likewise
    from s3archivefs.filesystem import ArchiveFileSystem

    def opened(archive: int) -> Any:  # noqa: ANN401 -- fsspec has no types
        return ArchiveFileSystem(f"s3://{task.bucket}/archives/{archive:02}.sqfs")

    _through_fsspec(task, clock, opened)


def images_through_squashfsspec(task: Task, clock: Clock) -> None:
    """Read images through squashfsspec, with the cache that suits it best."""
    import s3fs
    from squashfsspec import SquashFSFileSystem

    def opened(archive: int) -> Any:  # noqa: ANN401 -- likewise
        s3 = s3fs.S3FileSystem()  # one for all: fsspec keeps it
        path = f"{task.bucket}/archives/{archive:02}.sqfs"
        return SquashFSFileSystem(s3.open(path, cache_type="blockcache", block_size=1 << 20))

    _through_fsspec(task, clock, opened)


def zips(task: Task, clock: Clock) -> None:
    """Read zips through fsspec's own filesystem for them."""
    import s3fs
    from fsspec.implementations.zip import ZipFileSystem

    def opened(archive: int) -> Any:  # noqa: ANN401 -- likewise
        s3 = s3fs.S3FileSystem()  # likewise
        return ZipFileSystem(s3.open(f"{task.bucket}/zips/{archive:02}.zip"))

    _through_fsspec(task, clock, opened)


def objects_through_s3fs(task: Task, clock: Clock) -> None:
    """Read objects through s3fs, several at once."""
    import s3fs

    top = f"{task.bucket}/plain"
    with clock.step("directory") as answer:
        s3 = s3fs.S3FileSystem()
        found = s3.cat(s3.find(f"{top}/00/{task.parameters['subject']}"))
        _tell_contents(answer, found.values())
    with clock.step("listing") as answer:
        _tell_names(answer, [name[len(top) + 1 :] for name in s3.find(top)])


def objects(task: Task, clock: Clock) -> None:
    """Read objects one after the other, and list them, with boto3."""
    import boto3

    client: Any = None

    def names(prefix: str) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=task.bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page["Contents"]]

    with clock.step("directory") as answer:
        client = boto3.client("s3")
        keys = names(f"plain/00/{task.parameters['subject']}/")
        bodies = (client.get_object(Bucket=task.bucket, Key=key)["Body"].read() for key in keys)
        _tell_contents(answer, bodies)
    with clock.step("listing") as answer:
        _tell_names(answer, [key.removeprefix("plain/") for key in names("plain/")])


def _through_fsspec(task: Task, clock: Clock, opened: Callable[[int], Any]) -> None:
    with clock.step("directory") as answer:
        fs = opened(0)
        # Not `recursive`, which fails with zips and with squashfsspec: they `cat` directories too.
        found = fs.cat(fs.find(task.parameters["subject"]))
        _tell_contents(answer, found.values())
    with clock.step("listing") as answer:
        answer["items"] = 0
        for archive in range(task.parameters["archives"]):
            names = opened(archive).find("")
            answer["items"] += len(names)
            if answer.setdefault("names", _sum(names)) != _sum(names):
                raise ValueError(f"archive {archive} has other names than the first")


def _tell_contents(answer: dict[str, Any], contents: Iterable[bytes]) -> None:
    found = [*contents]
    answer["items"] = len(found)
    answer["bytes"] = sum(map(len, found))
    answer["sum"] = sum(map(crc32, found))


def _tell_names(answer: dict[str, Any], names: list[str]) -> None:
    """Tell of names that begin with the number of an archive."""
    answer["items"] = len(names)
    first = [name[3:] for name in names if name.startswith("00/")]
    answer["names"] = _sum(first)


def _sum(names: list[str]) -> int:
    return crc32("\n".join(names).encode())
