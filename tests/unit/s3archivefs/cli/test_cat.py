from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import text
from fixtures.tree import file
from s3archivefs.cli import main
from tests.support.images.fixtures import FIXTURES, make_image

if TYPE_CHECKING:
    from pathlib import Path


def image(name: str) -> str:
    return str(FIXTURES[name].image)


def test_cat_writes_the_content(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    command = [sys.executable, "-m", "s3archivefs.cli", "cat", image("gzip")]
    node = max(
        (node for node in FIXTURES["gzip"].tree if node.kind == "file"), key=lambda node: node.size
    )
    done = subprocess.run([*command, node.path], check=True, capture_output=True)
    assert len(done.stdout) == node.size


def test_cat_writes_files_of_several_pieces(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    content = text(9_000_000)
    large = make_image(tmp_path, (file("large", content),), "-b", "1M")
    assert main(["cat", str(large), "/large"]) == 0
    assert capsysbinary.readouterr().out == content


PATH = "/docs/guide.txt"


@pytest.fixture(scope="module")
def content() -> bytes:
    with s3archivefs.open(image("gzip")) as fs:
        return fs.read_bytes(PATH)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("0-0", slice(0, 1)),
        ("10-19", slice(10, 20)),
        ("10-", slice(10, None)),
        ("-7", slice(-7, None)),
        ("-99999999", slice(None)),
        ("0-99999999", slice(None)),
        ("99999999-", slice(0, 0)),
        ("-0", slice(0, 0)),
        ("1-18446744073709551615", slice(1, None)),
        (f"{10**40}-", slice(0, 0)),
        (f"-{10**40}", slice(None)),
    ],
)
def test_cat_writes_a_range(
    given: str, part: slice, content: bytes, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["cat", f"--range={given}", image("gzip"), PATH]) == 0
    assert capsysbinary.readouterr().out == content[part]


@pytest.mark.parametrize("given", ["", "-", "5-4", "a-b", "1-2-3", "0x1-2", f"0-{'9' * 4001}"])
def test_cat_refuses_what_is_no_range(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cat", f"--range={given}", image("gzip"), PATH])
    assert ended.value.code == 2
    assert "argument --range: " in capsys.readouterr().err


def test_cat_writes_several_files_and_goes_on_behind_a_missing_one(
    content: bytes, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["cat", image("gzip"), PATH, "/nowhere", PATH]) == 3
    written = capsysbinary.readouterr()
    assert written.out == content + content
    assert written.err.count(b"\n") == 1
