"""How members are extracted, and what came of it."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from s3archivefs.errors import UnsupportedError
from s3archivefs.extraction.attributes import NO_ID, Attributes
from s3archivefs.extraction.filters import FILTERS, Filter, checked
from s3archivefs.extraction.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from s3archivefs.errors import SquashfsError
    from s3archivefs.extraction.attributes import Xattrs
    from s3archivefs.extraction.folders import Existing

    OnError: TypeAlias = Callable[[str, SquashfsError | OSError], object]

__all__ = ["Attributed", "Counts", "Manner"]

_IDS_END = 2**32 - 1  # which the system takes for none
_PLAIN_BITS = 0o1777  # all but setuid and setgid, by which a program has its owner's rights
_EXISTING = ("error", "keep", "replace")


@dataclass(slots=True)
class Counts:
    """What an extraction has made so far."""

    files: int = 0
    """Regular files, hard links among them."""
    bytes: int = 0
    """Bytes of their contents, of each hard link too."""
    directories: int = 0
    """Directories that were not there."""
    others: int = 0
    """Symlinks, devices, fifos and sockets."""
    kept: int = 0
    """Members left out, since something stands under their names."""


class Attributed(Protocol):
    """Something with the attributes of a Member."""

    @property
    def mode(self) -> int | None:
        """Permission bits."""

    @property
    def uid(self) -> int | None:
        """Owner."""

    @property
    def gid(self) -> int | None:
        """Group."""

    @property
    def mtime(self) -> int | None:
        """Time of modification."""


class Manner:
    """How members are extracted; raises ValueError or TypeError for what cannot be asked for.

    PermissionError says that it can be by root alone.
    """

    def __init__(
        self,
        *,
        filter: str | Filter,  # noqa: A002 -- as tarfile
        include: Iterable[str],
        exclude: Iterable[str],
        strip_components: int,
        name: str | None,
        existing: Existing,
        owner: bool,
        xattrs: bool,
        jobs: int | None,
        progress: Callable[[int, int], object] | None,
        on_error: OnError | None,
    ) -> None:
        trust = filter.replace("_", "-") if isinstance(filter, str) else None
        if trust is not None and trust not in FILTERS:
            raise ValueError(f"filter is {filter!r}: give {', '.join(FILTERS)}, or a function")
        if owner and trust == "data":
            raise ValueError("the filter data leaves out owners: owner=True takes another")
        if existing not in _EXISTING:
            raise ValueError(f"existing is {existing!r}: give one of {', '.join(_EXISTING)}")
        if strip_components < 0:
            raise ValueError(f"strip_components is {strip_components}: give 0 or more")
        if name is not None and (strip_components or "/" in name or name in {"", ".", ".."}):
            raise ValueError(f"name is {name!r}: give one name, and no strip_components")
        if jobs is not None and jobs < 1:
            raise ValueError(f"jobs is {jobs}: give 1 or more")
        for patterns in (include, exclude):
            if isinstance(patterns, str):
                raise TypeError(f"{patterns!r} is a single pattern: give a list of patterns")
        if xattrs and not hasattr(os, "setxattr"):
            raise UnsupportedError("this system has no extended attributes to set")
        self.is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if owner and not self.is_root:
            raise PermissionError(errno.EPERM, "owner=True is for root, who may give files away")
        self.filter: Filter = (
            FILTERS[filter.replace("_", "-")] if isinstance(filter, str) else checked(filter)
        )
        self.selection = Selection(include, exclude)
        self.strip_components = strip_components
        self.name = name
        """What the path is called below the target, in place of its own path."""
        self.existing: Existing = existing
        self.jobs = jobs
        self.progress = progress
        self.on_error = on_error
        self.has_xattrs = xattrs
        self._owner = owner
        # Others carry rights, as capabilities do.
        is_all = self.is_root and trust not in {"data", "tar"}
        self._xattr_prefix = b"" if is_all else b"user."

    def attributes(self, member: Attributed) -> Attributes:
        """Return the attributes to set, without extended ones."""
        uid = gid = NO_ID
        if self._owner:
            uid, gid = _id(member.uid), _id(member.gid)
        mode = member.mode
        if mode is not None:  # the rights of an owner who is not restored would be another's
            rights = (uid != NO_ID) * stat.S_ISUID | (gid != NO_ID) * stat.S_ISGID
            mode &= _PLAIN_BITS | rights
        return Attributes(mode, uid, gid, member.mtime)

    def wanted_xattrs(self, pairs: Mapping[bytes, bytes]) -> Xattrs:
        """Return which extended attributes of an inode are to be set."""
        return tuple(pair for pair in pairs.items() if pair[0].startswith(self._xattr_prefix))


def _id(number: int | None) -> int:
    return NO_ID if number is None or number >= _IDS_END else number
