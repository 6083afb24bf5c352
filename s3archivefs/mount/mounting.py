"""Mounting and unmounting: by mount(2) as root, through fusermount3 as anybody else."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.mount.options import FILESYSTEM
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from s3archivefs.mount.options import MountOptions

__all__ = [
    "MountError",
    "MountPoint",
    "is_dead",
    "mount",
    "mounted_at",
    "place_of",
    "read_further_ahead",
    "unmount",
]

_DEVICE = "/dev/fuse"
_SUBTYPE = FILESYSTEM.partition(".")[2]
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS, _NO_SYMLINKS = 1, 2, 4, 8, 256
"""Flags of mount(2)."""
_DETACH = 2  # flag of umount2(2)
_READ_AHEAD_KIB = 1024
"""KiB that the kernel reads ahead of a sequential reader: one request's."""
_DIRECTORY_MODE = "40000"
_ENDED = frozenset({errno.ENOTCONN, errno.ECONNABORTED})
"""What the kernel answers for a program that has ended, or that ends meanwhile."""
_SECONDS = 30  # for fusermount3, which waits for nobody
_READINGS = 16
"""Readings of the mounts at most, where they change all the time."""


class MountError(OSError):
    """A tree could not be mounted or unmounted; the message says what to do."""


class MountPoint(NamedTuple):
    """A mounted filesystem, as /proc/self/mountinfo has it."""

    number: str
    """What tells it from other mounts, also of the same filesystem."""
    path: bytes
    """Where it lies."""
    filesystem: str
    device: str
    """The filesystem's number: major, a colon, minor."""


def mount(source: str, directory: str, options: MountOptions) -> int:
    """Mount a tree, and return the descriptor by which the kernel asks for its files.

    Until it is answered, whoever looks at the directory waits. Raises MountError.
    """
    _check_directory(directory)
    if os.geteuid() != 0:
        return _mount_by_program(source, directory, options)
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise MountError(
            f"{_DEVICE}: {error.strerror}: load the kernel's fuse module (modprobe fuse), or give"
            " the container the device and CAP_SYS_ADMIN"
        ) from error
    try:
        _mount_by_call(source, directory, descriptor, options)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def unmount(directory: str, *, lazily: bool = False) -> None:
    """Unmount a tree.

    `lazily` hides it at once, and ends it when nobody uses it any more. Raises MountError.
    """
    if os.geteuid() != 0:
        _run_fusermount("-u", *(["-z"] if lazily else []), "--", directory)
        return
    if _libc().umount2(os.fsencode(directory), _DETACH if lazily else 0):
        number = ctypes.get_errno()
        what = os.strerror(number)
        if number == errno.EBUSY:
            what = "in use: end the programs that use it (fuser -vm), or unmount it with --lazy"
        elif number == errno.EINVAL:
            what = "nothing is mounted there"
        raise MountError(f"{printed(directory)}: {what}")


def mounted_at(directory: str) -> MountPoint | None:
    """Return what is mounted at a directory, or None.

    It asks no filesystem, so a dead one does not matter.
    """
    path = os.fsencode(os.path.abspath(directory))  # noqa: PTH100 -- pathlib takes 10 ms to import
    # The last one lies above the others.
    return next((each for each in reversed(_mounts()) if each.path == path), None)


def place_of(mounted: MountPoint) -> str | None:
    """Return where a tree lies now: a directory above it may be renamed.

    None where it is unmounted, or lies below another one.
    """
    for each in _mounts():
        if (each.number, each.device) == (mounted.number, mounted.device):
            place = os.fsdecode(each.path)
            return place if mounted_at(place) == each else None
    return None


def is_dead(directory: str) -> bool:
    """Return whether a tree is mounted there whose program has ended."""
    try:
        os.statvfs(directory)  # which the kernel always asks the program, unlike os.stat
    except OSError as error:
        return error.errno in _ENDED
    return False


def read_further_ahead(mounted: MountPoint | None) -> None:
    """Have the kernel read as far ahead as one request may go, if it can."""
    if mounted is not None:
        # Not as root, or with a read-only /sys, reading takes more requests.
        path = f"/sys/class/bdi/{mounted.device}/read_ahead_kb"
        with suppress(OSError), open(path, "w", encoding="ascii") as file:  # noqa: PTH123 -- as above
            file.write(str(_READ_AHEAD_KIB))


