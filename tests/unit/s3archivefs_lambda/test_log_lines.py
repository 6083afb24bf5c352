"""Lines of the log that are no request's: of one line, bounded, and with the time."""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.log_lines import LineFilter, LineFormatter, bounded, utc_time

if TYPE_CHECKING:
    from collections.abc import Callable

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
ODD = ["\n", "\r\n", "\0", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\udcff", "\u202e"]
FORGED = "2026-01-02T03:04:05.678Z all is well"


def formatted_by_time(log: logging.Logger, handler: logging.Handler) -> None:
    """As the endpoint has it."""
    handler.setFormatter(LineFormatter(bare="bare"))
    log.addHandler(handler)


def formatted_by_another(log: logging.Logger, handler: logging.Handler) -> None:
    """As the function has it: Lambda's own formatter behind our filter."""
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "2026-01-01T00:00:00.000Z"))
    log.addFilter(LineFilter())
    log.addHandler(handler)


SET_UP = [formatted_by_time, formatted_by_another]


def written(
    set_up: Callable[[logging.Logger, logging.Handler], None],
    say: Callable[[logging.Logger], None],
    name: str = "text",
) -> list[str]:
    """The lines that are written."""
    stream = io.StringIO()
    log = logging.Logger(name)  # noqa: LOG001 -- one of its own, which nobody else has
    set_up(log, logging.StreamHandler(stream))
    say(log)
    return stream.getvalue().removesuffix("\n").split("\n")


@pytest.mark.parametrize("set_up", SET_UP)
@pytest.mark.parametrize("odd", ODD)
def test_what_clients_send_stays_on_its_line(set_up: Callable[..., None], odd: str) -> None:
    (line,) = written(set_up, lambda log: log.warning("key %s: %s", f"a{odd}b", f"{odd}{FORGED}"))
    assert TIME.match(line)
    assert line.isprintable()
    assert " key a" in line


@pytest.mark.parametrize("set_up", SET_UP)
@pytest.mark.parametrize("character", ["a", "\n", "\udcff", "\U0001f4a9"])
def test_a_line_is_bounded(set_up: Callable[..., None], character: str) -> None:
    (line,) = written(set_up, lambda log: log.error("key %s", character * 60_000))
    assert len(line) < 4096 * 10 + 100
    assert line.endswith("... (60004 characters)")


def fail(text: str) -> None:
    raise KeyError(text) from ValueError(text)


@pytest.mark.parametrize("set_up", SET_UP)
@pytest.mark.parametrize("odd", ODD)
def test_no_line_of_a_traceback_passes_for_another_record(
    set_up: Callable[..., None], odd: str
) -> None:
    def say(log: logging.Logger) -> None:
        try:
            fail(f"{odd}{FORGED}" * 3000)
        except KeyError:
            log.exception("failed")

    first, *rest = written(set_up, say)
    assert re.fullmatch(TIME.pattern + "failed", first)
    assert rest
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert sum(map(len, rest)) < 16 * 1024 * 10


def test_a_short_traceback_is_whole() -> None:
    def say(log: logging.Logger) -> None:
        try:
            fail("x")
        except KeyError:
            log.exception("failed")

    lines = written(formatted_by_time, say)
    assert lines[1] == "    ValueError: x"
    assert lines[-1] == "    KeyError: 'x'"


def test_lines_of_the_request_log_stand_alone() -> None:
    assert written(formatted_by_time, lambda log: log.info("{}"), "bare") == ["{}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1795867446.0625, "2026-11-28T12:04:06.062Z"),
        (1795867446.9999, "2026-11-28T12:04:06.999Z"),
    ],
)
def test_times_are_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert utc_time(seconds) == text


def test_what_fits_is_left_alone() -> None:
    assert bounded("abc", 3) == "abc"
    assert bounded("abcd", 3) == "abc... (4 characters)"
