"""What a compacted image keeps, and what goes."""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import s3archivefs
from s3archivefs.errors import PackingError
from s3archivefs.format import SuperblockFlags
from s3archivefs.writer.compacting import ImageCompaction
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.extending import ImageExtension
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.inputs.image import ImageInput
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.output import FileOutput
from s3archivefs.writer.postponed import PostponedOutput
from s3archivefs.writer.replacing import HeldImage
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 4096
NO_XATTRS = SuperblockFlags.NO_XATTRS
RANDOM = Random(1).randbytes(6 * BLOCK)
SHAPES: dict[str, Callable[[int], bytes]] = {
    "head": lambda size: RANDOM[:size],
    "tail": lambda size: RANDOM[size:],
    "zeros": bytes,
    "holes": lambda size: RANDOM[:BLOCK] + bytes(BLOCK) + RANDOM[:size],
}
MANNERS: list[dict[str, Any]] = [
    {"compressor": "none"},
    {"compressor": "gzip", "level": 1, "tail_ends": True},
    {"compressor": "lz4", "checksums": True, "exportable": False},
    {"fragments": False},
]


def file(path: str, content: bytes, **fields: Any) -> Entry:  # noqa: ANN401 -- of all types
    opened = partial(io.BytesIO, content)
    return Entry(path.encode(), open=opened, size=len(content), reopens=True, **fields)


def pack(path: Path, members: list[Member], **options: object) -> None:
    manner = PackOptions(block_size=BLOCK, **options)  # type: ignore[arg-type]  # of all types
    with ImageWriter(FileOutput(path, replace=True), manner) as image:
        for member in members:
            image.add(member)


def remove(path: Path, *gone: bytes) -> None:
    with HeldImage(path) as held, ImageExtension(held.image, held.output()) as extension:
        for each in gone:
            extension.remove(each)


def compact(path: Path) -> int:
    """Compact an image; return the bytes that were dead."""
    with HeldImage(path) as held, ImageCompaction(held.image, held.output()) as compaction:
        return compaction.dead


def observed(path: Path) -> list[tuple[object, ...]]:
    """All that members are: names, attributes, contents; hard links by their first name."""
    with s3archivefs.open(path) as fs:
        assert [*fs.verify()] == []
        return [
            (*member[:6], member.xattrs, fs.read_bytes(b"/" + member.path))
            if isinstance(member, Entry) and member.kind is s3archivefs.FileKind.FILE
            else (member._replace(open=None) if isinstance(member, Entry) else member)
            for member in ImageInput(fs)
        ]


@settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    files=st.lists(
        st.tuples(st.sampled_from([*SHAPES]), st.integers(0, 3 * BLOCK), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    manner=st.sampled_from(MANNERS),
    has_link=st.booleans(),
)
def test_what_is_left_reads_as_before_and_nothing_is_dead(
    tmp_path: Path, files: list[tuple[str, int, bool]], manner: dict[str, Any], *, has_link: bool
) -> None:
    paths = [f"{number % 3}/{number}" for number in range(len(files))]
    members: list[Member] = [
        file(path, SHAPES[shape](size), uid=number, mtime=number, mode=0o600 + number)
        for number, (path, (shape, size, _)) in enumerate(zip(paths, files, strict=True))
    ]
    if has_link:
        members.append(HardLink(b"2/link", b"0/0"))
    image = tmp_path / "a"
    pack(image, members, **manner)
    remove(image, *(path.encode() for path, (*_, goes) in zip(paths, files, strict=True) if goes))
    before, size = observed(image), image.stat().st_size
    with s3archivefs.open(image) as fs:
        superblock, stored = fs.superblock, fs.compressor_options

    dead = compact(image)
    assert observed(image) == before
    assert size - image.stat().st_size > dead - 4096  # which are padding
    with s3archivefs.open(image) as fs:
        assert fs.superblock.flags | NO_XATTRS == superblock.flags | NO_XATTRS
        assert fs.superblock.mkfs_time == superblock.mkfs_time
        assert fs.compressor_options == stored
    once = image.read_bytes()
    assert compact(image) == 0
    assert image.read_bytes() == once


def test_blocks_keep_their_order_and_bytes(tmp_path: Path) -> None:
    image = tmp_path / "a"
    contents = {f"{number}": RANDOM[number:][: 2 * BLOCK] for number in range(5)}
    pack(image, [file(path, content) for path, content in contents.items()], compressor="none")
    remove(image, b"0", b"2")
    assert compact(image) == 4 * BLOCK
    data = contents["1"] + contents["3"] + contents["4"]
    assert image.read_bytes()[96:].startswith(data)


def test_images_of_others_have_nothing_dead() -> None:
    for name, fixture in FIXTURES.items():
        if fixture.offset or "lzma" in name:
            continue
        with s3archivefs.open(fixture.image) as fs:
            compaction = ImageCompaction(fs, PostponedOutput())
            assert (name, compaction.dead, compaction.share) == (name, 0, 0)
            compaction.abandon()


def test_members_are_removed_on_the_way_but_not_added(tmp_path: Path) -> None:
    image, output = tmp_path / "a", PostponedOutput()
    pack(image, [file("a", RANDOM[:BLOCK]), file("b", RANDOM[BLOCK:])], compressor="none")
    with HeldImage(image) as held, ImageCompaction(held.image, output) as compaction:
        assert compaction.dead == 0
        compaction.remove(b"a")
        assert compaction.dead == BLOCK
        with pytest.raises(PackingError, match="takes no members"):
            compaction.add(file("c", b"c"))
    with HeldImage(image) as held:
        output.send(held.output(output.superblock))
    with s3archivefs.open(image) as fs:
        assert [path for path, *_ in fs.walk_files()] == ["/b"]
        assert [*fs.verify()] == []


def test_a_postponed_image_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    image, output = tmp_path / "a", PostponedOutput()
    pack(image, [file("a", b"a")])
    before = image.read_bytes()
    with HeldImage(image) as held:
        with ImageCompaction(held.image, output):
            pass
        os.utime(image, (1, 1))
        with pytest.raises(PackingError, match="changed it meanwhile"):
            output.send(held.output(output.superblock))
    assert image.read_bytes() == before
    assert [*tmp_path.iterdir()] == [image]
