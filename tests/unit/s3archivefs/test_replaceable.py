"""What a file may take the place of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s3archivefs.replaceable import is_replaceable


def test_files_and_links_to_them_are_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "link", "dangling", "nothing"):
        assert is_replaceable(str(tmp_path / name))


def test_directories_pipes_and_links_to_them_are_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in (".", "pipe", "link"):
        assert not is_replaceable(str(tmp_path / name))


def test_names_in_the_working_directory_are_as_by_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert is_replaceable("file")
    monkeypatch.chdir("/dev")
    assert not is_replaceable("null")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_the_names_of_open_files_are_not_though_output_goes_to_a_file(
    path: str, tmp_path: Path
) -> None:
    program = (
        "import sys; from s3archivefs.replaceable import is_replaceable as asked;"
        "sys.exit(10 + asked(sys.argv[1]))"
    )
    with (tmp_path / "output").open("wb") as output:
        ran = subprocess.run([sys.executable, "-c", program, path], stdout=output, check=False)
    assert ran.returncode == 10
