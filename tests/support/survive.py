"""What must hold of every image, sound or not: one function for tests, properties and fuzzing."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import s3archivefs
from s3archivefs import FileKind, Limits, SquashfsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import SquashFS, Stat

T = TypeVar("T")

NODES = 2000
"""Entries that are looked at; more than any image has that is meant to be surveyed whole."""
WHOLE = 1 << 20
"""Bytes of content up to which a file is read whole."""
EDGE = 100
"""Bytes read at the start, in the middle and at the end of a file."""

_PATH_ERRORS = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.EINVAL, errno.ENXIO, errno.ENODATA),  # readlink of no link, open of a device, getxattr
}


@dataclass(slots=True)
class Survey:
    """What an image let itself be asked."""

    contents: dict[bytes, bytes] = field(default_factory=dict)
    """Of files of up to WHOLE bytes, by path."""
    errors: list[SquashfsError | OSError] = field(default_factory=list)
    calls: int = 0
    reads: int = 0
    total: int = 0
    """Bytes read from the device."""


class MeteredDevice:
    """An image in memory whose reads are counted, and stopped where one call makes too many."""

    def __init__(self, image: bytes, survey: Survey) -> None:
        self._image = image
        self._survey = survey
        self.size = len(image)
        self._reads_left = 0
        self._bytes_left = 0

    def begin(self, content: int = 0) -> None:
        """A call begins that may return so many bytes of content.

        Metadata that is read decodes to no less than 8 KiB a block, but for the last of a table,
        and no codec makes that of less than some 16 bytes. A block is read with what may follow it.
        """
        self._reads_left = 64 + self.size // 16
        self._bytes_left = (1 << 20) + 64 * self.size + content

    def pread(self, offset: int, length: int) -> bytes:
        assert offset >= 0, "a read before the start"
        assert 0 <= length <= self.size - offset, "a read past the end"
        self._survey.reads += 1
        self._survey.total += length
        self._reads_left -= 1
        self._bytes_left -= length
        assert self._reads_left >= 0, "one call makes too many reads"
        assert self._bytes_left >= 0, "one call reads too many bytes"
        return self._image[offset : offset + length]


def survive(image: bytes, limits: Limits | None = None) -> Survey:
    """Ask an image everything. It may answer, or refuse with a documented error.

    AssertionError where two answers contradict each other, or one costs too much; any other
    exception is one that no caller was told of.
    """
    survey = Survey()
    device = MeteredDevice(image, survey)
    device.begin()
    try:
        fs = s3archivefs.open(device, limits=limits)
    except SquashfsError as error:
        survey.errors.append(error.with_traceback(None))
        return survey
    with fs:
        _Surveyor(fs, device, survey).survey_all()
    return survey


class _Surveyor:
    def __init__(self, fs: SquashFS, device: MeteredDevice, survey: Survey) -> None:
        self._fs = fs
        self._device = device
        self._survey = survey
        self._largest = 0

    def survey_all(self) -> None:
        fs = self._fs
        self._ask(lambda: fs.compressor_options)
        root = self._ask(lambda: fs.stat("/"))
        if root is not None:
            assert root.kind is FileKind.DIRECTORY
            self._survey_directories(root)
        self._ask(lambda: list(islice(fs.walk("/"), 100)), content=1 << 20)
        if self._largest <= WHOLE:
            self._ask(lambda: list(islice(fs.verify(), 100)), content=1 << 30)

    def _survey_directories(self, root: Stat) -> None:
        seen = {root.reference}
        todo, left = [b"/"], NODES
        while todo and left > 0:
            path = todo.pop(0)
            entries = self._ask(partial(self._entries, path))
            for entry in (entries or [])[:left]:
                left -= 1
                stat = self._survey_path(entry.path, entry)
                if stat and stat.kind is FileKind.DIRECTORY and stat.reference not in seen:
                    seen.add(stat.reference)
                    todo.append(entry.path)

    def _survey_path(self, path: bytes, entry: s3archivefs.DirEntry[bytes]) -> Stat | None:
        """A path that a listing names: a look-up finds what the listing says."""
        fs = self._fs
        said = self._ask(lambda: entry.stat(follow_symlinks=False))
        found = self._ask(lambda: fs.stat(path, follow_symlinks=False))
        if found is None:
            return None
        assert said == found, f"{path!r}: the listing says {said}, a look-up {found}"
        assert found.kind is entry.kind
        assert found.inode_number == entry.inode_number
        self._largest = max(self._largest, found.size)
        self._ask(lambda: fs.exists(path))
        self._ask(lambda: fs.stat_inode(found.inode_number))
        names = self._ask(lambda: fs.listxattr(path, follow_symlinks=False))
        for name in (names or [])[:20]:
            self._ask(partial(fs.getxattr, path, name, follow_symlinks=False))
        if found.kind is FileKind.SYMLINK:
            target = self._ask(lambda: fs.readlink(path))
            assert target is None or len(target) == found.size
            self._ask(lambda: fs.stat(path))
        if found.kind is FileKind.FILE:
            self._survey_content(path, found.size)
        return found

    def _survey_content(self, path: bytes, size: int) -> None:
        """Reads of a file: each returns all there is, and parts equal the whole."""
        whole = None
        if size <= WHOLE:
            whole = self._ask(lambda: self._fs.read_bytes(path), content=size)
            assert whole is None or len(whole) == size, f"{path!r}: {len(whole or b'')} of {size}"
        for start in {0, size // 2, max(0, size - EDGE)}:
            part = self._ask(partial(self._part, path, start), content=4 << 20)
            assert part is None or len(part) == min(EDGE, size - start)
            assert whole is None or part == whole[start : start + EDGE], f"{path!r} from {start}"
        if whole is not None:
            self._survey.contents[path] = whole
            assert self._ask(lambda: self._in_steps(path), content=4 * size) == whole

    def _entries(self, path: bytes) -> list[s3archivefs.DirEntry[bytes]]:
        return list(islice(self._fs.scandir(path), NODES))

    def _part(self, path: bytes, start: int) -> bytes:
        with self._fs.open(path) as file:
            file.seek(start)
            return file.read(EDGE)

    def _in_steps(self, path: bytes) -> bytes:
        with self._fs.open(path) as file:
            return b"".join(iter(lambda: file.read(5000), b""))

    def _ask(self, call: Callable[[], T], *, content: int = 0) -> T | None:
        """The answer of one call, or None where it is a documented error."""
        self._survey.calls += 1
        self._device.begin(content)
        try:
            return call()
        except SquashfsError as error:
            self._survey.errors.append(error.with_traceback(None))
        except OSError as error:
            if error.errno not in _PATH_ERRORS:
                raise
            self._survey.errors.append(error.with_traceback(None))
        return None
