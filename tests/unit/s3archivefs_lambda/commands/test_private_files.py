"""Files that only their owner may read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.private_files import check_private, read_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text("content")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read_private(str(file)) == "content"
    check_private(str(file))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601, 0o610])
@pytest.mark.parametrize("use", [read_private, check_private])
def test_a_file_that_is_open_to_others_is_refused_with_what_to_do(
    file: Path, mode: int, use: Callable[[str], object]
) -> None:
    file.chmod(mode)
    with pytest.raises(UsageError, match=f"run: chmod 600 {file}$"):
        use(str(file))


@pytest.mark.parametrize(
    ("mode", "is_read"), [(0o440, True), (0o640, True), (0o660, False), (0o644, False)]
)
def test_a_file_of_roots_may_be_open_to_the_group_of_another_user(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int, *, is_read: bool
) -> None:
    file.chmod(mode)
    found = file.stat()
    as_roots = os.stat_result((*found[:4], 0, *found[5:10]))
    monkeypatch.setattr("pathlib.Path.stat", lambda _: as_roots)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    try:
        check_private(str(file))
    except UsageError:
        assert not is_read
    else:
        assert is_read


@pytest.mark.parametrize("use", [read_private, check_private])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, use: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="none: cannot be read: No such file or directory"):
        use(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"text file|no path"):
        use("a\0b")


def test_what_is_no_text_is_refused_without_showing_it(file: Path) -> None:
    file.write_bytes(b"secret\xff")
    with pytest.raises(UsageError) as caught:
        read_private(str(file))
    assert "is not a UTF-8 text file" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "ff" not in str(caught.value).replace(str(file), "")
    file.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(UsageError, match="has more than 1048576 bytes"):
        read_private(str(file))


def test_a_byte_order_mark_is_no_part_of_the_text(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[]")
    assert read_private(str(file)) == "[]"
