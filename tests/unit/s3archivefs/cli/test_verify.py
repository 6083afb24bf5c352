from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import s3archivefs
from fixtures.tree import file
from s3archivefs.cli import main
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, make_image

MARK = 1_234_567_890  # the time by which the inode is found
BAD = "bad\n\udcff"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of two files; one claims a fragment that is not there."""
    directory = tmp_path_factory.mktemp("damaged")
    tree = (file(BAD, b"tail", mtime=MARK), file("good", b"other"))
    image = draft(directory, tree)
    image.put(image.inode(MARK) + 20, "I", 5)
    path = directory / "damaged.sqfs"
    path.write_bytes(image.data)
    return str(path)


@pytest.mark.parametrize("name", ["gzip", "zstd", "empty", "xattrs"])
def test_a_sound_image_has_no_output_but_what_was_read(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(FIXTURES[name].image)
    assert main(["verify", image]) == 0
    written = capsys.readouterr()
    assert written.out == ""
    with s3archivefs.open(image) as fs:
        start = f"s3archivefs: {image}: {fs.superblock.inode_count} inodes and "
    assert written.err.startswith(start)
    assert written.err.endswith(" of content read, no problem\n")


def test_each_problem_is_a_line(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", damaged]) == 4
    written = capsys.readouterr()
    with s3archivefs.open(damaged) as fs:
        (problem,) = fs.verify()
    assert written.out == f"/bad\\x0a\\xff: {problem.error}\n"
    assert written.err.endswith(", 1 problem\n")


def test_a_problem_in_json_has_its_path_and_error(
    damaged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--json", damaged]) == 4
    found = json.loads(capsys.readouterr().out)
    with s3archivefs.open(damaged) as fs:
        (problem,) = fs.verify()
    assert isinstance(problem.error, s3archivefs.CorruptImageError)
    assert found == {
        "path": "/bad\n\ufffd",
        "path_b64": "L2JhZAr/",
        "error": "CorruptImageError",
        "message": str(problem.error),
        "offset": problem.error.offset,
    }


def test_contents_are_held_against_their_checksums_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = hashlib.sha256(b"content").hexdigest()
    tree = (
        file("right", b"content", xattrs={"user.sha256": right.encode()}),
        file("wrong", b"another", xattrs={"user.sha256": right.encode()}),
        file("empty", b"", xattrs={"user.sha256": hashlib.sha256().hexdigest().encode()}),
        file("odd", b"content", xattrs={"user.sha256": b"none"}),
        file("none", b"content", xattrs={"user.other": right.encode()}),
    )
    image = str(make_image(tmp_path, tree))
    assert main(["verify", image]) == 0
    capsys.readouterr()
    assert main(["verify", "--checksums", image]) == 4
    written = capsys.readouterr()
    wrong = hashlib.sha256(b"another").hexdigest()
    assert written.out.splitlines() == [
        "/odd: its attribute user.sha256 is no SHA-256 in hexadecimal",
        f"/wrong: its content has the SHA-256 {wrong}, and its attribute user.sha256 says {right}",
    ]
    assert written.err.endswith(" of content read, 4 of 5 files with checksums, 2 problems\n")


def test_progress_counts_inodes(capsys: pytest.CaptureFixture[str]) -> None:
    image = str(FIXTURES["gzip"].image)
    assert main(["verify", "--progress", image]) == 0
    with s3archivefs.open(image) as fs:
        count = fs.superblock.inode_count
    assert f"\n{count} of {count} inodes, " in "\n" + capsys.readouterr().err


def test_a_path_inside_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    image = str(FIXTURES["gzip"].image)
    assert main(["verify", f"{image}/docs"]) == 2
    expected = f"s3archivefs: give an image without a path in it: {image}\n"
    assert capsys.readouterr().err == expected
    assert main(["verify", f"{image}/"]) == 0


def test_an_image_that_cannot_be_opened_has_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.sqfs"
    cut.write_bytes(FIXTURES["gzip"].image.read_bytes()[:3000])
    assert main(["verify", str(cut)]) == 4
    assert "was its copy cut short?" in capsys.readouterr().err
