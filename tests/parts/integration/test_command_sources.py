"""Every command writes the same of an image on disk and of the same image in S3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s3archivefs.cli import main
from tests.support.commands import PRINTING, WITHOUT_PATH, arguments_of
from tests.support.servers.swift_store import SwiftStore

PATH = "/json/decoder.py"
DIRECTORY = "/awkward names"


@pytest.fixture
def in_s3(store: SwiftStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("in_s3")
@pytest.mark.parametrize(
    ("command", "path"),
    [
        (command, path)
        for command in PRINTING
        for path in (PATH, DIRECTORY, "/nowhere")
        if path == PATH or command not in WITHOUT_PATH
    ],
)
def test_an_image_in_s3_is_read_as_one_on_disk(
    command: str, path: str, image: Path, archive: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    found = []
    for source in (str(image), archive):
        code = main(arguments_of(command, source, path))
        written = capfdbinary.readouterr()
        name = source.encode()
        found.append((code, *(each.replace(name, b"IMAGE") for each in written)))
    assert found[0] == found[1]


@pytest.mark.usefixtures("in_s3")
@pytest.mark.parametrize("command", sorted({*PRINTING} - {"cat", "verify"}))
def test_json_is_the_same_too(
    command: str, image: Path, archive: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    found = []
    for source in (str(image), archive):
        code = main([*arguments_of(command, source, PATH), "--json"])
        written = capfdbinary.readouterr().out
        found.append((code, written.replace(source.encode(), b"IMAGE")))
    assert found[0] == found[1]


@pytest.mark.usefixtures("in_s3")
def test_an_image_in_s3_has_no_differences_to_the_same_on_disk(
    image: Path, archive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--times", archive, str(image)]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("in_s3")
@pytest.mark.parametrize("command", ["extract", "cp"])
def test_what_is_extracted_from_s3_is_what_the_image_on_disk_holds(
    command: str, image: Path, archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    given = [DIRECTORY, "-C", str(target)] if command == "extract" else [DIRECTORY, str(target)]
    assert main([command, archive, *given]) == 0
    made = target / DIRECTORY[1:] if command == "extract" else target
    assert main(["diff", "--times", f"{image}{DIRECTORY}", str(made)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("in_s3")
def test_info_notices_an_object_without_its_superblock(
    archive: str, archive_without_metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for url in (archive, archive_without_metadata):
        assert main(["info", "--json", url]) == 0
        advice = json.loads(capsys.readouterr().out)["advice"]
        found.append([each["rule"] for each in advice if each["rule"] == "store"])
    assert found == [[], ["store"]]


@pytest.mark.usefixtures("in_s3")
def test_an_image_in_s3_does_not_differ_from_the_same_on_disk(
    image: Path, archive: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["diff", "--times", archive, str(image)]) == 0
    assert main(["diff", "--times", f"{image}{PATH}", f"{archive}{PATH}"]) == 0
    assert main(["diff", archive, f"{archive}/nowhere"]) == 3
    written = capfdbinary.readouterr()
    assert written.out == b""
    assert written.err == b"s3archivefs: /nowhere: No such file or directory\n"
