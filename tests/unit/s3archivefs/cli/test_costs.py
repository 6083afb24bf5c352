from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3archivefs.cli import main
from tests.support.images.fixtures import FIXTURES

IMAGE = str(FIXTURES["gzip"].image)


@pytest.fixture
def meters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An installed distribution that counts two costs, and one that counts none."""
    (tmp_path / "meters.py").write_text(
        "from contextlib import contextmanager\n"
        "@contextmanager\n"
        "def one():\n"
        "    yield lambda: {'requests': 1234, 'bytes': 0}\n"
        "@contextmanager\n"
        "def none():\n"
        "    yield lambda: {}\n"
    )
    information = tmp_path / "meters-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: meters\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[s3archivefs.costs]\none = meters:one\nnone = meters:none\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("meters", None)


@pytest.mark.usefixtures("meters")
@pytest.mark.parametrize(("path", "code"), [("/short.txt", 0), ("/nowhere", 3)])
def test_verbose_says_at_the_end_what_a_command_cost(
    path: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ls", "-v", IMAGE, path]) == code
    assert capsys.readouterr().err.splitlines()[-1] == "s3archivefs: 1,234 requests, 0 bytes"


@pytest.mark.usefixtures("meters")
def test_nothing_is_counted_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", IMAGE]) == 0
    assert capsys.readouterr().err == ""
    assert "meters" not in sys.modules


def test_what_is_read_here_costs_nothing_to_speak_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "-v", IMAGE]) == 0
    assert capsys.readouterr().err == ""
