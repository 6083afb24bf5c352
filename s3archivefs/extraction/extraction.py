"""An extraction: what the walk finds, filtered, placed in the target and made.

Directories, symlinks and special files are made as the walk finds them. Regular files follow in the
order of the disk, in which their blocks are read and decoded once.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.errors import SquashfsError
from s3archivefs.extraction.errors import (
    AbsolutePathError,
    ExtractionError,
    NameCollisionError,
    OutsideDestinationError,
    SpecialFileError,
)
from s3archivefs.extraction.filters import Member, names_of, words_of
from s3archivefs.extraction.folders import Folder, Folders, check_name, located
from s3archivefs.extraction.hard_links import HardLinks
from s3archivefs.extraction.making import Maker
from s3archivefs.extraction.progress import Progress
from s3archivefs.extraction.walk import Found, Walk
from s3archivefs.extraction.wanted import WantedAttributes
from s3archivefs.inode import FORMAT_BITS, FileKind
from s3archivefs.names import decode, encode
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator

    from s3archivefs.extraction.attributes import Attributes
    from s3archivefs.extraction.manner import Counts, Manner
    from s3archivefs.extraction.walk import Source
    from s3archivefs.inode import Stat

__all__ = ["Extraction"]

_FILE, _DIRECTORY, _SYMLINK = FileKind.FILE, FileKind.DIRECTORY, FileKind.SYMLINK
_ENDS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)
"""Errors after which other members would fare no better."""
_new = tuple.__new__  # takes half the time of _Placed()


class _Placed(NamedTuple):
    """What is to be made of a member, and where.

    It is all that is kept of a file until its blocks are read: the garbage collector goes through
    tens of thousands of them.
    """

    folder: Folder
    name: bytes
    mode: int | None
    uid: int | None
    gid: int | None
    mtime: int | None
    path: str
    """Path in the image."""
    stat: Stat


class Extraction:
    """One extraction of members of an image into a directory."""

    def __init__(self, image: Source, target: str, manner: Manner, counts: Counts) -> None:
        self._image = image
        self._target = target
        self._manner = manner
        self.counts = counts
        """What is made so far."""
        self._wanted = WantedAttributes(image, manner, self.fault, lambda: self._is_over)
        self._progress = Progress(manner.progress)
        self._unread: Exception | None = None
        """What reading the image raised last, as opposed to writing a member."""
        self._is_over = False
        """Whether an exception ends the extraction: none that follows says more."""

    def run(self, paths: Collection[str]) -> None:
        """Extract paths and what is below them.

        Raises what `SquashFS.extract` does. What is made is whole, whatever is raised.
        """
        existing = self._manner.existing
        with ExitStack() as stack:
            self._folders = Folders(self._target, existing, self._unset, self._wanted.at_end)
            stack.callback(self._folders.close)
            try:
                self._maker = Maker(self._folders, existing)
            except OSError as error:
                raise located(error, self._target) from error
            self._links = HardLinks(self._maker)
            stack.callback(self._maker.close)
            stack.callback(self._folders.finish)
            files = stack.enter_context(closing(self._files(paths)))
            reading = self._image.read_pieces(
                files, workers=self._manner.jobs, is_all=self._is_all(paths)
            )
            contents = stack.enter_context(closing(reading))
            try:
                for placed, pieces in contents:
                    self._make_file(placed, pieces)
            except BaseException:
                self._is_over = True
                raise
        self._progress.end()

    def _is_all(self, paths: Collection[str]) -> bool:
        """Return whether all of the image is made anew, as far as is known."""
        manner = self._manner
        is_root = any(not names_of(path) for path in paths)
        return is_root and manner.selection.is_all and manner.existing != "keep"

    def _files(self, paths: Iterable[str]) -> Generator[tuple[_Placed, Stat], None, None]:
        """Yield the regular files with their places; make all else on the way."""
        walk = Walk(self._image, self._manner, self, self._folders.top)
        with closing(walk.members(paths)) as members:
            for found in members:
                try:
                    placed, linkname = self._placed(found)
                except (SquashfsError, OSError) as error:
                    self.fault(found.member.path, error)
                    continue
                if placed is None:
                    continue
                self._folders.begin(placed.folder)
                if found.stat.kind is _FILE:
                    yield placed, found.stat
                else:
                    self._make_other(placed, linkname)

    # ---- for the walk ----------------------------------------------------------------------------

    def enter(self, found: Found, *, is_asked_for: bool) -> Folder | None:
        """Return the target's directory for one of the image; None leaves it out."""
        member: Member | None
        try:
            member = self._manner.filter(found.member, self._target)
            if member is None:  # it is made where something in it is, like any
                return self._folders.child(found.folder, encode(found.name))
            folder = self._folder_of(found, member)
            self._wanted.note(folder, member, found.stat.reference)
            if is_asked_for:
                self._folders.handle(folder)
                self.counts.directories += folder.is_new
        except (SquashfsError, OSError) as error:
            self.fault(found.member.path, error)
            return None
        return folder

    def enter_root(self, member: Member, reference: int) -> None:
        """Note that the image's root is extracted, as the target itself."""
        top = self._folders.top
        filtered = self._manner.filter(member, self._target)
        if filtered is not None and top.is_new:  # else it is not ours
            self._wanted.note(top, filtered, reference)

    def begin(self, folder: Folder) -> None:
        """Note that the walk is to enter the directory."""
        self._folders.begin(folder)

    def end(self, folder: Folder) -> None:
        """Note that the walk leaves it."""
        self._folders.end(folder)

    def fault(self, path: str, error: SquashfsError | OSError) -> None:
        """Raise an error, or report it and return, to go on."""
        is_end = isinstance(error, OSError) and error.errno in _ENDS
        if self._manner.on_error is None or is_end:
            self._is_over = True
            raise error
        self._manner.on_error(path, error)

    # ---- places ----------------------------------------------------------------------------------

    def _placed(self, found: Found) -> tuple[_Placed | None, str]:
        """Return what is to be made of a member, or None; and its target."""
        given, folder, text, stat = found
        member = self._manner.filter(given, self._target)
        if member is None:
            return None, ""
        if member.name is given.name:
            name = encode(text)
        else:
            *above, name = self._names_of(member)
            folder = self._folder(above)
        check_name(folder, name)
        _, _, mode, uid, gid, mtime, _, linkname, _ = member
        placed = _new(_Placed, (folder, name, mode, uid, gid, mtime, given.path, stat))
        return placed if self._is_free(placed) else None, linkname

    def _folder_of(self, found: Found, member: Member) -> Folder:
        if member.name is found.member.name:
            name = encode(found.name)
            self._check_collision(found.folder, name)
            return self._folders.child(found.folder, name)
        return self._folder(self._names_of(member))

    def _folder(self, names: Iterable[bytes]) -> Folder:
        folder = self._folders.top
        for name in names:
            folder = self._folders.child(folder, name)
        return folder

    @staticmethod
    def _names_of(member: Member) -> list[bytes]:
        """Return the names of a path that a filter gave."""
        names = names_of(member.name)
        if member.name.startswith("/"):
            raise AbsolutePathError(member.name, "the name is absolute")
        if ".." in names or not names:
            raise OutsideDestinationError(member.name, "the name does not lead into the target")
        return [encode(name) for name in names]

    def _is_free(self, placed: _Placed) -> bool:
        """Return whether a member may be made there, as far as can be seen beforehand."""
        folder, stat = placed.folder, placed.stat
        self._check_collision(folder, placed.name)
        existing = self._manner.existing
        if existing == "replace" or folder.is_new or not folder.is_made:
            return True
        if self._maker.identity(placed) is None:
            return True
        if existing == "error":
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self._path(placed))
        self.counts.kept += 1
        if stat.kind is _FILE:
            self._progress.kept(stat.size)
        return False

    def _check_collision(self, folder: Folder, name: bytes) -> None:
        """Refuse a name that the target takes for another member's."""
        if not self._maker.ignores_case:
            return
        from unicodedata import normalize  # noqa: PLC0415 -- a megabyte, for few targets

        folded = normalize("NFD", normalize("NFD", decode(name)).casefold())
        other = folder.folded.setdefault(folded, name)
        if other != name:
            raise NameCollisionError(
                folder.path_of(name),
                f"the target takes the name for that of {printed(folder.path_of(other))}, since it"
                " ignores case; extract one of them elsewhere",
            )

    # ---- making ----------------------------------------------------------------------------------

    def _make_file(self, placed: _Placed, pieces: Iterable[bytes | memoryview]) -> None:
        size = placed.stat.size
        try:
            if not self._linked(placed):
                wanted = self._attributes(placed)
                if not isinstance(pieces, list):
                    pieces = self._reading(pieces)
                self._note_first(placed, self._maker.file(placed, pieces, size, wanted))
            self.counts.files += 1
            self.counts.bytes += size
            self._progress.file(size)
        except (SquashfsError, OSError) as error:
            self._not_made(placed, error)
        finally:
            self._folders.end(placed.folder)

    def _make_other(self, placed: _Placed, linkname: str) -> None:
        stat = placed.stat
        try:
            if not self._linked(placed):
                wanted = self._attributes(placed)
                if stat.kind is _SYMLINK:
                    unset = self._maker.symlink(placed, encode(linkname), wanted)
                elif not self._manner.is_root:
                    what = f"only root may make a {words_of(stat.kind)}"
                    raise SpecialFileError(placed.folder.path_of(placed.name), what)
                else:
                    kind = FORMAT_BITS[stat.kind]
                    unset = self._maker.special(placed, kind, stat.rdev, wanted)
                self._note_first(placed, unset)
            self.counts.others += 1
        except (SquashfsError, OSError) as error:
            self._not_made(placed, error)
        finally:
            self._folders.end(placed.folder)

    def _linked(self, placed: _Placed) -> bool:
        """Make a hard link, if the inode has another name already."""
        self._links.replace(placed)
        stat = placed.stat
        return stat.nlink > 1 and self._links.link(stat.reference, placed)

    def _note_first(self, placed: _Placed, unset: list[str]) -> None:
        """Note what is made first of an inode, and report what could not be set."""
        if placed.stat.nlink > 1:
            self._links.note(placed.stat.reference, placed)
        for why in unset:
            self.fault(placed.path, ExtractionError(placed.folder.path_of(placed.name), why))

    def _not_made(self, placed: _Placed, error: SquashfsError | OSError) -> None:
        if error is not self._unread and isinstance(error, OSError):
            if isinstance(error, FileExistsError) and self._manner.existing == "keep":
                self.counts.kept += 1
                if placed.stat.kind is _FILE:
                    self._progress.file(placed.stat.size)
                return
            error = located(error, self._path(placed))
        self._progress.failed()
        self.fault(placed.path, error)

    def _attributes(self, placed: _Placed) -> Attributes:
        try:
            return self._wanted.of(placed, placed.stat.reference)
        except (SquashfsError, OSError) as error:
            self._unread = error
            raise

    def _reading(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """Yield the pieces of a large file, and remember what reading them raises."""
        try:
            for piece in pieces:
                yield piece
                self._progress.piece(len(piece))
        except (SquashfsError, OSError) as error:
            self._unread = error
            raise

    def _unset(self, folder: Folder, error: ExtractionError | OSError) -> None:
        """Report a directory whose attributes cannot be set."""
        if not self._is_over:
            self.fault(folder.path, error)

    def _path(self, placed: _Placed) -> str:
        """Return the path of a place in the target, for an error."""
        return self._folders.path(placed.folder.path_of(placed.name))
