"""`Path`: a path in an image, with the reading methods of `pathlib.Path`.

It is an `importlib.resources.abc.Traversable` too.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, overload

from s3archivefs.entry import Tree
from s3archivefs.errors import UnsupportedError, leads_nowhere
from s3archivefs.globbing import glob
from s3archivefs.inode import FileKind
from s3archivefs.names import as_plain
from s3archivefs.pure_path import PurePath

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from s3archivefs.file import SquashFile
    from s3archivefs.inode import Stat
    from s3archivefs.names import StrPath

__all__ = ["Path"]


class Path(PurePath[Tree]):
    """A path in an image, used like `pathlib.Path`; making one reads nothing.

    It has the methods that read, and none that write or concern a working directory or a home. The
    pure ones (`name`, `suffix`, `parent`, ...) are those of `pathlib.PurePosixPath`; the others
    raise what the image's methods raise.

    It is no `os.PathLike`: it names no local file, and a function that takes those would open, or
    overwrite, another one. The methods of `SquashFS` accept it, and `str` returns its text.
    """

    __slots__ = ()

    # ---- reading ---------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> Stat:
        """Return the attributes of what the path leads to."""
        return self._image.stat(str(self), follow_symlinks=follow_symlinks)

    def lstat(self) -> Stat:
        """Return the attributes of the path itself: symlinks at its end are not followed."""
        return self.stat(follow_symlinks=False)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the path leads to something."""
        return self._kind(follow_symlinks=follow_symlinks) is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the path leads to a directory."""
        return self._kind(follow_symlinks=follow_symlinks) is FileKind.DIRECTORY

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the path leads to a regular file."""
        return self._kind(follow_symlinks=follow_symlinks) is FileKind.FILE

    def is_symlink(self) -> bool:
        """Return whether the path is a symlink."""
        return self._kind(follow_symlinks=False) is FileKind.SYMLINK

    def is_block_device(self) -> bool:
        """Return whether the path leads to a block device."""
        return self._kind() is FileKind.BLOCK_DEVICE

    def is_char_device(self) -> bool:
        """Return whether the path leads to a character device."""
        return self._kind() is FileKind.CHAR_DEVICE

    def is_fifo(self) -> bool:
        """Return whether the path leads to a fifo."""
        return self._kind() is FileKind.FIFO

    def is_socket(self) -> bool:
        """Return whether the path leads to a socket."""
        return self._kind() is FileKind.SOCKET

    def is_mount(self) -> bool:
        """Return whether the path is the image's root: where it would be mounted."""
        return not self.is_symlink() and self.exists() and self.samefile("/")

    def samefile(self, other: Path | StrPath) -> bool:
        """Return whether two paths lead to the same inode, as hard links do.

        Raises what `stat` raises for either.
        """
        theirs = other if isinstance(other, Path) else Path(self._image, other)
        same = self.stat().reference == theirs.stat().reference
        return same and self._image is theirs._image  # noqa: SLF001 -- of this class

    def owner(self, *, follow_symlinks: bool = True) -> str:
        """Return the name of the file's owner on this machine: an image holds only ids.

        Raises KeyError where this machine has no name for the user id; on Windows
        UnsupportedError, as there is none for any.
        """
        if sys.platform == "win32":
            raise UnsupportedError("Windows has no names for the ids of an image")
        import pwd  # noqa: PLC0415 -- Windows has no such module

        return pwd.getpwuid(self.stat(follow_symlinks=follow_symlinks).uid).pw_name

    def group(self, *, follow_symlinks: bool = True) -> str:
        """Return the name of the file's group on this machine: an image holds only ids.

        Raises KeyError where this machine has no name for the group id; on Windows
        UnsupportedError, as there is none for any.
        """
        if sys.platform == "win32":
            raise UnsupportedError("Windows has no names for the ids of an image")
        import grp  # noqa: PLC0415 -- likewise

        return grp.getgrgid(self.stat(follow_symlinks=follow_symlinks).gid).gr_name

    def readlink(self) -> str:
        """Return a symlink's target, as it is stored."""
        return self._image.readlink(str(self))

    def resolve(self, strict: bool = False) -> Path:  # noqa: FBT001, FBT002 -- as pathlib's
        """Return the path without symlinks and `..`.

        Names that are missing, or behind a loop of symlinks, stay unchanged; if `strict`, they
        raise FileNotFoundError, NotADirectoryError or OSError (ELOOP).
        """
        return Path(self._image, self._image.realpath(str(self), strict=strict))

    def glob(self, pattern: str) -> Iterator[Path]:
        """Return the paths below that match a pattern, depth first in byte order.

        Patterns are those of `pathlib.Path.glob` in the running Python; `**` follows no symlink.
        Each path comes once. Each directory is listed once, whatever the pattern, and takes some
        200 bytes of memory. Raises ValueError or NotImplementedError for what is no pattern,
        CorruptImageError where a directory is in the tree twice, LimitExceededError past
        Limits.walk_depth.
        """
        found = glob(self._image, str(self), as_plain(pattern), at_any_depth=False)
        return (Path(self._image, path) for path in found)

    def rglob(self, pattern: str) -> Iterator[Path]:
        """Return the paths at any depth that match, as `glob` of `**/` and the pattern."""
        found = glob(self._image, str(self), as_plain(pattern), at_any_depth=True)
        return (Path(self._image, path) for path in found)

    def iterdir(self) -> Iterator[Path]:
        """Return the paths in the directory, in byte order, reading as they are consumed."""
        entries = self._image.scandir(str(self))
        return (self / entry.name for entry in entries)

    def walk(
        self,
        top_down: bool = True,  # noqa: FBT001, FBT002 -- as pathlib's
    ) -> Iterator[tuple[Path, list[str], list[str]]]:
        """Yield this directory and those below, as `pathlib.Path.walk`.

        Each comes with the names of its directories, and the names of all else, symlinks included.
        Symlinks are not followed. If not `top_down`, each comes behind all below it. Raises what
        `SquashFS.walk` raises.
        """
        steps = self._image.walk(str(self), symlinks_as_files=True, topdown=top_down)
        for top, directories, others in steps:
            yield Path(self._image, top), directories, others

    @overload
    def open(self, mode: Literal["rb", "br"], buffering: int = -1) -> SquashFile: ...
    @overload
    def open(
        self,
        mode: Literal["r", "rt", "tr"] = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    @overload
    def open(
        self,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> SquashFile | io.TextIOWrapper: ...
    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> SquashFile | io.TextIOWrapper:
        """Open a regular file for reading text (`r`) or bytes (`rb`).

        Text is UTF-8, unless `encoding` says otherwise. Raises what `SquashFS.open` raises.
        """
        return self._image.open(str(self), mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Return the whole content of a file, at most Limits.read_all_bytes."""
        return self._image.read_bytes(str(self))

    def read_text(
        self, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> str:
        """Return the whole content of a file as text.

        It is UTF-8, unless `encoding` says otherwise; line ends become newlines, unless `newline`
        says otherwise.
        """
        with self.open(encoding=encoding, errors=errors, newline=newline) as file:
            return file.read()

    def _kind(self, *, follow_symlinks: bool = True) -> FileKind | None:
        try:
            return self.stat(follow_symlinks=follow_symlinks).kind
        except UnicodeEncodeError:  # of a lone surrogate, which no name holds
            return None
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return None
