"""AWS Lambda for one function: the Lambda Runtime API around the real runtime client, awslambdaric.

    with RuntimeApi(environ, handler="module.function") as function:
        function.invoke({"answer": 42})

As in Lambda, an execution environment (here: a process) starts with the first invocation, serves
one invocation at a time, stays warm, and is replaced after it ended or timed out.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.servers.loopback_server import Handler, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PROJECT_ROOT = Path(__file__).resolve().parents[3]
FUNCTION_ARN = "arn:aws:lambda:us-east-1:111122223333:function:s3archivefs"
MAX_RESPONSE_BYTES = 6 * 1024 * 1024
"""Lambda's limit on the result of a synchronous invocation."""

_INVOCATION = "/2018-06-01/runtime/invocation/"
_INIT_ERROR = "/2018-06-01/runtime/init/error"


class FunctionError(Exception):
    """The invocation failed: what Lambda reports as a function error.

    `error_type` is what the runtime reported, or one of Lambda's own: Runtime.ExitError,
    Sandbox.Timedout, Function.ResponseSizeTooLarge.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.message = message


class RuntimeApi:
    """The function `handler` ("module.function"), run with `environ` and nothing of ours but PATH.

    `task_root` is its working directory and where its modules are found first, then those in each
    of `modules`: by default this project's. `python` runs it, and has awslambdaric. `timeout`
    bounds each invocation, in seconds.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        handler: str = "s3archivefs_lambda.handler.lambda_handler",
        task_root: Path = PROJECT_ROOT,
        modules: Sequence[Path] = (PROJECT_ROOT,),
        python: str = sys.executable,
        timeout: float = 60.0,
    ) -> None:
        self.handler = handler
        self.task_root = task_root
        self.python = python
        self.timeout = timeout
        self.cold_starts = 0
        self._environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(map(str, modules)),
            "LAMBDA_TASK_ROOT": str(task_root),
            "_HANDLER": handler,
            "AWS_LAMBDA_FUNCTION_NAME": "s3archivefs",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            **environ,
        }
        self._one_at_a_time = threading.Lock()
        self._environment: _Environment | None = None

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        environment = self._environment
        if environment is not None:
            environment.kill()  # an invocation under way fails now, instead of timing out
        self.restart()
        self._log.close()

    @property
    def log(self) -> str:
        """All that the function has written to standard output and error so far."""
        length = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), length, 0).decode(errors="replace")

    def invoke(self, event: object) -> Any:  # noqa: ANN401 - any JSON value
        """The function's result for `event`. Raises FunctionError."""
        with self._one_at_a_time:
            if self._environment is not None and self._environment.failed:
                self._end_environment()  # it ended between two invocations
            if self._environment is None:
                self._environment = _Environment(
                    (self.python, "-m", "awslambdaric", self.handler),
                    self._environ,
                    self.task_root,
                    self._log.fileno(),
                )
                self.cold_starts += 1
            try:
                return json.loads(
                    self._environment.invoke(json.dumps(event).encode(), self.timeout)
                )
            finally:
                if self._environment.failed:
                    self._end_environment()

    def restart(self) -> None:
        """End the process: the next invocation is a cold start."""
        with self._one_at_a_time:
            self._end_environment()

    def _end_environment(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None


class _Invocation:
    def __init__(self, event: bytes, timeout: float) -> None:
        self.request_id = str(uuid.uuid4())
        self.event = event
        self.deadline_ms = int((time.time() + timeout) * 1000)
        self.result: Future[bytes] = Future()


class _Environment:
    """One execution environment: a process and the Runtime API that it, and no other, talks to."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], task_root: Path, log_fd: int
    ) -> None:
        self._lock = threading.Lock()
        self._failure: FunctionError | None = None
        self._current: _Invocation | None = None
        self._queue: queue.Queue[_Invocation | None] = queue.Queue()
        self._server = _RuntimeServer(self)
        self._server.__enter__()
        self._process = subprocess.Popen(
            command,
            cwd=task_root,
            env={**environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}"},
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=subprocess.STDOUT,
        )
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    @property
    def failed(self) -> bool:
        """Whether it can serve no more invocations."""
        return self._failure is not None

    def invoke(self, event: bytes, timeout: float) -> bytes:
        invocation = _Invocation(event, timeout)
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._current = invocation
        self._queue.put(invocation)
        try:
            return invocation.result.result(timeout)
        except TimeoutError:
            self.fail(FunctionError("Sandbox.Timedout", f"Task timed out after {timeout} seconds"))
            return invocation.result.result()

    def next(self) -> _Invocation | None:
        """The next invocation, waited for; None when the environment is closed."""
        return self._queue.get()

    def finish(self, request_id: str, result: bytes | FunctionError) -> bool:
        """Take the function's answer; whether it was due."""
        with self._lock:
            current = self._current
            if current is None or current.request_id != request_id or current.result.done():
                return False
            if isinstance(result, bytes):
                current.result.set_result(result)
            else:
                current.result.set_exception(result)
            return True

    def fail(self, failure: FunctionError) -> None:
        """Note that the environment has ended, or must; its invocation, if any, fails so."""
        with self._lock:
            self._failure = self._failure or failure
            if self._current is not None and not self._current.result.done():
                self._current.result.set_exception(self._failure)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.kill()
        self._watcher.join()
        self._queue.put(None)
        self._server.__exit__()

    def _watch(self) -> None:
        status = self._process.wait()
        self.fail(FunctionError("Runtime.ExitError", f"Runtime exited with status {status}"))


class _RuntimeServer(LoopbackServer):
    def __init__(self, environment: _Environment) -> None:
        super().__init__(_RuntimeHandler)
        self.environment = environment


class _RuntimeHandler(Handler):
    server: _RuntimeServer

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.target != _INVOCATION + "next":
            self.reply(404, {})
            return
        invocation = self.server.environment.next()
        if invocation is None:
            self.close_connection = True
            return
        self.reply(
            200,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
            },
            invocation.event,
        )

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = b"".join(self.body())
        if self.target == _INIT_ERROR:
            self.server.environment.fail(_reported(body))
            self.reply(202, {})
            return
        request_id, _, what = self.target.removeprefix(_INVOCATION).partition("/")
        if what == "response" and len(body) > MAX_RESPONSE_BYTES:
            self.server.environment.fail(
                FunctionError(
                    "Function.ResponseSizeTooLarge",
                    f"{len(body)} bytes where {MAX_RESPONSE_BYTES} are allowed",
                )
            )
            self.reply(413, {})
        elif what in {"response", "error"}:
            result = body if what == "response" else _reported(body)
            due = self.server.environment.finish(request_id, result)
            self.reply(202 if due else 400, {})
        else:
            self.reply(404, {})


def _reported(body: bytes) -> FunctionError:
    """The error that the runtime reports in JSON."""
    report = json.loads(body)
    return FunctionError(report.get("errorType", ""), report.get("errorMessage", ""))
