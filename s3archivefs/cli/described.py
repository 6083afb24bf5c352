"""Attributes of a file as the command shows them: long lines and objects of JSON."""

from __future__ import annotations

from functools import lru_cache
from stat import S_IMODE, filemode
from time import gmtime, strftime
from typing import TYPE_CHECKING

from s3archivefs.cli.output import human_size, named, shown
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["KIND_NAMES", "described", "device_numbers", "long_line", "target_of"]

KIND_NAMES = {kind: kind.name.lower() for kind in FileKind}
"""By kind its name in JSON: directory, file, symlink, block_device, char_device, fifo, socket."""

_DEVICES = (FileKind.BLOCK_DEVICE, FileKind.CHAR_DEVICE)

_mode_text = lru_cache(filemode)  # an image has few modes and many files


def described(path: bytes, stat: Stat, target: bytes | None = None) -> dict[str, object]:
    """Return a file as an object of JSON (docs/json.md, "Files")."""
    found: dict[str, object] = {
        **named("path", path),
        "kind": KIND_NAMES[stat.kind],
        "size": stat.size,
        "mode": f"{S_IMODE(stat.mode):04o}",
        "uid": stat.uid,
        "gid": stat.gid,
        "mtime": stat.mtime,
        "nlink": stat.nlink,
        "inode": stat.inode_number,
    }
    if stat.kind in _DEVICES:
        major, minor = device_numbers(stat)
        found |= {"major": major, "minor": minor}
    if target is not None:
        found |= named("target", target)
    return found


def device_numbers(stat: Stat) -> tuple[int, int]:
    """Return major and minor number, which images hold as Linux does on any system."""
    return stat.rdev >> 8 & 0xFFF, stat.rdev & 0xFF | stat.rdev >> 12 & 0xFFF00


def target_of(image: SquashFS, stat: Stat) -> bytes | None:
    """Return the target of a symlink; None for what is none."""
    return image.target_of_node(stat.reference) if stat.kind is FileKind.SYMLINK else None


def long_line(name: str, stat: Stat, target: bytes | None, *, human: bool = False) -> str:
    """Return a line of `ls -l`: attributes in columns, the name, a symlink's target."""
    arrow = "" if target is None else f" -> {shown(target)}"
    return f"{_columns(stat, human=human)} {name}{arrow}\n"


def _columns(stat: Stat, *, human: bool) -> str:
    """Return mode, owner, group, size and time."""
    size: object = stat.size
    if stat.kind in _DEVICES:
        major, minor = device_numbers(stat)
        size = f"{major}, {minor}"
    elif human:
        size = human_size(stat.size)
    columns = f"{_mode_text(stat.mode)} {stat.uid:>5} {stat.gid:>5} {size:>{6 if human else 12}}"
    days, seconds = divmod(stat.mtime, 86_400)
    return f"{columns} {_day(days)} {seconds // 3600:02}:{seconds // 60 % 60:02}"


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    """Return a day in UTC, counted from that of the epoch. Files share days, not minutes."""
    return strftime("%Y-%m-%d", gmtime(days * 86_400))  # datetime takes 2 ms to import
