"""Reading again at SIGHUP."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.reloading import Reloading

if TYPE_CHECKING:
    from collections.abc import Callable


def failing(error: Exception) -> Callable[[], str]:
    def reload() -> str:
        raise error

    return reload


def test_without_anything_to_reload_it_is_false() -> None:
    assert not Reloading([])
    assert Reloading([lambda: "done"])


def test_what_fails_is_told_on_one_line_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    reloading = Reloading(
        [failing(UsageError("keys.json: is not JSON")), lambda: "the certificate is new"]
    )
    assert reloading()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "SIGHUP: keys.json: is not JSON; what was read before stays in force"),
        ("INFO", "SIGHUP: the certificate is new"),
    ]
    assert caplog.records[0].exc_info is None


def test_a_bug_in_a_reload_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert not Reloading([failing(KeyError("bug"))])()
    (record,) = caplog.records
    assert record.exc_info


def test_a_process_that_does_not_serve_tells_only_of_faults(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    assert Reloading([lambda: "done"])(says_success=False)
    assert not caplog.records
    assert not Reloading([failing(UsageError("broken"))])(says_success=False)
    assert "SIGHUP: broken" in caplog.text


def test_a_signal_amid_a_reload_leads_to_another_one() -> None:
    done: list[int] = []

    def reload() -> str:
        done.append(len(done))
        if len(done) < 3:
            reloading()  # as the handler of another signal would
        return "done"

    reloading = Reloading([reload])
    reloading()
    assert done == [0, 1, 2]
