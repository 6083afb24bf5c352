"""The filters of PEP 706, for members of an image: what is extracted of each.

A filter takes a member and the target's path. It returns the member as it is to be made, None to
leave it out, or raises FilterError. No filter can lead out of the target by a name: whatever it
returns, members are created in directories that are open, one name at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self, TypeAlias

from s3archivefs.extraction.errors import (
    AbsoluteLinkError,
    AbsolutePathError,
    LinkOutsideDestinationError,
    OutsideDestinationError,
    SpecialFileError,
)
from s3archivefs.inode import FileKind
from s3archivefs.printed import printed

__all__ = [
    "FILTERS",
    "Filter",
    "Member",
    "checked",
    "data_filter",
    "fully_trusted_filter",
    "names_of",
    "tar_filter",
    "words_of",
]

_FILE = FileKind.FILE
_DIRECTORY = FileKind.DIRECTORY
_SYMLINK = FileKind.SYMLINK
_KEPT = 0o755  # no setuid, setgid, sticky bit, and nothing for others to write
_ANY_EXECUTE = 0o111
_RANGES = (
    ("mode", 0, 0o7777),
    ("uid", 0, 2**32 - 1),
    ("gid", 0, 2**32 - 1),
    ("mtime", -(2**63), 2**63 - 1),
)
"""What systems take for an attribute."""
_new = tuple.__new__  # takes a tenth of the time of Member.replace()


class Member(NamedTuple):
    """Something that the image holds under a name, as it is to be made.

    A filter may change the name, the attributes and the target of a symlink. None for an attribute
    leaves it to the operating system.
    """

    name: str
    """Path below the target: names with `/` between them. The target itself is ``.``."""
    kind: FileKind
    mode: int | None
    """Permission bits, 0 to 0o7777."""
    uid: int | None
    """Owner, which is set where owners are asked for."""
    gid: int | None
    mtime: int | None
    """Seconds since the epoch."""
    size: int
    """Bytes of a regular file."""
    linkname: str
    """Target of a symlink, else empty."""
    path: str
    """Path in the image."""

    def replace(self, **changes: object) -> Self:
        """Return the member with other values, by their names."""
        return self._replace(**changes)  # type: ignore[arg-type]  # of any of the fields


Filter: TypeAlias = Callable[[Member, str], "Member | None"]


def fully_trusted_filter(member: Member, target: str) -> Member:  # noqa: ARG001 -- a Filter
    """Return the member as it is."""
    return member


def tar_filter(member: Member, target: str) -> Member:  # noqa: ARG001 -- a Filter
    """Return the member without setuid, setgid and sticky bit, and for others to read only.

    Raises AbsolutePathError, OutsideDestinationError.
    """
    _check_name(member.name)
    if member.mode is None or not member.mode & ~_KEPT:
        return member
    return member._replace(mode=member.mode & _KEPT)


def data_filter(member: Member, target: str) -> Member:
    """Return the member as plain data: a file, directory or symlink within the target.

    As `tar_filter`, and without an owner; a file is for its owner to read and write, a directory to
    enter too. A file that its owner may not execute is for nobody to execute. Raises also
    SpecialFileError, AbsoluteLinkError, LinkOutsideDestinationError.
    """
    member = tar_filter(member, target)
    kind, mode = member.kind, member.mode
    if kind is _SYMLINK:
        _check_link(member)
    elif kind is not _FILE and kind is not _DIRECTORY:
        raise SpecialFileError(
            member.name, f"a {words_of(kind)} is no data; the filters tar and fully-trusted keep it"
        )
    if mode is not None:
        if kind is _FILE:
            mode = mode | 0o600 if mode & 0o100 else (mode | 0o600) & ~_ANY_EXECUTE
        else:
            mode |= 0o700
    name, _, _, _, _, mtime, size, linkname, path = member
    return _new(Member, (name, kind, mode, None, None, mtime, size, linkname, path))


FILTERS: dict[str, Filter] = {
    "data": data_filter,
    "tar": tar_filter,
    "fully-trusted": fully_trusted_filter,
}
"""The filters by their names on the command line; `_` stands for `-` too."""


def checked(given: Filter) -> Filter:
    """Return a filter that raises TypeError or ValueError for what is no member."""

    def checked_filter(member: Member, target: str) -> Member | None:
        returned = given(member, target)
        if returned is not None and returned is not member:
            _check_member(returned, member.path)
        return returned

    return checked_filter


def _check_member(returned: Member, path: str) -> None:
    """Refuse what a function may return and no system takes."""
    where = f"the filter's answer for {printed(path)}"
    if not isinstance(returned, Member):
        raise TypeError(f"{where} is {returned!r}: return a Member, or None to leave it out")
    for field in ("name", "linkname"):
        text = getattr(returned, field)
        if not isinstance(text, str):
            raise TypeError(f"{where} has {field} {text!r}: give text")
        if "\0" in text:
            raise ValueError(f"{where} has {field} {text!r}: no system takes NUL there")
    for field, least, most in _RANGES:
        number = getattr(returned, field)
        if number is None:
            continue
        if not isinstance(number, int):
            raise TypeError(f"{where} has {field} {number!r}: give a whole number, or None")
        if not least <= number <= most:
            raise ValueError(f"{where} has {field} {number}: give {least} to {most}")


def names_of(path: str) -> list[str]:
    """Return the names of a path, without those that lead nowhere."""
    return [name for name in path.split("/") if name not in {"", "."}]


def _check_name(name: str) -> None:
    if name.startswith("/"):
        raise AbsolutePathError(name, "the name is absolute")
    if ".." in name and ".." in name.split("/"):
        raise OutsideDestinationError(name, "the name leads out of the target")


def _check_link(member: Member) -> None:
    """Refuse a symlink that leads, or may lead, out of the target.

    The way up is counted: a member lies in real directories, which lead to the target. Behind a
    name `..` counts for nothing, since that name may be a symlink, now or later.
    """
    target = member.linkname
    if target.startswith("/"):
        raise AbsoluteLinkError(
            member.name,
            f"a symlink to {printed(target)}, an absolute path; the filter tar keeps it",
        )
    if ".." not in target:
        return
    names = names_of(target)
    ups = names.count("..")
    if ups >= len(names_of(member.name)) or ".." in names[ups:]:
        raise LinkOutsideDestinationError(
            member.name,
            f"a symlink to {printed(target)}, which may lead out of the target; the filter tar"
            " keeps it",
        )


def words_of(kind: FileKind) -> str:
    """Return what a kind of file is called."""
    return kind.name.lower().replace("_", " ").replace("char ", "character ")
