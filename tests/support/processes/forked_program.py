"""Programs in Python that run many times in the tests, without the imports of each start.

    with ForkedProgram("awscli.clidriver") as aws:
        aws("s3", "ls", environ=os.environ | store.environ()).stdout

One child process imports the module and runs its `main` in a fork of itself for each command: a
process of its own, with the environment, standard streams, signals and exit status that it would
have from a shell, and with Python's own end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

__all__ = ["ForkedProgram", "Running"]

_PROJECT_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Running:
    """A command that has started."""

    pid: int
    _told: IO[str]
    _streams: tuple[Path, Path]

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; return what `subprocess.run` returns."""
        status = int(self._told.readline())
        stdout, stderr = (path.read_text(encoding="utf-8") for path in self._streams)
        return subprocess.CompletedProcess([], status, stdout, stderr)


class ForkedProgram:
    """Runs the `main` of a module, one command at a time; `preload` are imported as well."""

    def __init__(self, module: str, *preload: str) -> None:
        self._command = [
            sys.executable,
            "-m",
            "tests.support.processes.forked_program",
            module,
            *preload,
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=_PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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
            self._process.stdin.close()  # ends it

    def __call__(
        self, *arguments: str, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with self.start(*arguments, environ=environ) as running:
            return running.wait()

    @contextmanager
    def start(self, *arguments: str, environ: Mapping[str, str]) -> Iterator[Running]:
        """Start a command, which must be waited for within the context."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as directory:
            streams = Path(directory, "stdout"), Path(directory, "stderr")
            for path in streams:
                path.touch()  # a command killed at once does not make them
            command = {
                "arguments": arguments,
                "environ": dict(environ),
                "streams": [str(path) for path in streams],
            }
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
            yield Running(pid, self._process.stdout, streams)


def _main(name: str, *preload: str) -> None:
    """Run the commands on standard input; print the process and the exit status of each."""
    before = set(os.environ)
    module = importlib.import_module(name)
    for each in preload:
        importlib.import_module(each)
    gc.freeze()  # else a child's first collection copies what all have been forked with
    set_by_import = {key: os.environ[key] for key in set(os.environ) - before}
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line), set_by_import=set_by_import)
            sys.exit(module.main())
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    *,
    arguments: list[str],
    environ: dict[str, str],
    streams: list[str],
    set_by_import: dict[str, str],
) -> None:
    """Take on what a command is started with."""
    os.environ.clear()
    os.environ.update(environ | set_by_import)
    sys.argv = [sys.argv[0], *arguments]
    files: list[Any] = [os.devnull, *streams]
    for stream, path in zip((sys.stdin, sys.stdout, sys.stderr), files, strict=True):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, stream.fileno())
        os.close(opened)


if __name__ == "__main__":
    _main(*sys.argv[1:])
