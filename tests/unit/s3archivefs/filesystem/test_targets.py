"""Archives where they lie: local files, other filesystems, caches, open files."""

from __future__ import annotations

import errno
import io
import os
import threading
import zipfile
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from fixtures.tree import file
from s3archivefs import FileDevice, NotSquashfsError, TruncatedImageError
from s3archivefs.filesystem import ArchiveFileSystem, MissingArchiveError
from s3archivefs.filesystem.stored_device import StoredDevice
from tests.support.distant_device import DistantDevice
from tests.support.images.fixtures import make_image
from tests.support.processes.forked import in_child
from tests.unit.s3archivefs.filesystem.conftest import CONTENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = ("a/both", "many/07", "large")


def read_samples(fs: AbstractFileSystem) -> None:
    assert fs.cat([*SAMPLES]) == {name: CONTENTS[name] for name in SAMPLES}
    assert fs.find("many") == sorted(name for name in CONTENTS if name.startswith("many/"))


class StoredFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec ships no types
    def _fetch_range(self, start: int, end: int) -> bytes:
        content: bytes = self.fs.cat_file(self.path, start=start, end=end)
        return content


class Stored(AsyncFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """A filesystem as those of object stores are: asynchronous, read by ranges, which it counts."""

    protocol = "stored"
    cachable = True
    content = b""
    etag = "1"
    reads: list[tuple[int, int]]
    infos = 0
    is_gone = False
    extra = 0
    """Bytes that it returns beyond those that were asked for; fewer if negative."""

    async def _get_file(self, path: str, lpath: str, **_: Any) -> None:  # noqa: ANN401 -- fsspec's
        LocalFileSystem().pipe_file(lpath, self.content)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> StoredFile:  # noqa: ANN401 -- fsspec's
        return StoredFile(self, path, mode, **options)

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 -- fsspec's
        if path != "a.sqfs":
            raise FileNotFoundError(path)
        Stored.infos += 1
        return {"name": path, "size": len(self.content), "type": "file", "ETag": self.etag}

    async def _cat_file(
        self,
        path: str,
        version_id: str | None = None,
        start: int | None = None,
        end: int | None = None,
        **_: Any,  # noqa: ANN401 -- fsspec's
    ) -> bytes:
        assert version_id is None
        assert start is not None
        assert end is not None
        if self.is_gone:
            raise FileNotFoundError(errno.ENOENT, "gone", path)
        Stored.reads.append((start, end))
        return self.content[start : max(start, end + self.extra)]


@pytest.fixture
def stored(image: Path) -> Iterator[type[Stored]]:
    fsspec.register_implementation("stored", Stored, clobber=True)
    Stored.content, Stored.reads = image.read_bytes(), []
    Stored.infos = Stored.extra = 0
    Stored.is_gone = False
    yield Stored
    Stored.clear_instance_cache()


@pytest.fixture
def in_memory(image: Path) -> Iterator[str]:
    memory = MemoryFileSystem()
    memory.pipe("/archives/a.sqfs", image.read_bytes())
    yield "memory://archives/a.sqfs"
    memory.rm("/archives", recursive=True)


# ---- Ways to name one ----------------------------------------------------------------------------


def test_a_local_image_is_named_by_path_or_url(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    for fo in (str(image), image, f"file://{image}", image.name, PurePosixPath(image)):
        with ArchiveFileSystem(fo) as fs:
            read_samples(fs)
    with ArchiveFileSystem(str(image), target_protocol="file") as fs:
        read_samples(fs)


def test_an_image_in_another_filesystem_is_named_by_url(in_memory: str) -> None:
    with ArchiveFileSystem(in_memory) as fs:
        read_samples(fs)
    with ArchiveFileSystem("archives/a.sqfs", target_protocol="memory") as fs:
        read_samples(fs)
    with fsspec.open(f"squashfs://a/both::{in_memory}") as opened:
        assert opened.read() == CONTENTS["a/both"]


def test_an_image_is_a_file_that_fsspec_has_not_opened_or_has(in_memory: str) -> None:
    unopened = fsspec.open(in_memory)
    with ArchiveFileSystem(unopened) as fs:
        read_samples(fs)
    with unopened as opened, ArchiveFileSystem(opened) as fs:
        read_samples(fs)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # fsspec's own
@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_an_image_is_read_through_a_cache_of_fsspec(
    stored: type[Stored], tmp_path: Path, cache: str
) -> None:
    options = {cache: {"cache_storage": str(tmp_path)}}
    with fsspec.open(f"squashfs://a/both::{cache}::stored://a.sqfs", **options) as opened:
        read_samples(opened.fs)
        assert opened.read() == CONTENTS["a/both"]
    assert any(path.stat().st_size for path in tmp_path.iterdir())


def test_an_image_lies_in_an_archive_of_another_kind(image: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(image, "inner/a.sqfs")
    with ArchiveFileSystem(f"zip://inner/a.sqfs::{tmp_path / 'z.zip'}") as fs:
        read_samples(fs)


def test_an_image_lies_in_an_image(image: Path, tmp_path: Path) -> None:
    outer = make_image(tmp_path, (file("inner.sqfs", image.read_bytes()),))
    url = f"squashfs://many/07::squashfs://inner.sqfs::{outer}"
    with fsspec.open(url) as opened:
        read_samples(opened.fs)
        assert opened.read() == CONTENTS["many/07"]


def test_options_reach_the_target(image: Path) -> None:
    class Locked(Stored):
        def __init__(self, *, password: str, **options: Any) -> None:  # noqa: ANN401 -- fsspec's
            super().__init__(**options)
            assert password == "open sesame"

    Locked.content, Locked.reads = image.read_bytes(), []
    Stored.reads = []
    Locked.protocol = "locked"
    fsspec.register_implementation("locked", Locked, clobber=True)
    url = "squashfs://a/both::locked://a.sqfs"
    with fsspec.open(url, locked={"password": "open sesame"}) as opened:
        assert opened.read() == CONTENTS["a/both"]
    with pytest.raises(AssertionError):
        ArchiveFileSystem("a.sqfs", "locked", {"password": "?"}).ls("")


def test_what_names_no_image_raises_what_its_filesystem_does(
    stored: type[Stored], tmp_path: Path
) -> None:
    for fo in ("stored://b.sqfs", str(tmp_path / "missing"), "memory://missing"):
        with pytest.raises(MissingArchiveError, match=Path(fo).name):
            ArchiveFileSystem(fo).ls("")
    stored.content = b"short"
    with pytest.raises((NotSquashfsError, TruncatedImageError)):
        ArchiveFileSystem("stored://a.sqfs").ls("")
    with pytest.raises(ValueError, match="Protocol not known: nowhere"):
        ArchiveFileSystem("nowhere://a.sqfs").ls("")


CALLS: dict[str, Callable[[ArchiveFileSystem], object]] = {
    "ls": lambda fs: fs.ls(""),
    "find": lambda fs: fs.find(""),
    "find, detail": lambda fs: fs.find("", detail=True),
    "walk": lambda fs: [*fs.walk("")],
    "walk, topdown": lambda fs: [*fs.walk("", topdown=False)],
    "walk, detail": lambda fs: [*fs.walk("", detail=True)],
    "glob": lambda fs: fs.glob("**"),
    "glob, no magic": lambda fs: fs.glob("f"),
    "du": lambda fs: fs.du(""),
    "info": lambda fs: fs.info("f"),
    "exists": lambda fs: fs.exists("f"),
    "lexists": lambda fs: fs.lexists("f"),
    "isdir": lambda fs: fs.isdir("f"),
    "isfile": lambda fs: fs.isfile("f"),
    "islink": lambda fs: fs.islink("f"),
    "open": lambda fs: fs.open("f"),
    "cat": lambda fs: fs.cat(["f"], on_error="omit"),
    "cat, all": lambda fs: fs.cat("", recursive=True, on_error="omit"),
    "cat_ranges": lambda fs: fs.cat_ranges(["f"], 0, 1),
    "get": lambda fs: fs.get("", "/dev/null", recursive=True),
    "mapping": lambda fs: [*fs.get_mapper("")],
    "value of a mapping": lambda fs: fs.get_mapper("").get("f"),
    "ukey": lambda fs: fs.ukey("f"),
}


@pytest.mark.parametrize("fo", ["missing.sqfs", "", "file/below", "memory://missing"])
@pytest.mark.parametrize("call", CALLS)
def test_an_archive_that_is_missing_is_never_an_empty_one(
    tmp_path: Path, call: str, fo: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingArchiveError):
        CALLS[call](ArchiveFileSystem(fo if "://" in fo else str(tmp_path / fo)))


def test_a_file_of_an_archive_that_is_gone_is_not_said_to_be_missing(
    stored: type[Stored],
) -> None:
    fs = ArchiveFileSystem(StoredDevice(Stored(), "a.sqfs", len(stored.content)))
    assert fs.exists("a/both")
    stored.is_gone = True
    errors = [*fs.cat(["large", "a/both"], on_error="return").values()]
    errors += fs.cat_ranges(["large", "a/both"], 1, 2)
    assert {*map(type, errors)} == {MissingArchiveError}
    with pytest.raises(MissingArchiveError):
        fs.get_mapper("").get("large")


class Vanishing(io.BytesIO):
    """A file of another filesystem, whose content may be gone."""

    is_gone = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_gone:
            raise FileNotFoundError(errno.ENOENT, "gone", "a.sqfs")
        return super().read(size)


@pytest.mark.parametrize("is_device", [False, True])
def test_a_file_that_was_given_and_is_gone_is_not_taken_for_a_member(
    image: Path,
    is_device: bool,  # noqa: FBT001 -- a parameter
) -> None:
    opened = Vanishing(image.read_bytes())
    fs = ArchiveFileSystem(FileDevice(opened) if is_device else opened)
    read_samples(fs)
    opened.is_gone = True
    fs = ArchiveFileSystem(FileDevice(opened) if is_device else opened)
    with pytest.raises(MissingArchiveError):
        fs.get_mapper("").get("large")
    opened.is_gone = False
    assert fs.exists("large")
    opened.is_gone = True
    errors = [*fs.cat(["large", "a/both"], on_error="return").values()]
    errors += fs.cat_ranges(["large", "a/both"], 1, 2)
    assert {*map(type, errors)} == {MissingArchiveError}


def test_a_device_that_was_given_reads_ahead_as_before(image: Path) -> None:
    device = DistantDevice(image.read_bytes())
    with ArchiveFileSystem(device) as fs:
        read_samples(fs)
    assert any(handle.told and handle.reads for handle in device.handles)
    assert all(handle.is_closed for handle in device.handles)


# ---- Reads by range ------------------------------------------------------------------------------


def test_opening_takes_three_reads_and_what_is_near_takes_none(stored: type[Stored]) -> None:
    fs = ArchiveFileSystem("stored://a.sqfs")
    assert fs.exists("many/07")
    assert stored.infos == 1
    assert len(stored.reads) <= 3
    stored.reads.clear()
    assert fs.find("", detail=True)
    assert stored.reads == []
    read_samples(fs)
    reads = sorted(stored.reads)
    assert all(before[1] <= after[0] for before, after in pairwise(reads))


def test_an_image_that_was_opened_recently_is_not_asked_for_again(stored: type[Stored]) -> None:
    first = ArchiveFileSystem("stored://a.sqfs")
    assert first.exists("lines")
    second = ArchiveFileSystem("stored://a.sqfs")
    assert second.image is first.image
    assert stored.infos == 1


def test_reads_that_are_not_what_was_asked_for_are_refused(stored: type[Stored]) -> None:
    stored.extra = 1
    with pytest.raises(OSError, match=r"a.sqfs: .* the server takes no ranges; .* simplecache::"):
        ArchiveFileSystem("stored://a.sqfs").ls("")
    stored.extra = -1
    with pytest.raises(TruncatedImageError, match="bytes came for a range of"):
        ArchiveFileSystem("stored://a.sqfs").ls("")


def test_a_forked_child_makes_the_filesystem_below_anew(stored: type[Stored]) -> None:
    fs = ArchiveFileSystem("stored://a.sqfs")
    assert fs.cat("a.b") == b"dot"
    assert in_child(lambda: fs.cat("large")) == CONTENTS["large"]
    assert fs.cat("large") == CONTENTS["large"]


def test_a_filesystem_that_is_not_asynchronous_is_read_by_one_thread_at_a_time(
    image: Path,
) -> None:
    class Serial(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
        protocol = "serial"
        store: dict[str, Any] = {}  # noqa: RUF012 -- fsspec's
        lock = threading.Lock()

        def cat_file(self, path: str, *arguments: Any, **options: Any) -> bytes:  # noqa: ANN401 -- fsspec's
            assert self.lock.acquire(blocking=False)
            try:
                content: bytes = super().cat_file(path, *arguments, **options)
                return content
            finally:
                self.lock.release()

    fsspec.register_implementation("serial", Serial, clobber=True)
    Serial().pipe_file("/a.sqfs", image.read_bytes())
    fs = ArchiveFileSystem("/a.sqfs", target_protocol="serial")
    assert fs.cat("", recursive=True) == CONTENTS | {"to file": CONTENTS["a/both"]}


def test_a_local_copy_in_a_cache_is_read_on_by_a_forked_child(
    in_memory: str, tmp_path: Path
) -> None:
    fs = fsspec.filesystem(
        "squashfs",
        fo=in_memory.removeprefix("memory://"),
        target_protocol="simplecache",
        target_options={"target_protocol": "memory", "cache_storage": str(tmp_path)},
    )
    assert fs.cat("a.b") == b"dot"
    assert in_child(lambda: (os.getpid() > 0, fs.cat("large"))) == (True, CONTENTS["large"])
