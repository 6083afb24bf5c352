"""Subjects of a study: a million small files in 56 archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple
from zipfile import ZIP_DEFLATED
from zlib import crc32

from benchmarks.data.packing import Files, pack_image, pack_zip, put_all, put_image
from benchmarks.data.report import costs, memory, rate
from benchmarks.data.story import Column, Contender, Figures, Goal, Made, Story
from benchmarks.remote.store import Store

__all__ = ["STORY", "content_of", "paths_of"]

_WORKS = "benchmarks.data.subjects_works"
_SUBJECTS = 20
_SUBJECT = 7  # the one that is read, of the first archive


class _Sizes(NamedTuple):
    """Numbers of archives and files."""

    archives: int
    per_subject: int
    as_objects: int
    """Archives whose files are objects too."""


_FULL = _Sizes(archives=56, per_subject=893, as_objects=1)
_QUICK = _Sizes(archives=8, per_subject=300, as_objects=1)

OURS, BOTO3, S3FS = "s3archivefs", "plain objects, boto3", "plain objects, s3fs"
ZIP, SQUASHFSSPEC = "zips through fsspec", "squashfsspec"


def paths_of(subject: int, count: int) -> Iterator[str]:
    """Yield the paths of a subject's files within its archive, in order."""
    for number in range(count):
        yield f"sub-{subject:03}/session-{number % 3}-run-{number:05}.json"


def content_of(archive: int, path: str) -> bytes:
    """Return the content of a file: 100 to 700 bytes that compress by half."""
    draw = Random(f"{archive} {path}")
    return draw.randbytes(50 + draw.randrange(300)).hex().encode()


def _paths(per_subject: int) -> Iterator[str]:
    for subject in range(_SUBJECTS):
        yield from sorted(paths_of(subject, per_subject))


def _files(archive: int, paths: Iterable[str]) -> Files:
    return ((path, content_of(archive, path)) for path in paths)


def make(directory: Path, store: Store, is_quick: bool) -> Made:  # noqa: FBT001 -- as Story has it
    """Pack and upload all archives, as images and as zips, and some as objects."""
    sizes = _QUICK if is_quick else _FULL
    paths = [*_paths(sizes.per_subject)]
    client = store.gateway.client()
    for archive in range(sizes.archives):
        image, packed = (directory / f"{archive:02}.{suffix}" for suffix in ("sqfs", "zip"))
        pack_image(image, _files(archive, paths))
        pack_zip(packed, _files(archive, paths), ZIP_DEFLATED)
        put_image(store, f"archives/{archive:02}.sqfs", image)
        client.upload_file(str(packed), store.bucket, f"zips/{archive:02}.zip")
    put_all(
        store,
        (
            (f"plain/{archive:02}/{path}", content)
            for archive in range(sizes.as_objects)
            for path, content in _files(archive, paths)
        ),
    )
    subject = [content for _, content in _files(0, paths_of(_SUBJECT, sizes.per_subject))]
    total = len(paths) * sizes.archives
    stored = sum((directory / f"{each:02}.sqfs").stat().st_size for each in range(sizes.archives))
    return Made(
        note=(
            f"{total:,} files of 100 to 700 bytes in {sizes.archives} archives,"
            f" {stored / 1e6:.0f} MB as images, each with {_SUBJECTS} directories of"
            f" {sizes.per_subject}. Read are the files of one directory, then the names of all"
            " archives, one after the other. As objects there are only those of the first"
            f" {sizes.as_objects}: of listings, rates compare. Wall / processor / requests / MB."
        ),
        parameters={
            "archives": sizes.archives,
            "as_objects": sizes.as_objects,
            "subject": f"sub-{_SUBJECT:03}",
        },
        expected={
            "directory": {
                "items": sizes.per_subject,
                "bytes": sum(map(len, subject)),
                "sum": sum(map(crc32, subject)),
            },
            "listing": {"names": crc32("\n".join(paths).encode())},
        },
    )


def _ahead(peer: str, step: str, text: str) -> Goal:
    def figure(figures: Figures) -> float:
        return figures.rate(OURS, step) / figures.rate(peer, step)

    return Goal(text=f"{text} ahead of {peer}", figure=figure, bound=1, for_all_sizes=True)


def _goals() -> Iterator[Goal]:
    for step, text in (("directory", "one directory"), ("listing", "the whole listing")):
        yield from map(partial(_ahead, step=step, text=text), (BOTO3, S3FS, ZIP, SQUASHFSSPEC))


STORY = Story(
    title="Subjects",
    measures="many archives: one directory's files, and the whole listing",
    make=make,
    contenders=(
        Contender(name=OURS, work=f"{_WORKS}:images"),
        Contender(name=BOTO3, work=f"{_WORKS}:objects"),
        Contender(name=S3FS, work=f"{_WORKS}:objects_through_s3fs"),
        Contender(name=ZIP, work=f"{_WORKS}:zips"),
        Contender(name=SQUASHFSSPEC, work=f"{_WORKS}:images_through_squashfsspec", once=True),
    ),
    columns=(
        Column("one directory's files", "directory", costs),
        Column("files", "directory", rate),
        Column("the whole listing", "listing", costs),
        Column("names", "listing", rate),
        Column("memory", "listing", memory),
    ),
    goals=(*_goals(),),
)