def _mounts() -> list[MountPoint]:
    """Return all mounts, as they were at one time.

    The kernel tells them a page at a time, and leaves some out when others come or go between two
    pages. So they are read until two readings agree.
    """
    before, lines = b"", _mount_lines()
    for _ in range(_READINGS):
        if lines == before:
            break
        before, lines = lines, _mount_lines()
    # In bytes, as paths are, of which lines end with a line feed alone.
    return [_mount_point(line.split(b" ")) for line in lines.split(b"\n") if line]


def _mount_lines() -> bytes:
    with open("/proc/self/mountinfo", "rb") as lines:  # noqa: PTH123 -- as above
        return lines.read()


def _mount_point(fields: list[bytes]) -> MountPoint:
    return MountPoint(
        number=os.fsdecode(fields[0]),
        device=os.fsdecode(fields[2]),
        path=_unescaped(fields[4]),
        filesystem=os.fsdecode(fields[fields.index(b"-") + 1]),
    )


def _check_directory(directory: str) -> None:
    try:
        mode = os.stat(directory).st_mode  # noqa: PTH116 -- as above
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MountError(f"{printed(directory)} is not there: make the directory first") from error
    except OSError as error:
        what = str(error.strerror)
        if error.errno == errno.EACCES and mounted_at(directory) is not None:
            what += ": another user's tree is mounted there, which is for that user alone"
        raise MountError(f"{printed(directory)}: {what}") from error
    if not stat.S_ISDIR(mode):
        raise MountError(f"{printed(directory)} is no directory: make the directory first")


def _mount_by_call(source: str, directory: str, descriptor: int, options: MountOptions) -> None:
    flags = _READ_ONLY
    flags |= 0 if options.suid else _NO_SUID
    flags |= 0 if options.dev else _NO_DEVICES
    flags |= 0 if options.exec else _NO_PROGRAMS
    flags |= 0 if options.symfollow else _NO_SYMLINKS
    words = [f"fd={descriptor}", f"rootmode={_DIRECTORY_MODE}", "user_id=0", "group_id=0"]
    words += _permissions(options)
    texts = (os.fsencode(source), os.fsencode(directory), FILESYSTEM.encode())
    if _libc().mount(*texts, ctypes.c_ulong(flags), ",".join(words).encode()):
        number = ctypes.get_errno()
        what = os.strerror(number)
        if number == errno.EPERM:
            what += ": this needs CAP_SYS_ADMIN, which containers lack unless they are given it"
        raise MountError(f"{printed(directory)}: cannot mount: {what}")


def _mount_by_program(source: str, directory: str, options: MountOptions) -> int:
    """Have fusermount3 mount: it is set-user-id root, and sends the descriptor back."""
    if options.suid or options.dev or not options.symfollow:
        raise MountError("only root may mount with the options suid, dev and nosymfollow")
    words = ["ro", "nosuid", "nodev", f"subtype={_SUBTYPE}", f"fsname={_escaped(source)}"]
    words += [] if options.exec else ["noexec"]
    words += _permissions(options)
    ours, its = socket.socketpair(socket.AF_UNIX)
    with ours, its:
        arguments = ("-o", ",".join(words), "--", directory)
        _run_fusermount(*arguments, socket_descriptor=its.fileno())
        its.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        raise MountError(f"{printed(directory)}: fusermount3 sent no descriptor")
    os.set_inheritable(descriptors[0], False)  # noqa: FBT003 -- os's own
    return descriptors[0]


def _run_fusermount(*arguments: str, socket_descriptor: int | None = None) -> None:
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    if program is None:
        raise MountError(
            "fusermount3 is missing, which mounts for users: install the package fuse3, or be root"
        )
    environ = dict(os.environ)
    passed: tuple[int, ...] = ()
    if socket_descriptor is not None:
        environ["_FUSE_COMMFD"] = str(socket_descriptor)
        passed = (socket_descriptor,)
    done = subprocess.run(
        [program, *arguments],
        env=environ,
        pass_fds=passed,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["fusermount3 failed"]
        raise MountError(" ".join(lines).removeprefix(f"{os.path.dirname(program)}/"))  # noqa: PTH120 -- as above


def _permissions(options: MountOptions) -> list[str]:
    """Return the words about who may see the tree."""
    words = ["allow_other"] if options.allow_other else []
    # Others must not see more than the modes in the image let them.
    if options.allow_other or options.default_permissions:
        words.append("default_permissions")
    return words


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _escaped(word: str) -> str:
    r"""Return a value as fusermount3 reads it between commas."""
    return word.replace("\\", "\\\\").replace(",", "\\,")


def _unescaped(field: bytes) -> bytes:
    """Return a path as mountinfo has it: with spaces and the like as octal numbers."""
    for character in b" \t\n\\":
        field = field.replace(b"\\%03o" % character, bytes([character]))
    return field
