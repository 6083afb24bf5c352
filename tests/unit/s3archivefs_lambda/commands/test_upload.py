"""What `s3archivefs upload` refuses by itself. The rest: tests/parts/integration/upload."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.commands.upload import register_upload

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[4]
IMAGE = str(ROOT / "fixtures" / "gzip.sqfs")
NOWHERE = "s3://bucket/key"


@pytest.fixture(autouse=True)
def store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens on TCP's port 1."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """The command takes over SIGTERM and SIGHUP."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def fault(
    capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2, lines: int = 1
) -> str:
    """What the command says: one line, if all it says is what is wrong."""
    parser = argparse.ArgumentParser(prog="s3archivefs")
    register_upload(parser.add_subparsers(required=True))
    options = parser.parse_args(["upload", *arguments])
    assert options.run(options) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("s3archivefs: ")
    assert told.err.count("\n") == lines
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


@pytest.mark.parametrize("source", [IMAGE, str(ROOT / "fixtures")])
def test_a_size_of_parts_that_is_none_is_refused_at_once(
    source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--part-size='5M'" in fault(capsys, source, NOWHERE, "--part-size", "5M")
    monkeypatch.setenv("S3ARCHIVEFS_MPU_CHUNK_SIZE", "1")
    assert "S3ARCHIVEFS_MPU_CHUNK_SIZE='1'" in fault(capsys, source, NOWHERE)


def test_parts_that_would_be_too_many_are_longer_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is said that a file of so many zeros is no image."""
    image = tmp_path / "sparse"
    image.touch()
    most = 10_000 * (5 << 20)
    for size, lines in ((most, 1), (most + 1, 2)):
        os.truncate(image, size)
        asked = (str(image), NOWHERE, "--part-size", str(5 << 20))
        first, *others = fault(capsys, *asked, status=1, lines=lines).splitlines()
        if others:
            assert first == (
                "s3archivefs: parts of 5,242,880 bytes would be more than S3 takes; "
                "6,291,456 bytes are sent in each"
            )


@pytest.fixture
def image_without_codec(monkeypatch: pytest.MonkeyPatch) -> str:
    for module in ("zstandard", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    return str(ROOT / "fixtures" / "zstd.sqfs")


def test_an_image_without_its_codec_is_not_called_sound(
    image_without_codec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fault(capsys, image_without_codec, "s3://bucket/key", status=1)
    assert "cannot be verified: " in said
    assert "pip install 's3archivefs[zstd]'" in said
    assert said.endswith("or give --no-verify; nothing was uploaded\n")


def test_an_image_without_its_codec_is_taken_as_it_is_where_nobody_wants_it_verified(
    image_without_codec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fault(capsys, image_without_codec, NOWHERE, "--no-verify", status=1, lines=2)
    assert "zstd.sqfs: only its superblock was looked at: " in said.splitlines()[0]
    assert "EndpointConnectionError" in said.splitlines()[1]


def test_what_is_neither_a_file_nor_a_directory_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    said = fault(capsys, str(tmp_path / "fifo"), NOWHERE)
    assert "is neither a file nor a directory" in said


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_PROFILE", "none-such", "none-such"),
        ("AWS_ENDPOINT_URL_S3", "localhost:9000", "localhost:9000"),
        ("AWS_REGION", "no region", "no region"),
        ("AWS_RETRY_MODE", "none-such", "none-such"),
        ("AWS_MAX_ATTEMPTS", "many", "many"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_setting_for_aws_that_makes_no_sense(
    name: str,
    value: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    said = fault(capsys, IMAGE, NOWHERE)
    assert said.startswith("s3archivefs: the settings for AWS: ")
    assert told in said


def test_without_the_sdk_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install 's3archivefs[lambda]'" in fault(capsys, IMAGE, "s3://bucket/key")


def test_the_command_line_loads_no_sdk_before_it_is_asked_for() -> None:
    program = (
        "import contextlib, os, sys, s3archivefs.cli as cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(open(os.devnull, 'w')):\n"
        "    cli.main(['--help'])\n"
        "assert 's3archivefs_lambda.commands.upload' in sys.modules\n"
        "sys.exit(bool({'botocore', 'rich', 'asyncio'} & {*sys.modules}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
