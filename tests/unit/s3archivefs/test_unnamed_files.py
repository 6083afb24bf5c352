"""Files that have no name before they are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3archivefs.unnamed_files import name_file, unnamed_file


def test_a_file_gets_its_name_and_takes_the_place_of_nothing(tmp_path: Path) -> None:
    handle = unnamed_file(tmp_path, 0o600)
    assert handle is not None
    with os.fdopen(handle, "wb", buffering=0) as file:
        file.write(b"content")
        assert [*tmp_path.iterdir()] == []
        name_file(file.fileno(), tmp_path / "a")
        with pytest.raises(FileExistsError):
            name_file(file.fileno(), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"content"


def test_there_is_none_where_none_can_get_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unnamed_file(tmp_path / "nowhere", 0o600) is None

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("s3archivefs.unnamed_files.link_unnamed", refuse)
    assert unnamed_file(tmp_path, 0o600) is None
    assert [*tmp_path.iterdir()] == []
