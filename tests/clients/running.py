"""Programs that tests run to their end."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path


def run(*command: str, environ: dict[str, str]) -> bytes:
    """What a program writes; it must end well."""
    done = subprocess.run(command, env=environ, check=False, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def first_url(text: str) -> str:
    found = re.search(r"https?://\S+", text)
    assert found
    return found[0]
