"""How much the endpoint takes on, as its settings say."""

from __future__ import annotations

import pytest

from s3archivefs_lambda.commands.capacity import Capacity, capacity_of
from s3archivefs_lambda.commands.endpoint_settings import (
    CONNECTIONS_PER_CLIENT,
    HEAD_SECONDS,
    IDLE_SECONDS,
    LIMIT_SETTINGS,
    MIN_BYTES_PER_SECOND,
    STOP_SECONDS,
    THREADS,
    WORKERS,
    EndpointSetting,
)
from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.workers import available_processors
from s3archivefs_lambda.endpoint.limits import HttpLimits


def test_what_is_not_set_has_the_default_that_its_description_names() -> None:
    default = capacity_of({})
    assert default.workers == available_processors()
    limits = HttpLimits()
    for setting, value in (
        (THREADS, default.threads),
        (HEAD_SECONDS, limits.head_seconds),
        (IDLE_SECONDS, limits.idle_seconds),
        (STOP_SECONDS, limits.stop_seconds),
        (MIN_BYTES_PER_SECOND, limits.min_bytes_per_second),
    ):
        assert setting.doc.endswith(f" Unset: {value}.")
    assert Capacity().limits() == limits


def test_what_is_set_is_in_force() -> None:
    capacity = capacity_of(
        {
            WORKERS: "2",
            THREADS: "16",
            CONNECTIONS_PER_CLIENT: "20",
            HEAD_SECONDS: "5",
            IDLE_SECONDS: "350",
            STOP_SECONDS: "0",
            MIN_BYTES_PER_SECOND: "65536",
        }
    )
    assert (capacity.workers, capacity.threads) == (2, 16)
    limits = capacity.limits()
    assert limits.body_bytes == HttpLimits().body_bytes // 2
    assert limits.connections_per_client == 20
    assert (limits.head_seconds, limits.idle_seconds, limits.stop_seconds) == (5, 350, 0)
    assert limits.min_bytes_per_second == 65536


@pytest.mark.parametrize("setting", LIMIT_SETTINGS, ids=lambda setting: setting.option)
@pytest.mark.parametrize("text", ["-1", "two", "1.5", "1_0", "٣", "9" * 12, "99999999999", " 1"])
def test_what_is_no_number_in_its_bounds_is_refused(setting: EndpointSetting, text: str) -> None:
    with pytest.raises(
        UsageError,
        match=rf"^--{setting.option} \({setting.variable}\) .*: write a whole number from ",
    ):
        capacity_of({setting: text})


def test_all_that_is_no_number_is_told_at_once() -> None:
    with pytest.raises(UsageError) as told:
        capacity_of(dict.fromkeys(LIMIT_SETTINGS, "x"))
    assert str(told.value).count("\n") == len(LIMIT_SETTINGS) - 1


def test_none_is_too_few() -> None:
    for setting in (WORKERS, THREADS, CONNECTIONS_PER_CLIENT, HEAD_SECONDS, IDLE_SECONDS):
        with pytest.raises(UsageError, match=f"{setting.variable}. 0: "):
            capacity_of({setting: "0"})
