"""The scripted store of these tests, asked again without pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.scripted_device import CONTENT
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3archivefs_lambda.store.body.time.sleep", lambda _: None)


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    with ScriptedStore(CONTENT) as running:
        yield running
