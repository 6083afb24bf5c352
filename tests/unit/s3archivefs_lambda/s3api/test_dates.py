"""Dates of headers, in the forms of HTTP."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.s3api.dates import http_date, parse_http_date

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX+11")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    "text",
    [
        "Sun, 13 Sep 2020 12:26:40 GMT",
        "Sunday, 13-Sep-20 12:26:40 GMT",
        "Sun Sep 13 12:26:40 2020",  # C's asctime, which names no zone
        "Sun, 13 Sep 2020 14:26:40 +0200",
    ],
)
def test_the_three_forms_of_http_dates_mean_utc_on_any_machine(text: str) -> None:
    assert parse_http_date(text) == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1_600_000_000.9, "Sun, 13 Sep 2020 12:26:40 GMT"),
        (2**32 - 1, "Sun, 07 Feb 2106 06:28:15 GMT"),
    ],
)
def test_dates_of_headers_are_gmt(seconds: float, text: str) -> None:
    assert http_date(seconds) == text
