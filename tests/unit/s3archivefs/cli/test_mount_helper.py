"""`mount.s3archivefs`, as mount(8) calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3archivefs.cli.exit_codes import NOT_FOUND, USAGE
from s3archivefs.cli.mount_helper import main

# Python 3.12 warns of each fork of a process with threads, as pytest-xdist's are.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("-o", "rw,_netdev,allow_other"), NOT_FOUND, "missing.sqfs: No such file or directory"),
        (("-n", "-v", "-o", "ro", "-t", "s3archivefs"), NOT_FOUND, "No such file"),
        (("-o", "odd"), USAGE, "unknown mount option 'odd'"),
    ],
)
def test_it_mounts_with_the_options_of_fstab(
    options: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["missing.sqfs", str(tmp_path), *options]) == code
    assert said in capfd.readouterr().err


def test_a_fake_mount_mounts_nothing(tmp_path: Path) -> None:
    assert main(["missing.sqfs", str(tmp_path), "-f"]) == 0
