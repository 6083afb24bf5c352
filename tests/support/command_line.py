"""The command, run within the test's process."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

from s3archivefs.cli import main

__all__ = ["Ran", "run"]


class Ran(NamedTuple):
    """What a command wrote, and its exit code."""

    code: int
    written: bytes
    errors: str

    @property
    def text(self) -> str:
        """What it wrote to standard output, as text."""
        return self.written.decode()

    @property
    def items(self) -> list[dict[str, Any]]:
        """What it wrote as lines of JSON."""
        return [json.loads(line) for line in self.text.splitlines()]


def run(*arguments: object) -> Ran:
    """Run a command, also where an example of a property test cannot have pytest's `capsys`."""
    written, errors = io.BytesIO(), io.StringIO()
    output = io.TextIOWrapper(written, encoding="utf-8", newline="\n", write_through=True)
    with redirect_stdout(output), redirect_stderr(errors):
        code = main([*map(str, arguments)])
    return Ran(code, written.getvalue(), errors.getvalue())
