"""`s3archivefs serve` as a user runs it: a subprocess with a URL."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SERVE = (sys.executable, "-m", "s3archivefs.cli", "serve", "--port", "0")
READY_SECONDS = STOP_SECONDS = 200
"""However busy the machine is: one that ends is known at once."""


class ServeError(RuntimeError):
    """The endpoint did not start, or did not end well; the message holds what it wrote."""


@contextmanager
def served(
    *arguments: str, environ: Mapping[str, str], log: Path, command: Sequence[str] = SERVE
) -> Iterator[str]:
    """Run `s3archivefs serve --port 0`, or what else `command` is, with `arguments` until the
    context ends; yields its URL.

    Its standard error goes to `log`. One process serves, unless `environ` says otherwise: so what
    it has cached can be told.
    """
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*command, *arguments],
            env=os.environ | {"S3ARCHIVEFS_ENDPOINT_WORKERS": "1"} | dict(environ),
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as server,
    ):
        try:
            yield _url(server, log)
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                raise ServeError(f"the endpoint did not stop\n{log.read_text()}") from None


def _url(server: subprocess.Popen[bytes], log: Path) -> str:
    """The address in the line that says that the endpoint is ready."""
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], READY_SECONDS)
    line = server.stdout.readline().decode() if readable else ""
    if (found := re.search(r"https?://\S+:\d+", line)) is None:
        raise ServeError(f"the endpoint is not ready: {line!r}\n{log.read_text()}")
    return found[0]
