"""The members of an image are those that it was made of."""

from __future__ import annotations

from pathlib import Path

import pytest

import s3archivefs
from s3archivefs.writer.entries import Entry, HardLink
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.inputs.arranged import Exclusion
from s3archivefs.writer.inputs.image import ImageInput
from s3archivefs.writer.output import FileOutput
from tests.support.images.fixtures import FIXTURES, Fixture, observe, open_fixture

# Of what the format cannot hold twice: gensquashfs counts the links of a directory otherwise.
PACKED_AGAIN = ("special", "non-utf8", "xattrs", "symlinks", "sparse", "hardlinks", "gzip", "zstd")


@pytest.mark.parametrize("name", [name for name in PACKED_AGAIN if name in FIXTURES])
def test_an_image_packed_again_reads_the_same(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fixture: Fixture = FIXTURES[name]
    path = tmp_path_factory.mktemp("again") / "again.sqfs"
    with open_fixture(fixture) as fs, ImageWriter(FileOutput(path)) as image:
        for member in ImageInput(fs):
            image.add(member)
    with s3archivefs.open(path) as again, open_fixture(fixture) as fs:
        assert observe(again) == observe(fs)
        assert [*again.verify()] == []
        for path_in, directories, files in fs.walk("/"):
            for each in (path_in, *(f"{path_in}/{one}" for one in (*directories, *files))):
                names = fs.listxattr(each, follow_symlinks=False)
                assert sorted(again.listxattr(each, follow_symlinks=False)) == sorted(names)


def test_later_names_of_an_inode_are_hard_links() -> None:
    with open_fixture(FIXTURES["special"]) as fs:
        members = [*ImageInput(fs)]
        links = [each for each in members if isinstance(each, HardLink)]
        paths = [each.path for each in members if isinstance(each, Entry)]
        assert all(each.existing in paths for each in links)


def test_of_an_inode_any_name_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.sqfs"
    with ImageWriter(FileOutput(path)) as image:
        image.add(Entry(b"d/a", mtime=7))
        for name in (b"b", b"c", b"d/e"):
            image.add(HardLink(name, b"d/a"))
    with s3archivefs.open(path) as fs:
        members = [*ImageInput(fs, takes=Exclusion(["b"]).takes)]
        assert [each.path for each in members] == [b"", b"c", b"d", b"d/a", b"d/e"]
        assert members[3:] == [HardLink(b"d/a", b"c"), HardLink(b"d/e", b"c")]
        members = [*ImageInput(fs, takes=Exclusion(["d"]).takes)]
        assert [each.path for each in members] == [b"", b"b", b"c"]
