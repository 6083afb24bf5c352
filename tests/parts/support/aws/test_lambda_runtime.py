"""The Lambda Runtime API stand-in around the real runtime client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.aws.lambda_runtime import FUNCTION_ARN, FunctionError, RuntimeApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FUNCTION = """
import os
import signal

print("cold start")


def handler(event, context):
    print("handling", event)
    match event:
        case ["exit", status]:
            os._exit(status)
        case ["hang"]:
            signal.pause()
        case ["long", length]:
            return "x" * length
        case ["raise", message]:
            raise ValueError(message)
        case ["environ"]:
            return dict(os.environ)
        case ["context"]:
            return [context.invoked_function_arn, context.get_remaining_time_in_millis()]
    return event
"""


@pytest.fixture
def function(tmp_path: Path) -> Iterator[RuntimeApi]:
    (tmp_path / "function.py").write_text(FUNCTION)
    with RuntimeApi(
        {"GREETING": "hello"}, handler="function.handler", task_root=tmp_path
    ) as function:
        yield function


@pytest.mark.parametrize("event", [{"ü": [1, None, "😀"]}, [], "", None])
def test_an_event_goes_in_and_a_result_comes_out(function: RuntimeApi, event: object) -> None:
    assert function.invoke(event) == event


def test_the_context_is_that_of_the_invocation(function: RuntimeApi) -> None:
    arn, remaining_ms = function.invoke(["context"])
    assert arn == FUNCTION_ARN
    assert 0 < remaining_ms <= function.timeout * 1000


def test_the_environment_is_the_one_given(
    function: RuntimeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "not for the function")
    environ = function.invoke(["environ"])
    assert environ["GREETING"] == "hello"
    assert "OURS" not in environ


def test_the_process_stays_warm_until_restarted(function: RuntimeApi) -> None:
    function.invoke([1])
    function.invoke([2])
    assert function.cold_starts == 1
    function.restart()
    function.invoke([3])
    assert function.cold_starts == 2
    assert function.log == ("cold start\nhandling [1]\nhandling [2]\ncold start\nhandling [3]\n")


def test_an_error_is_raised_with_type_and_message(function: RuntimeApi) -> None:
    with pytest.raises(FunctionError, match="ValueError: on purpose") as caught:
        function.invoke(["raise", "on purpose"])
    assert (caught.value.error_type, caught.value.message) == ("ValueError", "on purpose")
    assert function.invoke([]) == []
    assert function.cold_starts == 1


def test_a_function_that_takes_too_long_is_ended_and_replaced(function: RuntimeApi) -> None:
    function.timeout = 1.0
    with pytest.raises(FunctionError, match=r"Sandbox\.Timedout: Task timed out after 1\.0 s"):
        function.invoke(["hang"])
    function.timeout = 60.0
    assert function.invoke([]) == []
    assert function.cold_starts == 2


def test_a_process_that_exits_fails_its_invocation_and_is_replaced(function: RuntimeApi) -> None:
    with pytest.raises(FunctionError, match=r"Runtime\.ExitError: .* status 3"):
        function.invoke(["exit", 3])
    assert function.invoke([]) == []
    assert function.cold_starts == 2


def test_a_result_over_lambdas_limit_is_an_error(function: RuntimeApi) -> None:
    assert len(function.invoke(["long", 6_000_000])) == 6_000_000
    with pytest.raises(FunctionError, match=r"ResponseSizeTooLarge: 7000002 bytes"):
        function.invoke(["long", 7_000_000])
    assert function.invoke([]) == []


def test_a_function_that_cannot_be_imported_says_so_each_time(tmp_path: Path) -> None:
    with RuntimeApi({}, handler="absent.handler", task_root=tmp_path) as function:
        for _ in range(2):
            with pytest.raises(FunctionError, match=r"ImportModuleError: .*named 'absent'"):
                function.invoke({})


def test_invocations_from_many_threads_share_the_one_process(function: RuntimeApi) -> None:
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(function.invoke(["long", 100])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["x" * 100] * 8
    assert function.cold_starts == 1
