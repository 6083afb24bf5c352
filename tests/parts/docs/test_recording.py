"""The terminal in the README shows what its commands write."""

from __future__ import annotations

from tests.support.documents.pages import ROOT
from tests.support.documents.recording import record, words


def test_the_recording_is_what_the_commands_write() -> None:
    committed = (ROOT / "docs" / "recording.svg").read_text(encoding="utf-8")
    assert words(record()) == words(committed), "make it anew: nox -s recording"
