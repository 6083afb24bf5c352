"""A directory is packed whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs.writer import PackingError
from s3archivefs_lambda.upload.packing import pack

ROOT = Path(__file__).parents[4]
# Root reads everything, unless it goes without these capabilities.
READ_ALL = "-dac_override,-dac_read_search"
ORDINARY = (
    [] if os.geteuid() else ["setpriv", f"--bounding-set={READ_ALL}", f"--inh-caps={READ_ALL}"]
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "directory"
    (directory / "below").mkdir(parents=True)
    (directory / "below" / "file").write_text("content")
    return directory


def test_a_directory_becomes_the_root_of_the_image(directory: Path, tmp_path: Path) -> None:
    pack(directory, tmp_path / "image.sqfs")
    with s3archivefs.open(tmp_path / "image.sqfs") as image:
        assert image.read_bytes("/below/file") == b"content"
        assert image.superblock.compression.name == "ZSTD"


def test_equal_directories_make_equal_images(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    images = [tmp_path / "a.sqfs", tmp_path / "b.sqfs"]
    for image in images:
        pack(directory, image)
    assert images[0].read_bytes() == images[1].read_bytes()


def test_names_that_look_like_options_are_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-comp").mkdir()
    pack(Path("-comp"), Path("-b"))
    assert s3archivefs.is_squashfs("-b")


def test_its_fault_is_told_and_leaves_no_image(tmp_path: Path) -> None:
    with pytest.raises(PackingError, match=r"none-such: cannot be read: No such file"):
        pack(tmp_path / "none-such", tmp_path / "image.sqfs")
    assert [*tmp_path.iterdir()] == []


def test_files_and_bytes_are_counted(directory: Path, tmp_path: Path) -> None:
    counted: list[tuple[int, int]] = []
    pack(directory, tmp_path / "image.sqfs", progress=lambda *each: counted.append(each))
    assert (sum(files for files, _ in counted), sum(size for _, size in counted)) == (1, 7)


def test_an_image_within_the_directory_is_none_of_its_members(directory: Path) -> None:
    pack(directory, directory / "image.sqfs")
    with s3archivefs.open(directory / "image.sqfs") as image:
        assert image.listdir("/") == ["below"]


def test_a_file_that_cannot_be_read_is_not_packed_empty(directory: Path, tmp_path: Path) -> None:
    (directory / "below" / "file").chmod(0)
    program = (
        "import sys; from pathlib import Path; from s3archivefs_lambda.upload.packing import pack;"
        "pack(*map(Path, sys.argv[1:]))"
    )
    done = subprocess.run(
        [*ORDINARY, sys.executable, "-c", program, directory, tmp_path / "image.sqfs"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "PackingError" in done.stderr
    assert not (tmp_path / "image.sqfs").exists()


def test_a_link_to_a_directory_is_that_directory(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(directory)
    pack(tmp_path / "link", tmp_path / "image.sqfs")
    with s3archivefs.open(tmp_path / "image.sqfs") as image:
        assert image.read_bytes("/below/file") == b"content"
