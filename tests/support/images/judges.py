"""What others make of an image: unsquashfs, rdsquashfs, dissect.squashfs, the Linux kernel."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
from collections import defaultdict
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests.support.images.fixtures import FORMATS, Observed, run_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "extracted_by_rdsquashfs",
    "extracted_by_unsquashfs",
    "linux_reads",
    "mounted_by_linux",
    "on_disk",
    "read_by_dissect",
    "skip_without_loop_devices",
    "xattrs_on_disk",
]

_KINDS = {bits: kind for kind, bits in FORMATS.items()}


def extracted_by_unsquashfs(image: Path) -> dict[str, str]:
    """The SHA-256 of each file that it extracts, by path."""
    with TemporaryDirectory(dir=image.parent) as name:
        # To users it may refuse owners and devices, which is no error of the image.
        options = ("-quiet", "-no-progress", "-no-xattrs", "-no-exit-code")
        run_tool("unsquashfs", *options, "-dest", f"{name}/tree", str(image))
        return _digests(Path(name, "tree"))


def extracted_by_rdsquashfs(image: Path) -> dict[str, str]:
    """The SHA-256 of each file that it extracts, by path."""
    with TemporaryDirectory(dir=image.parent) as name:
        options = ("--no-dev", "--no-sock", "--no-fifo", "--no-slink", "--quiet")
        run_tool("rdsquashfs", *options, "-p", f"{name}/tree", "-u", "/", str(image))
        return _digests(Path(name, "tree"))


def read_by_dissect(image: Path) -> dict[str, tuple[int, int, int, int, str | None]]:
    """Mode, owner, group, time, and SHA-256 or target of all that an image holds, by path."""
    from dissect.squashfs import SquashFS  # noqa: PLC0415 -- for the one test that asks it

    found = {}
    with image.open("rb") as file:
        pending = [("/", SquashFS(file).root)]
        while pending:
            path, node = pending.pop()
            content = None
            if node.is_file():
                with node.open() as opened:
                    content = hashlib.sha256(opened.read()).hexdigest()
            elif node.is_symlink():
                content = node.link
            elif node.is_dir():
                pending += [(f"{path.rstrip('/')}/{each.name}", each) for each in node.iterdir()]
            mtime = int(node.mtime.timestamp())
            found[path] = (node.mode, node.uid, node.gid, mtime, content)
    return found


@cache
def skip_without_loop_devices() -> None:
    """Skip the test where the system lets nobody mount a file."""
    found = None
    if os.geteuid() == 0 and shutil.which("losetup"):
        found = subprocess.run(["losetup", "--find"], capture_output=True, check=False)
    if found is None or found.returncode:
        pytest.skip("mounting a file needs root and a loop device, which are not here")


@contextmanager
def mounted_by_linux(image: Path) -> Iterator[Path]:
    """The directory where the kernel shows the image."""
    with TemporaryDirectory(dir=image.parent) as point:
        run_tool("mount", "-t", "squashfs", "-o", "ro,loop,nodev", str(image), point)
        try:
            yield Path(point)
        finally:
            run_tool("umount", point)


def on_disk(top: Path) -> list[Observed]:
    """All that a directory holds, itself included, in byte order of the paths."""
    paths = {"/": os.fspath(top), **_below(top)}
    found = {path: os.lstat(place) for path, place in paths.items()}
    names: dict[int, set[str]] = defaultdict(set)
    for path, each in found.items():
        names[each.st_ino].add(path)
    observed = []
    for path, each in found.items():
        kind = _KINDS[stat.S_IFMT(each.st_mode)]
        links = names[each.st_ino]
        observed.append(
            Observed(
                path=path,
                kind=kind,
                mode=each.st_mode,
                uid=each.st_uid,
                gid=each.st_gid,
                mtime=int(each.st_mtime),
                nlink=each.st_nlink,
                size=each.st_size if kind in {"file", "symlink"} else 0,
                sha256=_digest(paths[path]) if kind == "file" else None,
                target=os.readlink(paths[path])  # noqa: PTH115 -- likewise
                if kind == "symlink"
                else None,
                rdev=(os.major(each.st_rdev), os.minor(each.st_rdev))
                if kind.endswith("device")
                else None,
                same_inode=frozenset(links) if len(links) > 1 else frozenset(),
            )
        )
    return sorted(observed, key=lambda each: os.fsencode(each.path))


def xattrs_on_disk(top: Path) -> dict[str, dict[str, bytes]]:
    """The extended attributes of all that has some, by path: those that Linux lets one read."""
    found: dict[str, dict[str, bytes]] = {}
    try:
        os.listxattr(top)
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # what Linux says of an image without any
            raise
        return found
    for path, place in {"/": os.fspath(top), **_below(top)}.items():
        kind = _KINDS[stat.S_IFMT(os.lstat(place).st_mode)]
        for name in os.listxattr(place, follow_symlinks=False):
            if not linux_reads(kind, name):
                continue
            value = os.getxattr(place, name, follow_symlinks=False)
            found.setdefault(path, {})[name] = value
    return found


def linux_reads(kind: str, name: str) -> bool:
    """Whether Linux gives an attribute's value: those of users are of files and directories."""
    return not name.startswith("user.") or kind in {"file", "directory"}


def _digests(top: Path) -> dict[str, str]:
    return {
        path: _digest(place)
        for path, place in _below(top).items()
        if stat.S_ISREG(os.lstat(place).st_mode)
    }


def _below(top: Path) -> dict[str, str]:
    """By path from the top, where it is; nothing is followed."""
    found = {}
    start = len(os.fspath(top))
    for directory, directories, others in os.walk(top):
        for name in (*directories, *others):
            place = f"{directory}/{name}"
            found[place[start:]] = place
    return found


def _digest(place: str) -> str:
    with open(place, "rb") as file:  # noqa: PTH123 -- pathlib takes time for each of many
        return hashlib.file_digest(file, "sha256").hexdigest()
