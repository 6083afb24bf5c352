"""What a source of members hands to the writer, one member at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from s3archivefs.errors import PackingError
from s3archivefs.format import NAME_MAX
from s3archivefs.inode import FileKind
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable
__all__ = ["Content", "Entry", "HardLink", "Member", "UnfitError", "components", "is_name"]


class UnfitError(Exception):
    """What no image can hold; the message says why. The writer adds whose it is."""


class Content(Protocol):
    """The content of a file, read from its start, as a binary file is."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes; none at the end."""

    def close(self) -> None:
        """Release what it holds."""


class Entry(NamedTuple):
    """A member of the image to be."""

    path: bytes
    """Names joined by `/`, without one at either end; empty for the root."""
    kind: FileKind = FileKind.FILE
    mode: int = 0o644
    """Permission bits; others are ignored."""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    """Seconds since the epoch. The format holds 0 to 2**32 - 1; others become the nearer end."""
    open: Callable[[], Content] | None = None
    """Opens the content of a regular file; without it, the file is empty."""
    size: int | None = None
    """Bytes of content where they are known: content of another length is an error."""
    reopens: bool = False
    """Whether `open` may be called again, for the same content."""
    target: bytes = b""
    """The target of a symlink."""
    rdev: int = 0
    """The number of a device, in Linux's encoding of 32 bits."""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    """Names, with their prefix, and values."""
    is_at_hand: bool = False
    """Whether what reopens is read again without a request, and without decoding."""


class HardLink(NamedTuple):
    """One more name for a member that came before, and is no directory."""

    path: bytes
    """As that of an Entry."""
    existing: bytes
    """The path of the member."""


Member: TypeAlias = Entry | HardLink


def components(path: bytes) -> list[bytes]:
    """Return the names of a path, none for the root.

    Raises PackingError for names that no file system could show: empty, `.`, `..`, with a NUL, or
    of more than 256 bytes.
    """
    if not path:
        return []
    names = path.split(b"/")
    for name in names:
        if not is_name(name):
            raise PackingError(f"{printed(path)}: {_fault(name)}; rename it, or leave it out")
    return names


def is_name(name: bytes) -> bool:
    """Return whether a member can have that name."""
    return name not in {b"", b".", b".."} and b"\0" not in name and len(name) <= NAME_MAX


def _fault(name: bytes) -> str:
    if len(name) > NAME_MAX:
        return f"a name of {len(name)} bytes, where squashfs holds {NAME_MAX}"
    return f"a path with {name!r} in it cannot be a member's"
