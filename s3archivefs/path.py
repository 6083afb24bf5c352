"""`Path`: a place in an image that is used as `pathlib.Path` is; also an
`importlib.resources.abc.Traversable`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol, overload

from s3archivefs.errors import leads_nowhere
from s3archivefs.inode import FileKind
from s3archivefs.names import as_plain

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from s3archivefs.entry import DirEntry
    from s3archivefs.file import SquashFile
    from s3archivefs.inode import Stat
    from s3archivefs.names import StrPath

__all__ = ["Path"]


class Tree(Protocol):
    """What a path asks of its image; `SquashFS` is one."""

    def stat(self, path: str, *, follow_symlinks: bool = True) -> Stat:
        """The attributes of a path."""

    def scandir(self, path: str) -> Iterator[DirEntry[str]]:
        """The entries of a directory."""

    def walk(
        self, top: str, *, symlinks_as_files: bool
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """The directories from `top` down."""

    def open(  # noqa: PLR0917 -- as the built-in open
        self,
        path: str,
        mode: str,
        buffering: int,
        encoding: str | None,
        errors: str | None,
        newline: str | None,
    ) -> SquashFile | io.TextIOWrapper:
        """A regular file."""

    def read_bytes(self, path: str) -> bytes:
        """A file's content."""

    def readlink(self, path: str) -> str:
        """A symlink's target."""


class Path:
    """A path and the image it leads through. Making one reads nothing.

    Pure questions (`name`, `suffix`, `parent`, ...) are answered by `pathlib.PurePosixPath`; others
    raise what the image's methods raise.
    """

    __slots__ = ("_image", "_pure")

    def __init__(self, image: Tree, path: StrPath = "/") -> None:
        self._image = image
        self._pure = PurePosixPath("/", as_plain(path))

    # ---- without reading -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The last part; empty for the root."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The name's last suffix, its dot included."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes of the name."""
        return self._pure.suffixes

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts, beginning with `/`."""
        return self._pure.parts

    @property
    def parent(self) -> Path:
        """The directory above; the root is its own."""
        return Path(self._image, self._pure.parent)

    @property
    def parents(self) -> tuple[Path, ...]:
        """The directories above, the nearest first."""
        return tuple(Path(self._image, parent) for parent in self._pure.parents)

    def joinpath(self, *descendants: StrPath) -> Path:
        """The path below this one; an absolute one starts at the root again."""
        return Path(self._image, self._pure.joinpath(*map(as_plain, descendants)))

    def __truediv__(self, descendant: StrPath) -> Path:
        return self.joinpath(descendant)

    def with_name(self, name: str) -> Path:
        """The path with another last part."""
        return Path(self._image, self._pure.with_name(name))

    def with_suffix(self, suffix: str) -> Path:
        """The path with another last suffix."""
        return Path(self._image, self._pure.with_suffix(suffix))

    def relative_to(self, other: Path) -> PurePosixPath:
        """The way here from a path above.

        Raises ValueError where `other` is not above.
        """
        return self._pure.relative_to(other._pure)

    def is_relative_to(self, other: Path) -> bool:
        """Whether `other` is this path, or above it."""
        return self._pure.is_relative_to(other._pure)

    def match(self, pattern: str) -> bool:
        """Whether the path matches a glob pattern, from the right."""
        return self._pure.match(pattern)

    def __str__(self) -> str:
        return str(self._pure)

    def as_posix(self) -> str:
        """The path as text, which `SquashFS` takes too."""
        return str(self._pure)

    def __repr__(self) -> str:
        return f"Path({str(self._pure)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Path):
            return NotImplemented
        return self._image is other._image and self._pure == other._pure

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Path):
            return NotImplemented
        return self._pure < other._pure

    def __hash__(self) -> int:
        return hash((id(self._image), self._pure))

    def __reduce__(self) -> tuple[object, ...]:
        """Opened anew in another process with its image."""
        return Path, (self._image, str(self._pure))

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

    def is_dir(self) -> bool:
        """Whether it leads to a directory."""
        return self._kind() is FileKind.DIRECTORY

    def is_file(self) -> bool:
        """Whether it leads to a regular file."""
        return self._kind() is FileKind.FILE

    def is_symlink(self) -> bool:
        """Whether it is a symlink itself."""
        return self._kind(follow_symlinks=False) is FileKind.SYMLINK

    def readlink(self) -> str:
        """A symlink's target, as it is stored."""
        return self._image.readlink(str(self))

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
