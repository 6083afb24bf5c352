"""What must hold of every image, sound or not: one function for tests, properties and fuzzing."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import s3archivefs
from s3archivefs import FileKind, Limits, SquashfsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import DirEntry, SquashFS, Stat

T = TypeVar("T")

NODES = 500
"""Entries that are looked at; more than any image has that is meant to be surveyed whole."""
WHOLE = 1 << 20
"""Bytes of content up to which a file is read whole."""
CONTENT = 8 << 20
"""Bytes of content that are read whole of one image: its files may share one block."""
EDGE = 100
"""Bytes read at the start, in the middle and at the end of a file."""

_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})  # where a symlink may lead


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

        Metadata is kept once it is decoded, so a call reads each block of it once, with up to 8 KiB
        that may follow; no codec makes 8 KiB of less than 8 bytes. References may lead into the
        midst of blocks, some for each of the names on a path. Of content, a run of blocks is read
        at once, and none is smaller than 4 KiB; a part of a block costs the whole.
        """
        blocks = 64 + self.size // 8
        self._reads_left = blocks + content // 4096
        self._bytes_left = blocks * min(self.size, 8194) + content + (2 << 20)

    def pread(self, offset: int, length: int) -> bytes:
        assert offset >= 0, "a read before the start"
        assert 0 < length <= self.size - offset, "a read past the end, or of nothing"
        self._survey.reads += 1
        self._survey.total += length
        self._reads_left -= 1
        self._bytes_left -= length
        assert self._reads_left >= 0, "one call makes too many reads"
        assert self._bytes_left >= 0, "one call reads too many bytes"
        return self._image[offset : offset + length]


def survive(image: bytes, limits: Limits | None = None) -> Survey:
    """Ask an image everything. It may answer, or refuse with a documented error.

    AssertionError where an error is none of those that SECURITY.md promises, two answers contradict
    each other, or one costs too much. Memory and time are the caller's to bound.
    """
    survey = Survey()
    device = MeteredDevice(image, survey)
    surveyor = _Surveyor(device, survey)
    known = surveyor.ask("is_squashfs", lambda: s3archivefs.is_squashfs(device))
    fs = surveyor.ask("open", lambda: s3archivefs.open(device, limits=limits))
    survey.calls = 0  # so far the image was asked nothing
    if fs is not None:
        assert known, "open takes what is_squashfs denies"
        with fs:
            surveyor.survey(fs)
    return survey


