"""`survive` passes sound images, and fails for each way to break the promise."""

from __future__ import annotations

import errno
import os
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

import s3archivefs
from s3archivefs import SquashFS, Stat, UnsupportedError
from s3archivefs.cache import WeightedCache
from s3archivefs.content import Content
from s3archivefs.directory import Directory
from s3archivefs.file import SquashFile
from s3archivefs.inode import InodeTable
from s3archivefs.tables import IdTable
from s3archivefs.walking import entries
from tests.support.images.drafts import edited
from tests.support.images.fixtures import FIXTURES
from tests.support.images.survive import WHOLE, survive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.runs import Entry

SOUND = sorted(FIXTURES.keys() - {"embedded"})  # which starts behind other bytes


@pytest.mark.parametrize("name", SOUND)
def test_sound_image_answers_everything(name: str) -> None:
    survey = survive(FIXTURES[name].image.read_bytes())
    assert survey.calls > 4
    known = (UnsupportedError, FileNotFoundError, NotADirectoryError, OSError)
    assert all(isinstance(error, known) for error in survey.errors)  # no export table; links
    for observed in FIXTURES[name].tree:
        if observed.kind == "file" and observed.size <= WHOLE:
            assert observed.holds(survey.contents[observed.path.encode(errors="surrogateescape")])


@pytest.mark.parametrize("image", [b"", b"hsqs", bytes(96), b"no image at all" * 20])
def test_what_is_no_image_is_refused(image: bytes) -> None:
    survey = survive(image)
    assert (survey.calls, len(survey.errors)) == (0, 1)


def undocumented(*_: object) -> Any:  # noqa: ANN401 -- stands for any method
    raise KeyError("undocumented")


def device_fault(*_: object) -> Any:  # noqa: ANN401 -- likewise
    raise OSError(errno.EIO, "undocumented")


def short(self: Content, start: int, stop: int) -> Iterator[bytes]:
    del self
    yield b"x" * (stop - start - 1)


def other_than_whole(self: SquashFile, size: int | None = -1, /) -> bytes:
    left = self.size - self.tell()
    taken = left if size is None or size < 0 else min(size, left)
    self.seek(taken, os.SEEK_CUR)
    return (b"a" if size == -1 else b"b") * taken


def first_entry(self: Directory, *_: object) -> Entry | None:
    return next((run.entry(0) for run in self.runs()), None)


def never_kept(self: WeightedCache[Any], key: object, load: Callable[[], object]) -> object:
    del self, key
    for _ in range(500):
        load()
    return load()


def nothing(*_: object) -> None:
    pass


def shortened(_: object, path: bytes) -> list[bytes]:
    del path
    return []


def from_the_start(self: SquashFS, path: bytes, *, start: bytes | None = None) -> object:
    del start
    return chain.from_iterable(entries(self, self._place(path), path, b""))


def of_the_root(self: SquashFS, inode_number: int) -> Stat:
    del inode_number
    return self.stat("/")


BROKEN = {
    "undocumented exception": (IdTable, "get", undocumented, "undocumented KeyError"),
    "undocumented OSError": (InodeTable, "stat", device_fault, "OSError"),
    "short content": (Content, "pieces", short, "of "),
    "parts unlike the whole": (SquashFile, "read", other_than_whole, "from 0"),
    "wrong look-up": (Directory, "get", first_entry, "a look-up"),
    "no look-up": (Directory, "get", nothing, "FileNotFoundError"),
    "denial": (SquashFS, "exists", lambda *_: False, "does not exist"),
    "another list": (SquashFS, "listdir", shortened, "is listed as"),
    "start passed over": (SquashFS, "scandir", from_the_start, "from the middle"),
    "wrong number": (SquashFS, "stat_inode", of_the_root, "inode"),
    "short target": (InodeTable, "target", lambda *_: b"x", "target"),
    "other kind of file": (s3archivefs, "is_squashfs", lambda _: False, "is_squashfs"),
    "too many reads": (WeightedCache, "get", never_kept, "too many reads"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_promise_is_found(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, broken, said = BROKEN[how]
    monkeypatch.setattr(owner, method, broken)
    with pytest.raises(AssertionError, match=said):
        survive(FIXTURES["gzip"].image.read_bytes())


def test_verification_that_finds_no_damage_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    image = edited("uncompressed")
    image.put(
        image.inode(1_500_000_001) + 16, "I", image["inode_table_start"]
    )  # where blocks start
    assert survive(bytes(image.data)).errors
    monkeypatch.setattr(SquashFS, "verify", lambda _: iter(()))
    with pytest.raises(AssertionError, match="verify says nothing"):
        survive(bytes(image.data))
