"""The directories of an extraction: made, entered and finished through open handles.

Each is made in, and opened from, the open directory above it, by one name and never through a
symlink. So nothing that stands in the target, or is put there meanwhile, leads elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from s3archivefs.extraction.attributes import LEFT, Attributes, set_attributes, set_mode
from s3archivefs.extraction.errors import ExtractionError, OutsideDestinationError
from s3archivefs.names import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.extraction.attributes import Xattrs

__all__ = ["Existing", "Folder", "Folders", "check_name", "located"]

Existing: TypeAlias = Literal["error", "keep", "replace"]
"""What happens to what stands in the target under the name of a member."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_ANY = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_CLOEXEC  # without a right to read
_HANDLES_MAX = 128  # directories that are open at a time; a process may often have 1,024
_NO_NAMES = frozenset({b"", b".", b".."})
_IN_PROGRESS = 0o700  # its owner makes what is in it
_SYMLINK_STANDS = "a symlink stands there in the target, and is not followed: replace or remove it"
_WHILE_IN_PROGRESS = 0o755  # the permissions that nobody can abuse meanwhile


class Folder:
    """A directory of the target, which is made when the first member comes."""

    __slots__ = ("above", "attributes", "children", "folded", "is_made", "is_new",
                 "is_unfinished", "name", "pending", "reference")  # fmt: skip

    def __init__(self, above: Folder | None, name: bytes) -> None:
        self.above = above
        self.name = name
        self.attributes = LEFT
        """Those to be set in the end, but the extended ones."""
        self.reference: int | None = None
        """The inode whose extended attributes it is to have: many values would take much memory."""
        self.is_made = False
        """Whether it is known to be there."""
        self.is_new = False
        """Whether it was not there before."""
        self.is_unfinished = False
        """Whether it was there, as an extraction that is interrupted leaves it."""
        self.pending = 0
        """Members still to be made in it, its unfinished directories, and walks."""
        self.children: dict[bytes, Folder] = {}
        self.folded: dict[str, bytes] = {}
        """Names by what a target that ignores case takes them for."""

    @property
    def path(self) -> str:
        """Path below the target."""
        names = []
        here = self
        while here.above is not None:
            names.append(decode(here.name))
            here = here.above
        return "/".join(reversed(names)) or "."

    def path_of(self, name: bytes) -> str:
        """Return the path below the target of what has a name in the directory."""
        return f"{self.path}/{decode(name)}" if self.above else decode(name)


