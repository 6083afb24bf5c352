"""Tables of several blocks, and places beyond 4 GiB, by others' judgement first.

tests/nightly has long listings, and what else takes large trees.
"""

from __future__ import annotations

import io
import os
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import s3archivefs
from s3archivefs import FileKind
from s3archivefs.writer import Entry, FileOutput, ImageWriter, PackOptions
from s3archivefs.writer.entries import Member
from tests.support.images.fixtures import run_tool
from tests.support.images.judges import (
    extracted_by_rdsquashfs,
    extracted_by_unsquashfs,
)

BLOCK = 4096
FILES = 1100
"""More than two metadata blocks of fragments, ids, sets of attributes, and exports hold."""


def content(number: int) -> bytes:
    """What shares a fragment with nothing, and does not compress to nothing."""
    return b"%d " % number * 600


def tables() -> list[Member]:
    return [
        Entry(
            b"f/%d" % number,
            mode=0o4755,
            uid=2 * number,
            gid=2 * number + 1,
            open=partial(io.BytesIO, content(number)[:4000]),
            xattrs=((b"user.number", b"%d" % number),),
        )
        for number in range(FILES)
    ]


def write(path: Path, members: list[Member], **options: Any) -> None:  # noqa: ANN401 -- those of PackOptions
    with ImageWriter(FileOutput(path), PackOptions(block_size=BLOCK, **options)) as image:
        for member in members:
            image.add(member)


def test_fragments_ids_attributes_and_exports_of_several_blocks(tmp_path: Path) -> None:
    image = tmp_path / "a.sqfs"
    write(image, tables())
    digests = {
        f"/f/{number}": sha256(content(number)[:4000]).hexdigest() for number in range(FILES)
    }
    assert extracted_by_rdsquashfs(image) == digests
    listed = run_tool("unsquashfs", "-lln", str(image)).stdout
    assert b"-rwsr-xr-x 2198/2199 " in listed
    assert b"user.number=1099\n" in run_tool("rdsquashfs", "-x", "/f/1099", str(image)).stdout
    with s3archivefs.open(image) as fs:
        assert fs.superblock.fragment_count > 1024
        assert fs.superblock.id_count == 2 * FILES
        assert [*fs.verify()] == []


class FarOutput(FileOutput):
    """An image whose data begin beyond 4 GiB: a hole on disk lies before them."""

    START = 5 << 30

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        super().write(b"\0" * 96)
        self._file.seek(self.START)


def test_places_beyond_4_gib(tmp_path: Path) -> None:
    image = tmp_path / "a.sqfs"
    contents = {"/large": os.urandom(3 * BLOCK + 5), "/small": b"small", "/hole": bytes(3 * BLOCK)}
    writer = ImageWriter(FarOutput(image), PackOptions(block_size=BLOCK), start=FarOutput.START)
    for name, each in contents.items():
        writer.add(Entry(name[1:].encode(), open=partial(io.BytesIO, each)))
    writer.finish()
    digests = {name: sha256(each).hexdigest() for name, each in contents.items()}
    assert extracted_by_unsquashfs(image) == digests
    assert extracted_by_rdsquashfs(image) == digests
    with s3archivefs.open(image) as fs:
        assert {name: sha256(fs.read_bytes(name)).hexdigest() for name in contents} == digests
        assert [*fs.verify()] == []


@pytest.mark.parametrize("fragments", [True, False])
def test_an_image_without_files_has_an_owner_and_a_table_of_no_fragments(
    tmp_path: Path, *, fragments: bool
) -> None:
    image = tmp_path / "a.sqfs"
    write(image, [Entry(b"empty", FileKind.DIRECTORY)], fragments=fragments)
    assert b"squashfs-root/empty" in run_tool("unsquashfs", "-ls", str(image)).stdout
    run_tool("rdsquashfs", "--describe", str(image))
    with s3archivefs.open(image) as fs:
        assert fs.superblock.id_count == 1
        assert fs.superblock.fragment_table_start != 2**64 - 1
        assert [*fs.verify()] == []
