"""Archives by URL for the reader itself: `s3archivefs.open` of what fsspec opens."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import s3archivefs
from fixtures.tree import file
from s3archivefs import NotSquashfsError, UnsupportedError
from s3archivefs.cli.command import main
from s3archivefs.filesystem.urls import open_url
from tests.support.images.fixtures import make_image
from tests.support.processes.forked import in_child
from tests.support.processes.other_process import in_process, reads
from tests.unit.s3archivefs.filesystem.conftest import CONTENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def in_memory(image: Path) -> Iterator[str]:
    memory = MemoryFileSystem()
    memory.pipe("/archives/a.sqfs", image.read_bytes())
    yield "memory://archives/a.sqfs"
    memory.rm("/archives", recursive=True)


def read_samples(url: str) -> None:
    with s3archivefs.open(url) as fs:
        assert fs.read_bytes("/a/both") == CONTENTS["a/both"]
        assert fs.read_bytes("/large") == CONTENTS["large"]
        assert len(fs.listdir("/many")) == 40


def test_an_image_is_opened_by_the_url_of_any_filesystem(in_memory: str, image: Path) -> None:
    for url in (in_memory, f"file://{image}", f"simplecache::{in_memory}"):
        read_samples(url)
        assert s3archivefs.is_squashfs(url)


def test_an_image_within_an_image_is_opened_by_a_chain(image: Path, tmp_path: Path) -> None:
    outer = make_image(tmp_path, (file("inner.sqfs", image.read_bytes()),))
    read_samples(f"squashfs://inner.sqfs::{outer}")
    read_samples(f"squashfs://inner.sqfs::simplecache::file://{outer}")


def test_what_is_opened_by_a_url_closes(image: Path) -> None:
    source, close = open_url(f"simplecache::file://{image}")
    assert not source.closed  # type: ignore[attr-defined]
    close()
    assert source.closed  # type: ignore[attr-defined]


def test_what_is_no_image_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def remember(url: str) -> Any:  # noqa: ANN401 -- as open_url
        opened.append(open_url(url))
        return opened[-1]

    monkeypatch.setattr("s3archivefs.filesystem.urls.open_url", remember)
    path = tmp_path / "no image"
    path.write_bytes(bytes(4096))
    with pytest.raises(NotSquashfsError):
        s3archivefs.open(f"simplecache::file://{path}")
    assert opened[0][0].closed


def test_an_image_by_url_is_read_in_other_processes(image: Path) -> None:
    with s3archivefs.open(f"simplecache::file://{image}") as fs, fs.open("/large") as opened:
        opened.seek(7)
        assert len(pickle.dumps(fs)) < 1000
        assert in_child(opened.read) == CONTENTS["large"][7:]
        for method in ("spawn", "forkserver"):
            assert in_process(method, reads, opened) == CONTENTS["large"][7:]


def test_commands_take_urls_too(in_memory: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cat", in_memory, "/a/deep/er/leaf"]) == 0
    assert main(["cat", f"{in_memory}/a/deep/er/leaf"]) == 0
    assert capsys.readouterr().out == "leaf\nleaf\n"


def test_what_cannot_be_opened_is_one_clear_error(tmp_path: Path) -> None:
    for url in ("nowhere://a.sqfs", "simplecache::nowhere://a.sqfs"):
        with pytest.raises(UnsupportedError, match=f"opens {url}: Protocol not known: nowhere"):
            s3archivefs.open(url)
    with pytest.raises(UnsupportedError, match="which archive"):
        s3archivefs.open("squashfs://a/both")
    for url in (f"file://{tmp_path}/missing", "memory://missing", "simplecache::memory://missing"):
        with pytest.raises(FileNotFoundError):
            s3archivefs.open(url)


def test_what_a_filesystem_raises_is_an_os_error() -> None:
    class Failing(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
        protocol = "failing"

        def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 -- fsspec's
            raise RuntimeError(f"500 for\n{path}")

    fsspec.register_implementation("failing", Failing, clobber=True)
    with pytest.raises(OSError, match=r"RuntimeError: 500 for failing://a\.sqfs") as caught:
        s3archivefs.open("failing://a.sqfs")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, "failing://a.sqfs")


def test_without_fsspec_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['fsspec'] = None; import s3archivefs\n"
        "try: s3archivefs.open('memory://a.sqfs')\n"
        "except s3archivefs.UnsupportedError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"memory:// URLs need fsspec; pip install 's3archivefs[fsspec]'\n"