class Folders:
    """The directories of one extraction, some of them open.

    `on_fault` is called with a directory whose attributes cannot be set. `read_xattrs` returns the
    extended attributes of an inode for a directory, and None to leave that unfinished.
    """

    def __init__(
        self,
        target: str,
        existing: Existing,
        on_fault: Callable[[Folder, ExtractionError | OSError], object],
        read_xattrs: Callable[[Folder, int], Xattrs | None],
    ) -> None:
        self._target = target
        self._existing = existing
        self._on_fault = on_fault
        self._read_xattrs = read_xattrs
        self.top = Folder(None, b"")
        """The target itself."""
        try:
            os.makedirs(target)  # noqa: PTH103 -- pathlib takes 10 ms to import
            self.top.is_new = True
        except FileExistsError:  # or no directory, as which it cannot be opened
            pass
        self.top.is_made = True
        self._top_handle = os.open(target, _OPEN)
        self._handles: OrderedDict[Folder, int] = OrderedDict()
        self._latest, self._latest_handle = self.top, self._top_handle
        """The one that was asked for last."""
        self._at_end: list[Folder] = []
        """Those that their owner may not use once they are finished, in that order."""

    def close(self) -> None:
        """Close all that is open."""
        while self._handles:
            os.close(self._handles.popitem()[1])
        os.close(self._top_handle)

    def child(self, above: Folder, name: bytes) -> Folder:
        """Return the directory of a name, which need not be there yet."""
        found = above.children.get(name)
        if found is None:
            check_name(above, name)
            found = above.children[name] = Folder(above, name)
        return found

    def handle(self, folder: Folder) -> int:
        """Return an open handle; make the directory, and those above it, where missing.

        It is open until some others are asked for. Raises OutsideDestinationError where a symlink
        stands in the way, and what the operating system raises.
        """
        if folder is self._latest:  # as most files, which lie beside each other
            return self._latest_handle
        handle = self._kept(folder)
        if handle is None:
            handle = self._opened(folder)
        self._latest, self._latest_handle = folder, handle
        return handle

    def _opened(self, folder: Folder) -> int:
        """Open a directory, and those above it that are not open."""
        self._latest, self._latest_handle = self.top, self._top_handle  # others may be closed
        handle = None
        way = []
        here = folder
        while handle is None:
            way.append(here)
            assert here.above is not None  # noqa: S101 -- the target is always open
            here = here.above
            handle = self._kept(here)
        for each in reversed(way):
            handle = self._entered(each, handle)
            self._handles[each] = handle
            if len(self._handles) > _HANDLES_MAX:
                os.close(self._handles.popitem(last=False)[1])
        return handle

    # ---- in progress and finished ----------------------------------------------------------------

    def begin(self, folder: Folder) -> None:
        """Note that something is to come in the directory."""
        here: Folder | None = folder
        while here is not None:
            here.pending += 1
            if here.pending > 1:
                return
            here = here.above

    def end(self, folder: Folder) -> None:
        """Note that it is there, or will not come; finish what is complete."""
        here: Folder | None = folder
        while here is not None:
            here.pending -= 1
            if here.pending:
                return
            self._finish(here)
            here = here.above

    def finish(self) -> None:
        """Finish the rest: all after an error, and what had to stay usable till now."""
        todo = [self.top]
        unfinished = []
        while todo:
            folder = todo.pop()
            todo += folder.children.values()
            if folder.pending:
                unfinished.append(folder)
        for folder in reversed(unfinished):  # what lies in another comes before it
            folder.pending = 0
            self._finish(folder)
        for folder in self._at_end:  # likewise: those above were finished later
            self._set(folder, Attributes(mode=folder.attributes.mode))
        self._at_end.clear()

    def _finish(self, folder: Folder) -> None:
        """Set the attributes of a directory in which nothing more is made."""
        if not folder.is_made:
            return
        wanted = folder.attributes
        if not folder.is_new and not folder.is_unfinished and self._existing != "replace":
            # To keep what is there is to go on where an extraction was interrupted.
            wanted = Attributes(mtime=wanted.mtime if self._existing == "keep" else None)
        else:
            if folder.reference is not None:
                xattrs = self._read_xattrs(folder, folder.reference)
                if xattrs is None:
                    self._close(folder)
                    return
                wanted = wanted._replace(xattrs=xattrs)
            if wanted.mode is not None and wanted.mode & _IN_PROGRESS != _IN_PROGRESS:
                self._at_end.append(folder)
                wanted = wanted._replace(mode=None)
        if wanted != LEFT:
            self._set(folder, wanted)
        self._close(folder)

    def _set(self, folder: Folder, wanted: Attributes) -> None:
        try:
            handle = self.handle(folder)
            try:
                unset = set_attributes(handle, wanted)
            except OSError as error:
                raise self._located(error, folder) from error
        except (ExtractionError, OSError) as error:
            self._on_fault(folder, error)
        else:
            for why in unset:
                self._on_fault(folder, ExtractionError(folder.path, why))

    # ---- handles ---------------------------------------------------------------------------------

    def _kept(self, folder: Folder) -> int | None:
        if folder is self.top:
            return self._top_handle
        handle = self._handles.get(folder)
        if handle is not None:
            self._handles.move_to_end(folder)
        return handle

    def _close(self, folder: Folder) -> None:
        handle = self._handles.pop(folder, None)
        if handle is not None:
            os.close(handle)
            self._latest, self._latest_handle = self.top, self._top_handle

    def _entered(self, folder: Folder, above: int) -> int:
        """Open a directory from the one above, and make it unless it is there."""
        if not folder.is_made:
            folder.is_new = self._made(folder, above)
        try:
            if not folder.is_new and not folder.is_made:
                self._open_up(folder, above)
            handle = os.open(folder.name, _OPEN | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            raise self._in_the_way(folder, above) or self._located(error, folder) from error
        if folder.is_new and not folder.is_made and folder.attributes.mode is not None:
            os.fchmod(handle, _mode_in_progress(folder))  # whatever the umask is
        if not folder.is_new and not folder.is_made and self._existing == "keep":
            folder.is_unfinished = _is_unfinished(folder, os.fstat(handle))
        folder.is_made = True
        return handle

    def _open_up(self, folder: Folder, above: int) -> None:
        """Let the owner use a directory that was there, as an extraction finished it.

        It gets its mode again at the end, as a new one does.
        """
        mode = folder.attributes.mode
        if self._existing == "error" or mode is None or mode & _IN_PROGRESS == _IN_PROGRESS:
            return
        if not hasattr(os, "O_PATH"):  # as on macOS, where it can be opened by its readers alone
            return
        handle = os.open(folder.name, _OPEN_ANY | os.O_NOFOLLOW, dir_fd=above)
        try:
            there = os.fstat(handle)
            if stat.S_IMODE(there.st_mode) == mode and there.st_uid == os.geteuid():
                set_mode(handle, _mode_in_progress(folder))
        finally:
            os.close(handle)

    def _made(self, folder: Folder, above: int) -> bool:
        """Make a directory; return whether it was not there."""
        mode = _mode_in_progress(folder)
        try:
            os.mkdir(folder.name, mode, dir_fd=above)
        except FileExistsError:
            if self._existing != "replace" or stat.S_ISDIR(_mode(folder.name, above)):
                return False
            os.unlink(folder.name, dir_fd=above)
            os.mkdir(folder.name, mode, dir_fd=above)
        except OSError as error:
            raise self._located(error, folder) from error
        return True

    def _in_the_way(self, folder: Folder, above: int) -> Exception | None:
        """Return the error for what stands where a directory is to be."""
        with suppress(OSError):
            mode = _mode(folder.name, above)
            if stat.S_ISLNK(mode):
                return OutsideDestinationError(folder.path, _SYMLINK_STANDS)
            if not stat.S_ISDIR(mode):
                there = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                return self._located(there, folder)
        return None

    def _located(self, error: OSError, folder: Folder) -> OSError:
        return located(error, self._target if folder is self.top else self.path(folder.path))

    def path(self, below: str) -> str:
        """Return the path of what has a path below the target, for an error."""
        return f"{self._target.rstrip('/')}/{below}"


def check_name(folder: Folder, name: bytes) -> None:
    """Refuse what is no single name within a directory, whoever asks for it."""
    if name in _NO_NAMES or b"/" in name or b"\0" in name:
        raise OutsideDestinationError(folder.path_of(name), "that is no name within the target")


def located(error: OSError, path: str) -> OSError:
    """Return the error of a call by handle, with the path that it concerns.

    One without a number is no system call's, and needs none.
    """
    return error if error.errno is None else OSError(error.errno, error.strerror, path)


def _mode_in_progress(folder: Folder) -> int:
    mode = folder.attributes.mode
    return 0o777 if mode is None else mode & _WHILE_IN_PROGRESS | _IN_PROGRESS


def _is_unfinished(folder: Folder, there: os.stat_result) -> bool:
    """Return whether a directory is as an interrupted extraction leaves it: mode and owner."""
    wanted = folder.attributes
    is_in_progress = stat.S_IMODE(there.st_mode) == _mode_in_progress(folder)
    return wanted.mode is not None and is_in_progress and there.st_uid in {os.geteuid(), wanted.uid}


def _mode(name: bytes, directory: int) -> int:
    return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
