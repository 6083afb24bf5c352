"""What fsspec's `info` and `ls` say of a member of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from s3archivefs.errors import leads_nowhere
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["Details", "details_in_listing", "details_of"]

Details: TypeAlias = dict[str, Any]

_TYPES = {FileKind.FILE: "file", FileKind.DIRECTORY: "directory"}
_FILE, _DIRECTORY, _SYMLINK = FileKind.FILE, FileKind.DIRECTORY, FileKind.SYMLINK


def details_of(image: SquashFS, name: str) -> Details:
    """Return the details of a path, which follow a symlink at its end.

    Raises what `SquashFS.stat` raises.
    """
    path = "/" + name
    own = image.stat(path, follow_symlinks=False)
    if own.kind is not _SYMLINK:
        return _details(name, own)
    return _details(name, image.stat(path)) | _link(image.readlink(path))


def details_in_listing(image: SquashFS, name: str, own: Stat) -> Details:
    """Return the details of an entry, whose attributes are known, for a listing.

    A symlink that leads to a directory, or to nothing, is of type `other` there: who walks by
    listings would otherwise go in circles.
    """
    if own.kind is not _SYMLINK:
        return _details(name, own)
    path = "/" + name
    try:
        behind = image.stat(path)
    except OSError as error:
        if not leads_nowhere(error):
            raise
        behind = own
    seen = own if behind.kind is _DIRECTORY else behind
    return _details(name, seen) | _link(image.readlink(path))


def _details(name: str, stat: Stat) -> Details:
    kind = stat.kind
    return {
        "name": name,
        "size": stat.size if kind is _FILE else 0,
        "type": _TYPES.get(kind, "other"),
        "mode": stat.mode,
        "uid": stat.uid,
        "gid": stat.gid,
        "mtime": stat.mtime,
        "ino": stat.inode_number,
        "nlink": stat.nlink,
        "islink": False,
    }


def _link(destination: str) -> Details:
    return {"islink": True, "destination": destination}
