"""What `s3archivefs upload` refuses by itself. The rest: tests/integration/test_upload.py."""

from __future__ import annotations

import argparse
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.upload_command import register_upload

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
IMAGE = str(ROOT / "fixtures" / "gzip.sqfs")


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """The command takes over SIGTERM and SIGHUP."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def fault(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """What the one line says that the command ends with."""
    parser = argparse.ArgumentParser(prog="s3archivefs")
    register_upload(parser.add_subparsers(required=True))
    options = parser.parse_args(["upload", *arguments])
    assert options.run(options) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("s3archivefs: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize("url", ["file:///tmp/a.sqfs", "bucket/key", "s3://bucket", "s3://B/key"])
def test_a_place_that_is_none_in_s3(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert url in fault(capsys, IMAGE, url)


def test_an_upload_wants_a_source_and_an_abort_wants_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "--abort" in fault(capsys, "s3://bucket/key")
    assert "--abort" in fault(capsys, IMAGE, "s3://bucket/key", "--abort")


def test_the_image_of_an_image_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--image" in fault(capsys, IMAGE, "s3://bucket/key", "--image", "x.sqfs")


def test_a_packed_image_replaces_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").write_text("precious")
    said = fault(capsys, str(tmp_path), "s3://bucket/key", "--image", str(tmp_path / "there"))
    assert "is there already" in said
    assert (tmp_path / "there").read_text() == "precious"


def test_an_image_without_its_codec_is_not_called_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    image = str(ROOT / "fixtures" / "zstd.sqfs")
    said = fault(capsys, image, "s3://bucket/key", status=1)
    assert "zstd" in said
    assert said.endswith("nothing was uploaded\n")


def test_without_the_sdk_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install 's3archivefs[lambda]'" in fault(capsys, IMAGE, "s3://bucket/key")


def test_the_command_line_loads_no_sdk_before_it_is_asked_for() -> None:
    program = (
        "import sys, s3archivefs.cli as cli\n"
        "cli._parser()\n"
        "sys.exit(bool({'botocore', 'rich', 'cheroot'} & {*sys.modules}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
