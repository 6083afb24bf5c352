"""`Path`: a place in an image that is used as `pathlib.Path` is; also an
`importlib.resources.abc.Traversable`.
"""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING, Literal, overload

from s3archivefs.entry import Tree
from s3archivefs.errors import leads_nowhere
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
    """A path and the image it leads through. Making one reads nothing.

    It is used as `pathlib.Path` is, for reading; what writes, and what speaks of a working
    directory or a home, is not there. Pure questions (`name`, `suffix`, `parent`, ...) are answered
    by `pathlib.PurePosixPath`; others raise what the image's methods raise.

    It is no `os.PathLike`: it names no local file, and the functions that take those would open
    another one, or write there. `SquashFS` takes it, and `str` gives its text.
    """

    __slots__ = ()

    # ---- reading ---------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> Stat:
        """Its attributes."""
        return self._image.stat(str(self), follow_symlinks=follow_symlinks)

    def lstat(self) -> Stat:
        """Its attributes, those of a symlink itself."""
        return self.stat(follow_symlinks=False)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it leads to something."""
        return self._kind(follow_symlinks=follow_symlinks) is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it leads to a directory."""
        return self._kind(follow_symlinks=follow_symlinks) is FileKind.DIRECTORY

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it leads to a regular file."""
        return self._kind(follow_symlinks=follow_symlinks) is FileKind.FILE

    def is_symlink(self) -> bool:
        """Whether it is a symlink itself."""
        return self._kind(follow_symlinks=False) is FileKind.SYMLINK

    def is_block_device(self) -> bool:
        """Whether it leads to a block device."""
        return self._kind() is FileKind.BLOCK_DEVICE

    def is_char_device(self) -> bool:
        """Whether it leads to a character device."""
        return self._kind() is FileKind.CHAR_DEVICE

    def is_fifo(self) -> bool:
        """Whether it leads to a fifo."""
        return self._kind() is FileKind.FIFO

    def is_socket(self) -> bool:
        """Whether it leads to a socket."""
        return self._kind() is FileKind.SOCKET

    def is_mount(self) -> bool:
        """Whether it is the image's root, as a mounted image's is."""
        return not self.is_symlink() and self.exists() and self.samefile("/")

    def samefile(self, other: Path | StrPath) -> bool:
        """Whether it leads to the inode that another path leads to, as a hard link does.

        Raises what `stat` raises, of either.
        """
        theirs = other if isinstance(other, Path) else Path(self._image, other)
        same = self.stat().reference == theirs.stat().reference
        return same and self._image is theirs._image  # noqa: SLF001 -- of this class

    def owner(self, *, follow_symlinks: bool = True) -> str:
        """The name that its user id has on this machine: an image holds numbers alone.

        Raises KeyError where the id has none.
        """
        return pwd.getpwuid(self.stat(follow_symlinks=follow_symlinks).uid).pw_name

    def group(self, *, follow_symlinks: bool = True) -> str:
        """The name that its group id has on this machine, as `owner`.

        Raises KeyError where the id has none.
        """
        return grp.getgrgid(self.stat(follow_symlinks=follow_symlinks).gid).gr_name

    def readlink(self) -> str:
        """A symlink's target, as it is stored."""
        return self._image.readlink(str(self))

    def resolve(self, strict: bool = False) -> Path:  # noqa: FBT001, FBT002 -- as pathlib's
        """The path without symlinks and `..`. What is missing, and what stands behind a loop, stays
        as it is.

        Raises FileNotFoundError, NotADirectoryError or OSError (ELOOP) there, if `strict`.
        """
        return Path(self._image, self._image.realpath(str(self), strict=strict))

    def glob(self, pattern: str) -> Iterator[Path]:
        """The paths below that match a pattern, each once, as `pathlib.Path.glob` of the Python
        that runs, but depth first in byte order. `**` goes into no symlink.

        Goes through each directory once, whatever the pattern, and takes some 200 bytes of memory
        for each. Raises ValueError or NotImplementedError for what is no pattern,
        CorruptImageError where a directory is in the tree twice, LimitExceededError past
        Limits.walk_depth.
        """
        found = glob(self._image, str(self), as_plain(pattern), at_any_depth=False)
        return (Path(self._image, path) for path in found)

    def rglob(self, pattern: str) -> Iterator[Path]:
        """The paths at any depth that match a pattern: `glob` of it behind `**/`."""
        found = glob(self._image, str(self), as_plain(pattern), at_any_depth=True)
        return (Path(self._image, path) for path in found)

    def iterdir(self) -> Iterator[Path]:
        """What is in the directory, in byte order of the names, read as it is asked for."""
        entries = self._image.scandir(str(self))
        return (self / entry.name for entry in entries)

    def walk(self) -> Iterator[tuple[Path, list[str], list[str]]]:
        """This directory and those below, each with the names of its directories and of all else,
        as `pathlib.Path.walk`; symlinks are not followed, and are among the others.

        Raises what `SquashFS.walk` raises.
        """
        for top, directories, others in self._image.walk(str(self), symlinks_as_files=True):
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
        """A regular file, opened for reading: text (`r`, UTF-8 unless said) or bytes (`rb`).

        Raises what `SquashFS.open` raises.
        """
        return self._image.open(str(self), mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """The whole content, at most Limits.read_all_bytes."""
        return self._image.read_bytes(str(self))

    def read_text(
        self, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> str:
        """The whole content as text, UTF-8 unless said, line ends as newlines unless said."""
        with self.open(encoding=encoding, errors=errors, newline=newline) as file:
            return file.read()

    def _kind(self, *, follow_symlinks: bool = True) -> FileKind | None:
        try:
            return self.stat(follow_symlinks=follow_symlinks).kind
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return None