class _Surveyor:
    def __init__(self, device: MeteredDevice, survey: Survey) -> None:
        self._device = device
        self._survey = survey
        self._seen: dict[int, Stat] = {}
        self._content = 0
        self._stats: dict[bytes, Stat] | None = None
        """The attributes in the directory looked at, as `scandir_stats` says; None if it fails."""

    def survey(self, fs: SquashFS) -> None:
        self._fs = fs
        self.ask("compressor_options", lambda: fs.compressor_options)
        root = self.ask("stat of the root", lambda: fs.stat("/"))
        if root is not None:
            assert root.kind is FileKind.DIRECTORY
            nodes = self._survey_tree(root)
            self.ask("walk", lambda: list(islice(fs.walk("/"), NODES)))
            if nodes < NODES and self._size_of_files() <= CONTENT:
                problems = self.ask("verify", lambda: list(fs.verify()), content=CONTENT)
                assert problems or not self._damaged(), "verify says nothing of an error"
                self._survey_bulk()

    def _size_of_files(self) -> int:
        return sum(stat.size for stat in self._seen.values() if stat.kind is FileKind.FILE)

    def _damaged(self) -> bool:
        return any(isinstance(error, s3archivefs.FormatError) for error in self._survey.errors)

    def _survey_tree(self, root: Stat) -> int:
        """Look at every path; how many there are."""
        self._seen[root.reference] = root
        todo, nodes = [b"/"], 0
        self._survey_inode(b"/", root)
        while todo and nodes < NODES:
            path = todo.pop()
            for entry in self._entries(path)[: NODES - nodes]:
                nodes += 1
                stat = self._survey_entry(entry)
                if stat is None:
                    continue
                if stat.kind is FileKind.FILE:
                    self._survey_content(entry.path, stat.size)
                if stat.reference in self._seen:
                    continue  # a hard link
                self._seen[stat.reference] = stat
                self._survey_inode(entry.path, stat)
                if stat.kind is FileKind.DIRECTORY:
                    todo.append(entry.path)
        return nodes

    def _entries(self, path: bytes) -> list[DirEntry[bytes]]:
        """A directory's entries, as far as they can be read; the same however asked for."""
        fs = self._fs
        entries: list[DirEntry[bytes]] = []

        def collect() -> bool:
            entries.extend(islice(fs.scandir(path), NODES))  # keeps those before an error
            return True

        whole = self.ask(f"scandir of {path!r}", collect)
        names = [entry.name for entry in entries]
        assert names == sorted(set(names)), f"{path!r} is listed as {names}"
        self._stats = None
        if whole and len(names) < NODES:
            listed = self.ask(f"listdir of {path!r}", lambda: fs.listdir(path))
            assert listed in (None, names), f"{path!r} is listed as {names} and as {listed}"
            pairs = self.ask(f"attributes in {path!r}", lambda: list(fs.scandir_stats(path)))
            assert pairs is None or [name for name, _ in pairs] == names, f"{path!r} has {pairs}"
            self._stats = None if pairs is None else dict(pairs)
        if names:
            half = names[len(names) // 2 :]
            rest = self.ask(
                f"scandir of {path!r} from the middle", partial(self._from, path, half[0])
            )
            assert rest is None or rest[: len(half)] == half, (
                f"{path!r} is listed as {names}; from the middle, as {rest}"
            )
        return entries

    def _from(self, path: bytes, start: bytes) -> list[bytes]:
        return [entry.name for entry in islice(self._fs.scandir(path, start=start), NODES)]

    def _survey_entry(self, entry: DirEntry[bytes]) -> Stat | None:
        """What a listing names: a look-up finds what the listing says."""
        fs, path = self._fs, entry.path
        said = self.ask(f"stat of entry {path!r}", lambda: entry.stat(follow_symlinks=False))
        found = self.ask(f"stat of {path!r}", lambda: fs.stat(path, follow_symlinks=False))
        if said is None or found is None:
            return None
        assert said == found, f"{path!r}: the listing says {said}, a look-up {found}"
        together = said if self._stats is None else self._stats[entry.name]
        assert together == said, f"{path!r}: {together} together, {said} by itself"
        assert found.kind is entry.kind, f"{path!r} is listed as {entry.kind}, and is {found.kind}"
        assert found.inode_number == entry.inode_number
        name = os.fsdecode(path)
        exists = self.ask(f"exists {name!r}", lambda: fs.exists(name))
        assert exists is not False or found.kind is FileKind.SYMLINK, f"{name!r} does not exist"
        return found

    def _survey_inode(self, path: bytes, stat: Stat) -> None:
        fs = self._fs
        again = self.ask("stat_inode", lambda: fs.stat_inode(stat.inode_number))
        if again is not None and again != stat:  # of two inodes with one number it has the other
            assert again.inode_number == stat.inode_number, f"inode {again} for {stat}"
            assert again.reference != stat.reference, f"inode {again} for {stat}"
        names = self.ask(
            f"listxattr of {path!r}", lambda: fs.listxattr(path, follow_symlinks=False)
        )
        pairs = self.ask(f"xattrs of {path!r}", lambda: fs.xattr_pairs_of_node(stat.reference))
        assert pairs is None or [*map(os.fsdecode, pairs)] == names, f"xattrs of {path!r}"
        for name in (names or [])[:20]:
            value = self.ask(
                f"getxattr of {path!r} {name!r}",
                partial(fs.getxattr, path, name, follow_symlinks=False),
            )
            assert pairs is None or pairs[os.fsencode(name)] == value, f"{name!r} of {path!r}"
        if stat.kind is FileKind.SYMLINK:
            target = self.ask(f"readlink of {path!r}", lambda: fs.readlink(path))
            assert target is None or len(target) == stat.size, f"{path!r} has target {target!r}"
            self.ask(f"stat through {path!r}", lambda: fs.stat(path), allowed=_NOWHERE)

    def _survey_content(self, path: bytes, size: int) -> None:
        """Reads of a file: each returns all there is, and parts equal the whole."""
        whole = None
        if size <= WHOLE and self._content + size <= CONTENT:
            self._content += size
            whole = self.ask(f"{path!r}", lambda: self._fs.read_bytes(path), content=size)
            assert whole is None or len(whole) == size, f"{path!r}: {len(whole or b'')} of {size}"
        for start in {0, size // 2, max(0, size - EDGE)}:
            part = self.ask(
                f"{path!r} from {start}", partial(self._part, path, start), content=EDGE
            )
            assert part is None or len(part) == min(EDGE, size - start)
            assert whole is None or part == whole[start : start + EDGE], f"{path!r} from {start}"
        if whole is not None:
            self._survey.contents[path] = whole
            steps = self.ask(f"{path!r} in steps", lambda: self._in_steps(path), content=4 * size)
            assert steps == whole, f"{path!r} in steps"

    def _survey_bulk(self) -> None:
        """Many files read at once: each as it reads alone."""
        alone = self._survey.contents
        many = self.ask("read_many", lambda: dict(self._fs.read_many(alone)), content=CONTENT)
        assert many is None or many == alone, "read_many reads other bytes"
        walked: dict[bytes, bytes] = {}
        faulty: list[bytes] = []

        def walk() -> None:
            files = self._fs.walk_files(b"/", on_error=lambda path, _: faulty.append(path))
            for path, stat, file in files:
                assert stat.kind is FileKind.FILE
                if path in alone:
                    walked[path] = file.read()

        self.ask("walk_files", walk, content=2 * CONTENT)
        assert walked == alone or (faulty and walked.items() <= alone.items()), "walk_files differs"
        assert not {*faulty} & {*alone}, "walk_files cannot read what reads alone"

    def _part(self, path: bytes, start: int) -> bytes:
        with self._fs.open(path) as file:
            file.seek(start)
            return file.read(EDGE)

    def _in_steps(self, path: bytes) -> bytes:
        with self._fs.open(path) as file:
            return b"".join(iter(lambda: file.read(5000), b""))

    def ask(
        self,
        what: str,
        call: Callable[[], T],
        *,
        content: int = 0,
        allowed: frozenset[int] = frozenset(),
    ) -> T | None:
        """The answer of one call, or None where it is a documented error.

        `allowed`: the numbers of the OSErrors that the call may raise.
        """
        self._survey.calls += 1
        self._device.begin(content)
        try:
            return call()
        except (AssertionError, MemoryError) as error:
            error.add_note(what)
            raise
        except SquashfsError as error:
            self._survey.errors.append(error.with_traceback(None))
        except OSError as error:
            if error.errno not in allowed:
                raise AssertionError(f"{what}: {error!r}") from error
            self._survey.errors.append(error.with_traceback(None))
        except Exception as error:
            raise AssertionError(f"{what}: undocumented {error!r}") from error
        return None
