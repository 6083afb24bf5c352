"""Options of a mount, as `-o` and /etc/fstab have them: words with commas in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["FILESYSTEM", "MountOptions", "OnChange", "OptionError", "parse_options"]

FILESYSTEM = "fuse.s3archivefs"
"""The type of a mounted tree, as mount(8) and /proc/mounts show it."""

OnChange: TypeAlias = Literal["stale", "follow"]

_IGNORED = frozenset({
    *("auto", "noauto", "user", "nouser", "users", "nousers", "owner", "group", "defaults"),
    *("nofail", "_netdev", "ro", "rw", "sync", "async", "atime", "noatime", "diratime"),
    *("nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime"),
    *("nolazytime", "silent", "loud", "iversion", "noiversion", "mand", "nomand"),
})  # fmt: skip
"""What is for mount(8), or makes no difference to a tree that nobody can write."""
_CHECK_SECONDS = range(1, 86_401)  # up to a day
_IGNORED_BEGINNINGS = ("x-", "X-", "comment=", "context=", "uhelper=", "helper=")


class OptionError(ValueError):
    """An option is unknown, or its value is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """How a tree is mounted: always read-only."""

    allow_other: bool = False
    """Whether other users may see it, as far as the image's modes let them."""
    default_permissions: bool = False
    """Whether the modes in the image bind the user who mounted it too."""
    suid: bool = False
    """Whether set-user-id bits count; only root may ask for it."""
    dev: bool = False
    """Whether device files lead to devices; likewise."""
    exec: bool = True
    """Whether programs may be run."""
    symfollow: bool = True
    """Whether the system follows symlinks; only root may ask that it does not."""
    offset: int = 0
    """Byte of the file at which each image starts."""
    cache_mib: int | None = None
    """MiB of decoded blocks that are kept of each image; None: by the machine's memory."""
    on_change: OnChange = "stale"
    """What to do when an archive is replaced: fail until mounted anew, or follow."""
    check_seconds: int = 60
    """Seconds between two looks whether an archive was replaced, to follow it: 1 to 86,400."""


_FLAGS: dict[str, tuple[str, bool]] = {
    "allow_other": ("allow_other", True),
    "default_permissions": ("default_permissions", True),
    "suid": ("suid", True),
    "nosuid": ("suid", False),
    "dev": ("dev", True),
    "nodev": ("dev", False),
    "exec": ("exec", True),
    "noexec": ("exec", False),
    "symfollow": ("symfollow", True),
    "nosymfollow": ("symfollow", False),
}


def parse_options(words: str) -> MountOptions:
    """Return the options that are named, with commas in between; a later one counts.

    Raises OptionError.
    """
    found: dict[str, object] = {}
    for word in filter(None, words.split(",")):
        name, _, value = word.partition("=")
        if word in _FLAGS:
            field, flag = _FLAGS[word]
            found[field] = flag
        elif name in {"offset", "cache_mib", "check_seconds"}:
            found[name] = _number(word, value)
        elif word in {"on_change=stale", "on_change=follow"}:
            found["on_change"] = value
        elif word not in _IGNORED and not word.startswith(_IGNORED_BEGINNINGS):
            raise OptionError(f"unknown mount option {word!r}: docs/mount.md lists those known")
    return MountOptions(**found)  # type: ignore[arg-type]  # each field has its own type


def _number(word: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise OptionError(f"mount option {word!r} needs a number")
    number = int(value)
    if word.startswith("check_seconds=") and number not in _CHECK_SECONDS:
        raise OptionError(f"mount option {word!r} needs a number from 1 to {_CHECK_SECONDS[-1]}")
    return number
