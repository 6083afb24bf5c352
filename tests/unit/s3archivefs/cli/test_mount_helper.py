"""`mount.s3archivefs`, as mount(8) calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3archivefs.cli import mount_helper
from s3archivefs.cli.mount_helper import main

# Python 3.12 warns of each fork of a process with threads, as pytest-xdist's are.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

WRONG, INTERRUPTED, FAILED = 1, 8, 32  # exit codes of mount(8)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("-o", "rw,_netdev,allow_other"), FAILED, "missing.sqfs: No such file or directory"),
        (("-n", "-v", "-o", "ro", "-t", "s3archivefs"), FAILED, "No such file"),
        (("-o", "dirsync"), FAILED, "No such file"),
        (("-o", "odd"), WRONG, "unknown mount option 'odd'"),
        (("-s", "-o", "ro,odd,offset=x"), FAILED, "missing.sqfs: No such file or directory"),
        (("-o", "ro,remount"), WRONG, "options of a mounted tree cannot be changed: unmount it"),
        (("--odd",), WRONG, "unrecognized arguments: --odd"),
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


def test_ctrl_c_is_told_as_mount_8_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mount_helper, "run_command", lambda _: 130)
    assert mount_helper.main(["missing.sqfs", str(tmp_path)]) == INTERRUPTED


def test_help_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "mount(8)" in capsys.readouterr().out
