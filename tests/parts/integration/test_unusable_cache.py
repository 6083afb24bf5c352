"""An archive is read as well where its cache directory cannot be written to; a warning says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes.namespaces import WITH_MOUNTS_OF_ITS_OWN
from tests.support.servers.swift_store import SwiftStore


def usable(_: Path) -> list[str]:
    """What to put before a command for it to have an ordinary directory."""
    return []


def full(directory: Path) -> list[str]:
    """Likewise, a file system that is smaller than a chunk."""
    mount = f"mount -t tmpfs -o size=64k tmpfs '{directory}'"
    if subprocess.run(
        [*WITH_MOUNTS_OF_ITS_OWN, "true"], check=False, stderr=subprocess.DEVNULL
    ).returncode:
        # Not allowed here, as in most containers. No file may be as large as a chunk then, which
        # breaks a write in the middle just as well.
        return ["sh", "-c", 'ulimit -f 64 && exec "$@"', "sh"]
    return [*WITH_MOUNTS_OF_ITS_OWN, "sh", "-c", f'{mount} && exec "$@"', "sh"]


def read_only(directory: Path) -> list[str]:
    """Likewise, a directory that may not be written to."""
    directory.chmod(0o500)
    if os.geteuid():
        return []
    # Whoever is root may write to it all the same, unless root goes without that capability.
    return ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.mark.parametrize(
    ("prepare", "said"),
    [(usable, None), (full, "cannot be used"), (read_only, "Permission denied")],
)
def test_a_file_is_read_with_at_most_one_warning(  # noqa: PLR0917 -- fixtures
    prepare: Callable[[Path], list[str]],
    said: str | None,
    store: SwiftStore,
    archive_of_large_file: str,
    large_file: bytes,
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [
            *prepare(tmp_path),
            *(sys.executable, "-m", "s3archivefs.cli", "cat"),
            *(archive_of_large_file, "/large.bin"),
        ],
        env=os.environ | store.environ() | {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == large_file
    warnings = done.stderr.decode().splitlines()
    assert len(warnings) == (said is not None)
    assert all(said in warning and str(tmp_path) in warning for warning in warnings if said)
