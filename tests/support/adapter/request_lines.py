"""The lines of the request log."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def logged_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines that were logged, read; no other logger has told anything at their level."""
    lines = [record for record in caplog.records if record.levelno == logging.INFO]
    assert {record.name for record in lines} <= {"s3archivefs.requests"}
    return [json.loads(record.getMessage()) for record in lines]
