"""A Swift that does not start says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers.swift_store import SwiftStore, SwiftStoreError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_that_fails_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("in the way")
    with (
        pytest.raises(SwiftStoreError, match=r"(?s)exit status 1\n.*server\.log.*FileExistsError"),
        SwiftStore.start(tmp_path),
    ):
        pass


def test_a_server_that_is_not_ready_in_time_is_given_up(tmp_path: Path) -> None:
    with (
        pytest.raises(SwiftStoreError, match=r"not ready within 0\.0 s"),
        SwiftStore.start(tmp_path, ready_seconds=0.0),
    ):
        pass
