"""The real AWS CLI, without the second that each start of it takes.

    with AwsCli() as aws:
        aws("s3", "ls", environ=os.environ | store.environ()).stdout

One child process imports the CLI and runs each command in a fork of itself: a process of its own,
with the environment, standard streams and exit status that it would have from a shell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["AwsCli"]

_PROJECT_ROOT = Path(__file__).resolve().parents[2]


class AwsCli:
    """Runs commands of the AWS CLI, one at a time."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.aws_cli"]
        self._process = subprocess.Popen(
            command, cwd=_PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def __call__(
        self, *arguments: str, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as directory:
            stdout, stderr = Path(directory, "stdout"), Path(directory, "stderr")
            streams = {"stdout": str(stdout), "stderr": str(stderr)}
            command = {"arguments": arguments, "environ": dict(environ), **streams}
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            read = [path.read_text(encoding="utf-8") for path in (stdout, stderr)]
            return subprocess.CompletedProcess(["aws", *arguments], status, *read)


def _main() -> None:
    """Run the commands on standard input; print the exit status of each."""
    import awscli.clidriver  # noqa: PLC0415 -- in this process alone

    awscli.clidriver.create_clidriver()  # imports its plugins
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_run(**json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(*, arguments: list[str], environ: dict[str, str], stdout: str, stderr: str) -> int:
    """Do as a new process does; return its exit status."""
    import awscli.clidriver  # noqa: PLC0415 -- in this process alone

    data = os.environ["AWS_DATA_PATH"]  # set by the import, which a new process would do here
    os.environ.clear()
    os.environ.update(environ, AWS_DATA_PATH=data)
    for stream, path in ((sys.stdout, stdout), (sys.stderr, stderr)):
        with open(path, "wb") as file:  # noqa: PTH123
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["aws", *arguments]
    status: Any = awscli.clidriver.main()
    sys.stdout.flush()
    sys.stderr.flush()
    return int(status)


if __name__ == "__main__":
    _main()
