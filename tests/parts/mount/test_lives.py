"""How a mount begins and ends: in the background, by umount, by signals, and by a crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_a_signal_ends_what_still_waits_for_a_store(
    point: Path, number: signal.Signals, code: int
) -> None:
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
                process.send_signal(number)
                assert process.wait(60) == code
        assert not Path(f"/proc/{answering}").exists()
    assert mounted_at(str(point)) is None


SLOW = """
import os, sys
import s3archivefs
from s3archivefs.mount.options import MountOptions
from s3archivefs.mount.program import Archives, mount_in_background

def open_slowly(path):
    os.write(told, b"opening ")
    os.read(go, 1)
    return s3archivefs.open(path)

def explain(error):
    os.write(told, str(error).encode())
    return 1

image, point, go, told = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
mount_in_background(Archives({b"": image}, open_slowly), point, MountOptions(), explain)
"""


def test_a_tree_that_nobody_waits_for_is_not_shown(point: Path) -> None:
    waiting, go = os.pipe()
    heard, telling = os.pipe()
    command = [sys.executable, "-c", SLOW, str(IMAGE), str(point), str(waiting), str(telling)]
    with subprocess.Popen(command, pass_fds=(waiting, telling)) as process:
        os.close(telling)
        with os.fdopen(heard, "rb") as told:
            assert told.read(8) == b"opening "
            process.kill()
            process.wait()
            os.write(go, b"!")
            assert told.read() == b"nobody waits for the mount any more"
    for each in (waiting, go):
        os.close(each)


def test_fstab_s_helper_mounts_too(point: Path) -> None:
    helper = [sys.executable, "-m", "s3archivefs.cli.mount_helper"]
    subprocess.run([*helper, IMAGE, point, "-o", "rw,allow_other,_netdev"], check=True, timeout=60)
    mount = mounted_at(str(point))
    assert mount is not None
    assert mount.filesystem == "fuse.s3archivefs"
    subprocess.run(["umount", point], check=True)


@contextmanager
def helper_for_mount_8(directory: Path, point: Path) -> Iterator[None]:
    """The helper where mount(8) looks for it, as docs/mount.md has it linked there."""
    link = Path("/sbin/mount.s3archivefs")
    program = directory / "mount.s3archivefs"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m s3archivefs.cli.mount_helper "$@"\n', "ascii"
    )
    program.chmod(0o755)
    before = link.readlink() if link.is_symlink() else None
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    try:
        yield
    finally:
        subprocess.run(["umount", "--quiet", point], check=False)
        link.unlink()
        if before is not None:
            link.symlink_to(before)


LINES = {
    "defaults": {"ro", "nosuid", "nodev"},
    "ro,noexec": {"ro", "nosuid", "nodev", "noexec"},
    "nosymfollow,nodev,nosuid,noexec,ro": {"ro", "nosuid", "nodev", "noexec", "nosymfollow"},
    "user,noauto,nofail,_netdev,x-systemd.automount,comment=x": {"ro", "nosuid", "nodev", "noexec"},
    "users,exec,noatime,sync,x-systemd.requires=network-online.target": {"ro", "nosuid", "nodev"},
    "owner,group,auto,dirsync,allow_other,rw": {"ro", "nosuid", "nodev"},
}
"""Options of lines in fstab, and what the kernel knows of them."""


def test_mount_8_mounts_and_unmounts_lines_of_fstab(tmp_path: Path, point: Path) -> None:
    image, fstab = tmp_path / "with a space.sqfs", tmp_path / "fstab"
    shutil.copy(IMAGE, image)
    restricting = {"ro", "nosuid", "nodev", "noexec", "nosymfollow"}
    with helper_for_mount_8(tmp_path, point):
        for options, expected in LINES.items():
            source, target = (str(each).replace(" ", "\\040") for each in (image, point))
            fstab.write_text(f"{source} {target} s3archivefs {options} 0 0\n", encoding="utf-8")
            subprocess.run(["mount", "-T", fstab, point], check=True, timeout=60)
            shown = ["findmnt", "--noheadings", "--output", "OPTIONS", str(point)]
            found = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
            assert restricting & {*found.strip().split(",")} == expected
            assert "block.txt" in names(point)
            subprocess.run(["umount", point], check=True, timeout=60)
        fstab.write_text(f"{tmp_path}/none.sqfs {target} s3archivefs defaults 0 0\n", "utf-8")
        assert subprocess.run(["mount", "-T", fstab, point], check=False).returncode == 32
    assert mounted_at(str(point)) is None


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
        ("suid", "only root may mount with the options suid, dev and nosymfollow"),
        ("nosymfollow", "only root may mount with the options suid, dev and nosymfollow"),
        ("allow_other", "'user_allow_other' is set in /etc/fuse.conf"),
    ):
        code, said = run_as_nobody(tmp_path, "mount", "-o", options, IMAGE, point)
        assert (code, reason in said) == (1, True)
