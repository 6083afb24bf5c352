"""What surrounds atheris: seeds, findings, and one image again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs import SquashFS
from tests.fuzz import findings, guided
from tests.fuzz.__main__ import main
from tests.support.images.fixtures import FIXTURES


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(findings, "ROOT", tmp_path)
    for module in (findings, guided):
        monkeypatch.setattr(module, "FINDINGS", tmp_path / "findings")
    return tmp_path / "findings"


def caught(message: str) -> Exception:
    with pytest.raises(KeyError) as raised:
        dict[str, str]()[message]
    return raised.value


def test_one_image_is_kept_of_those_that_do_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = findings.keep(b"one", caught("first"))
    assert findings.keep(b"another", caught("second")) is None
    assert kept is not None
    assert [*folder.iterdir()] == [kept]
    assert kept.read_bytes() == b"one"
    assert kept.name.startswith("KeyError-test_guided-")
    assert f"--replay findings/{kept.name}" in capsys.readouterr().out


def test_finding_of_the_survey_is_named_after_what_the_reader_did(folder: Path) -> None:
    error = AssertionError("undocumented")
    error.__cause__ = caught("from within")
    kept = findings.keep(b"one", error)
    assert kept is not None
    assert kept.name.startswith("KeyError-")


def test_corpus_starts_from_the_fixtures_and_stays_out_of_git(tmp_path: Path) -> None:
    corpus = tmp_path / "kept" / "corpus"
    guided.seed(corpus)
    assert {path.name for path in corpus.iterdir()} == FIXTURES.keys()
    assert all(s3archivefs.is_squashfs(path) for path in corpus.iterdir())
    assert (corpus.parent / ".gitignore").read_text() == "*\n"


def test_target_that_ends_without_a_finding_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(guided.TargetFailedError):
        guided.run_until(time.monotonic() + 60)


def test_one_image_can_be_read_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = str(FIXTURES["gzip"].image)
    assert main(["--replay", image]) == 0
    assert "survived" in capsys.readouterr().out
    monkeypatch.setattr(SquashFS, "exists", lambda *_: False)
    with pytest.raises(AssertionError, match="does not exist"):
        main(["--replay", image])
