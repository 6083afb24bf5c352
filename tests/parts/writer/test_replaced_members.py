"""Members that later ones replace leave an image that other programs take, too."""

from __future__ import annotations

import tarfile
from pathlib import Path
from random import Random

import s3archivefs
from tests.support.command_line import run
from tests.support.images.fixtures import run_tool
from tests.support.images.judges import extracted_by_rdsquashfs, extracted_by_unsquashfs


def check(image: Path, *paths: str) -> None:
    """Three readers find files of these paths, of the same contents."""
    found = extracted_by_unsquashfs(image)
    assert {*found} == {*paths}
    assert extracted_by_rdsquashfs(image) == found
    assert run_tool("unsquashfs", "-stat", str(image)).stderr == b""
    with s3archivefs.open(image) as fs:
        assert [*fs.verify()] == []


def test_of_two_versions_of_a_tree_the_later_is_packed(tmp_path: Path) -> None:
    for version in (1, 2):
        random = Random(version)
        with tarfile.open(tmp_path / f"v{version}.tar", "w") as tar:
            for name in ("a", "b", "c"):
                path = tmp_path / name
                path.write_bytes(random.randbytes(100_000))
                tar.add(path, name)
    image = tmp_path / "both.sqfs"
    assert run("pack", tmp_path / "v1.tar", tmp_path / "v2.tar", image).code == 0
    check(image, "/a", "/b", "/c")
    with s3archivefs.open(image) as fs:
        assert fs.read_bytes("c") == (tmp_path / "c").read_bytes()


def test_a_path_under_many_owners_has_those_of_the_last(tmp_path: Path) -> None:
    archive, image, path = tmp_path / "a.tar", tmp_path / "a.sqfs", tmp_path / "a"
    path.write_bytes(b"content")
    for number in range(20):
        owners = f"--owner=:{number}", f"--group=:{100 + number}"
        run_tool("tar", "-r", *owners, "-C", str(tmp_path), "-f", str(archive), "a")
    assert run("pack", archive, image).code == 0
    check(image, "/a")
    with s3archivefs.open(image) as fs:
        assert (fs.stat("a").uid, fs.stat("a").gid) == (19, 119)
