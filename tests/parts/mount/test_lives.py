"""How a mount begins and ends: in the background, by umount, by signals, and by a crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.tree import file
from s3archivefs.mount.mounting import mounted_at
from tests.support.images.fixtures import FIXTURES, make_image
from tests.support.mount.mounted import COMMAND, mounted, until

IMAGE = FIXTURES["gzip"].image


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and complaint of the command."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def children(pid: int) -> list[int]:
    """The children of a process."""
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())]


def names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def test_the_command_returns_when_the_tree_is_there(point: Path) -> None:
    assert run("mount", IMAGE, point) == (0, "")
    assert "block.txt" in names(point)
    assert run("umount", point) == (0, "")
    assert mounted_at(str(point)) is None
    assert names(point) == set()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(point: Path, closed: str) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "-"]
    subprocess.run([*shell, *COMMAND, "mount", IMAGE, point], check=True, timeout=60)
    assert "block.txt" in names(point)
    assert (point / "block.txt").read_bytes()
    assert run("umount", point) == (0, "")


def test_descriptors_that_are_passed_on_are_not_held(point: Path, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as lock, IMAGE.open("rb") as image:
        fcntl.flock(lock, fcntl.LOCK_EX)
        passed = (lock.fileno(), image.fileno())
        command = [*COMMAND, "mount", f"/dev/fd/{image.fileno()}", str(point)]
        subprocess.run(command, check=True, timeout=60, pass_fds=passed)
    with (tmp_path / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (point / "block.txt").read_bytes()
    assert run("umount", point) == (0, "")


def test_what_keeps_it_from_beginning_is_said_before_it_returns(point: Path) -> None:
    code, said = run("mount", "missing.sqfs", point)
    assert (code, said) == (3, "s3archivefs: missing.sqfs: No such file or directory\n")
    assert mounted_at(str(point)) is None


def test_ctrl_c_ends_what_still_waits_for_a_store(point: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        environ = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
        }
        command = [*COMMAND, "mount", "s3://bucket/a.sqfs", str(point)]
        with subprocess.Popen(command, env={**os.environ, **environ}) as process:
            connection, _ = silent.accept()
            with connection:
                (answering,) = children(process.pid)
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 130
        assert not Path(f"/proc/{answering}").exists()
    assert mounted_at(str(point)) is None


def test_fstab_s_helper_mounts_too(point: Path) -> None:
    helper = [sys.executable, "-m", "s3archivefs.cli.mount_helper"]
    subprocess.run([*helper, IMAGE, point, "-o", "rw,allow_other,_netdev"], check=True, timeout=60)
    mount = mounted_at(str(point))
    assert mount is not None
    assert mount.filesystem == "fuse.s3archivefs"
    subprocess.run(["umount", point], check=True)


def test_what_another_program_mounted_is_left_alone(point: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    try:
        code, said = run("umount", point)
        assert (code, mounted_at(str(point)) is None) == (1, False)
        assert said == f"s3archivefs: {point}: a tmpfs is mounted there: unmount it with umount\n"
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_tree_in_use_is_unmounted_lazily_or_not_at_all(point: Path) -> None:
    with mounted(point, IMAGE) as tree:
        with (point / "docs" / "guide.txt").open("rb") as opened:
            code, said = run("umount", point)
            assert (code, "in use" in said) == (1, True)
            assert tree.is_there
            assert run("umount", "--lazy", point) == (0, "")
            assert mounted_at(str(point)) is None
            assert opened.read(4) == b"line"  # for as long as it is open
        assert tree.ended() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_and_ends_it(point: Path, number: signal.Signals) -> None:
    with mounted(point, IMAGE) as tree:
        descriptor = os.open(point / "block.txt", os.O_RDONLY)
        tree.process.send_signal(number)
        assert tree.ended() == (0, "")
        assert not tree.is_there
        with pytest.raises(OSError, match="endpoint is not connected"):  # as the kernel tells it
            os.close(descriptor)


def test_a_signal_unmounts_what_lies_elsewhere_by_now(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "point").mkdir(parents=True)
    with mounted(before / "point", IMAGE) as tree:
        assert names(before / "point")  # it answers, and so has found where it lies
        before.rename(after)
        (before / "point").mkdir(parents=True)
        with mounted(before / "point", IMAGE) as other:
            tree.process.terminate()
            assert tree.ended() == (0, "")
            assert mounted_at(str(after / "point")) is None
            assert other.is_there


def test_a_killed_one_leaves_no_dead_tree(point: Path) -> None:
    with mounted(point, IMAGE) as tree:
        point.stat()  # whose answer the kernel keeps
        tree.process.kill()
        until(lambda: not tree.is_there)
    assert names(point) == set()


def test_a_fault_that_nobody_can_be_told_of_ends_nothing(point: Path, tmp_path: Path) -> None:
    image = make_image(tmp_path, (file("big", bytes(range(256)) * 1024), file("small", b"s")))
    content = bytearray(image.read_bytes())
    content[96:200] = bytes(104)  # of the first block
    image.write_bytes(content)
    with Path("/dev/full").open("w") as full, mounted(point, image, errors=full):
        with pytest.raises(OSError, match="Input/output error"):
            (point / "big").read_bytes()
        assert (point / "small").read_bytes() == b"s"


def test_a_dead_tree_is_cleared_by_the_next_mount(point: Path) -> None:
    with mounted(point, IMAGE) as tree:
        point.stat()
        for pid in (*children(tree.process.pid), tree.process.pid):
            os.kill(pid, signal.SIGKILL)
        tree.process.wait()
        assert tree.is_there
        with pytest.raises(OSError, match="endpoint is not connected"):
            names(point)
        assert run("mount", IMAGE, point) == (0, "")
        assert "block.txt" in names(point)
        assert run("umount", point) == (0, "")


def test_a_watcher_ends_with_the_mount(point: Path) -> None:
    with mounted(point, IMAGE) as tree:
        (watcher,) = children(tree.process.pid)
        assert run("umount", point) == (0, "")
        tree.ended()
    until(lambda: not Path(f"/proc/{watcher}/stat").exists())


def test_another_mount_s_odd_source_does_no_harm(point: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "a\rb\u2028 - \udcff", other], check=True)
    try:
        assert run("mount", IMAGE, point) == (0, "")
        mount = mounted_at(str(point))
        assert mount is not None
        assert mount.filesystem == "fuse.s3archivefs"
        assert run("umount", point) == (0, "")
    finally:
        subprocess.run(["umount", other], check=True)


# ---- as an ordinary user -------------------------------------------------------------------------

AS_NOBODY = "tests.support.mount.as_nobody"
WITHIN = """
import subprocess, sys
from pathlib import Path
from tests.support.mount.as_nobody import share_fuse
share_fuse(Path(sys.argv[1]))
sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)
"""


def run_as_nobody(tmp_path: Path, *arguments: object) -> tuple[int, str]:
    """The same as a user, in a namespace of its own, where mounts end with it."""
    image = tmp_path / "a.sqfs"
    shutil.copy(IMAGE, image)
    image.chmod(0o644)
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    node = tmp_path / "fuse"
    node.unlink(missing_ok=True)
    given = [str(image) if each is IMAGE else str(each) for each in arguments]
    steps = [sys.executable, "-m", AS_NOBODY, str(image), *given]
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", WITHIN, str(node), *steps],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_user_mounts_through_fusermount3(point: Path, tmp_path: Path) -> None:
    os.chown(point, 65534, 65534)
    code, said = run_as_nobody(tmp_path, "mount", IMAGE, point)
    assert (code, said.split()[0], said.split()[-1]) == (0, "block.txt", "4096")


def test_what_a_user_may_not_is_said_in_a_line(point: Path, tmp_path: Path) -> None:
    code, said = run_as_nobody(tmp_path, "mount", IMAGE, point)
    assert (code, said.count("\n")) == (1, 1)
    assert "fusermount3: user has no write access to mountpoint" in said
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    (closed / "point").mkdir()
    code, said = run_as_nobody(tmp_path, "mount", IMAGE, closed / "point")
    assert (code, said.endswith(f" {closed / 'point'}: Permission denied\n")) == (1, True)
    os.chown(point, 65534, 65534)
    for options, reason in (
        ("suid", "only root may mount with the options suid and dev"),
        ("allow_other", "'user_allow_other' is set in /etc/fuse.conf"),
    ):
        code, said = run_as_nobody(tmp_path, "mount", "-o", options, IMAGE, point)
        assert (code, reason in said) == (1, True)
