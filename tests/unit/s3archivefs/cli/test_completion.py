from __future__ import annotations

import sys

import pytest

from s3archivefs.cli import main


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    expected = "s3archivefs: completion needs shtab: pip install 's3archivefs[cli]'\n"
    assert capsys.readouterr().err == expected
