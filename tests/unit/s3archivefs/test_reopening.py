"""Images, paths and open files in other processes: opened again, by their source."""

from __future__ import annotations

import copy
import errno
import gc
import gzip
import io
import mmap
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import directory, file
from tests.support.images.fixtures import make_image
from tests.support.plug_in import plugged_in
from tests.support.processes.other_process import FileBytes

TEXT = "Zeile für Zeile\r\n日本\rend\n\n" * 300
TREE = (
    directory("docs"),
    file("docs/text", TEXT.encode()),
    file("docs/large", noise(900_000)),
    *(file(f"many-{number}", text(number)) for number in range(500)),
)
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("pickles"), TREE)


@pytest.fixture
def fs(path: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(path) as opened:
        for name in opened.listdir("/"):  # so that there is much that must not be in a pickle
            opened.stat(name)
        opened.read_bytes("/docs/large")
        yield opened


@pytest.fixture
def url(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with plugged_in(tmp_path, monkeypatch) as scheme:
        yield f"{scheme}://{path}"


def sent(thing: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:  # noqa: ANN401 -- the same again
    """What comes out of a small pickle."""
    pickled = pickle.dumps(thing, protocol)
    assert len(pickled) < 4096
    return pickle.loads(pickled)  # noqa: S301 -- our own


def copies(thing: Any) -> list[Any]:  # noqa: ANN401 -- the same again
    """What comes out of each way to copy."""
    return [
        *(sent(thing, protocol) for protocol in PROTOCOLS),
        copy.copy(thing),
        copy.deepcopy(thing),
    ]


# ---- Images --------------------------------------------------------------------------------------


def test_image_of_a_path_is_opened_anew(fs: s3archivefs.SquashFS) -> None:
    for again in copies(fs):
        assert again is not fs
        assert again.superblock == fs.superblock
        assert list(again.walk("/")) == list(fs.walk("/"))
        again.close()
        again.close()
        assert not fs.closed


def test_image_of_a_url_is_opened_anew(url: str) -> None:
    with s3archivefs.open(url) as fs:
        for again in copies(fs):
            assert again.read_bytes("/docs/text") == TEXT.encode()


def test_offset_and_limits_come_along(path: Path, tmp_path: Path) -> None:
    embedded = tmp_path / "embedded"
    embedded.write_bytes(b"x" * 1000 + path.read_bytes())
    limits = s3archivefs.Limits(read_all_bytes=10)
    with s3archivefs.open(embedded, offset=1000, limits=limits) as fs:
        again = sent(fs)
        assert again.listdir("/") == fs.listdir("/")
        with pytest.raises(s3archivefs.LimitExceededError, match="10 allowed"):
            again.read_bytes("/docs/text")


@pytest.mark.parametrize("spelt", [str, os.fsencode, Path])
def test_path_is_the_same_wherever_the_child_stands(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelt: Callable[[str], Any]
) -> None:
    monkeypatch.chdir(path.parent)
    with s3archivefs.open(spelt(path.name)) as fs:
        monkeypatch.chdir(tmp_path)
        assert sent(fs).listdir("/docs") == ["large", "text"]


def test_image_that_was_replaced_is_refused(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "image"
    other = make_image(tmp_path, (file("other", b"other"),), name="other")
    for replacement in (other.read_bytes(), path.read_bytes() + bytes(4096)):
        shutil.copy(path, place)
        with s3archivefs.open(place) as fs:
            pickled = pickle.dumps(fs)
        place.write_bytes(replacement)
        with pytest.raises(OSError, match="another image is there now") as caught:
            pickle.loads(pickled)  # noqa: S301 -- our own
        assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, str(place))
    place.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)  # noqa: S301 -- our own


def test_what_came_out_of_a_pickle_is_closed_with_the_last_that_refers_to_it(
    fs: s3archivefs.SquashFS,
) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- no Path
    device = s3archivefs.FileDevice(__file__)
    pickles = [pickle.dumps(thing) for thing in (fs, fs.path("/docs"), device)]
    device.close()
    for pickled in pickles:
        again = pickle.loads(pickled)  # noqa: S301 -- our own
        assert len(os.listdir("/proc/self/fd")) > before  # noqa: PTH208 -- likewise
        del again
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- likewise


# ---- Devices of the caller -----------------------------------------------------------------------


def test_image_of_a_device_that_can_be_pickled_goes_with_it(path: Path) -> None:
    fs = s3archivefs.open(FileBytes(str(path)))
    for again in copies(fs):
        assert again.read_bytes("/docs/text") == TEXT.encode()
    for device in (
        s3archivefs.BytesDevice(path.read_bytes()),
        s3archivefs.FileDevice(path),
        io.BytesIO(path.read_bytes()),
    ):
        again = pickle.loads(pickle.dumps(s3archivefs.open(device)))  # noqa: S301 -- our own
        assert again.read_bytes("/docs/text") == TEXT.encode()
        getattr(device, "close", lambda: None)()


class Locked(s3archivefs.BytesDevice):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return Locked, (self.lock,)


def unpicklable(path: Path) -> Iterator[object]:
    yield Locked(path.read_bytes())
    with path.open("rb") as opened:
        yield opened
        yield s3archivefs.FileDevice(opened)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
    with gzip.open(io.BytesIO(gzip.compress(path.read_bytes()))) as unpacked:
        yield unpacked


def test_image_of_a_device_that_cannot_be_pickled_says_so(path: Path) -> None:
    for source in unpicklable(path):
        fs = s3archivefs.open(source)
        for thing in (fs, fs.path("/docs"), fs.open("/docs/text"), fs.open("/docs/text", "r")):
            for dump in (pickle.dumps, copy.deepcopy):
                with pytest.raises(
                    TypeError, match=r"^an image of a .* cannot be pickled"
                ) as caught:
                    dump(thing)
                assert "\n" not in str(caught.value)
                assert type(source).__name__ in str(caught.value)
        assert copy.copy(fs).listdir("/docs") == ["large", "text"]  # through the same device


# ---- Paths ---------------------------------------------------------------------------------------


@each_protocol
def test_path_comes_with_its_image(fs: s3archivefs.SquashFS, protocol: int) -> None:
    image, first, second = sent((fs, fs.path("/docs"), fs.path("/docs/text")), protocol)
    assert first / "text" == second
    assert first == image.path("/docs")
    assert second.read_bytes() == TEXT.encode()
    alone = sent(fs.path("/docs"), protocol)
    assert [each.name for each in alone.iterdir()] == ["large", "text"]
    assert copy.copy(fs.path("/docs")) == fs.path("/docs")


def test_entry_goes_nowhere_as_that_of_the_file_system(fs: s3archivefs.SquashFS) -> None:
    with pytest.raises(TypeError, match="pickle its path"):
        pickle.dumps(next(fs.scandir("/")))


# ---- Open files ----------------------------------------------------------------------------------


def test_file_stands_where_it_stood(fs: s3archivefs.SquashFS) -> None:
    content = noise(900_000)
    with fs.open("/docs/large") as opened:
        for step in (
            lambda: 0,
            lambda: opened.read(7),
            opened.readline,
            lambda: opened.seek(10**6),
        ):
            step()
            position = opened.tell()
            for again in copies(opened):
                assert (again.tell(), again.name) == (position, "/docs/large")
                assert again.read() == content[position:]
            assert opened.tell() == position


@pytest.mark.parametrize("newline", [None, "", "\n", "\r"])
@pytest.mark.parametrize("encoding", [None, "utf-8", "latin-1"])
def test_text_stands_where_it_stood(
    fs: s3archivefs.SquashFS, newline: str | None, encoding: str | None
) -> None:
    with fs.open("/docs/text", "r", -1, encoding, "replace", newline) as opened:
        whole = opened.read()
        opened.seek(0)
        before = ""
        steps: list[Callable[[], str]] = [
            str,
            lambda: opened.read(7),
            opened.readline,
            lambda: next(opened),
            lambda: "".join(islice(opened, 11)),
        ]
        for step in steps:
            before += step()
            for again in copies(opened):
                assert before + again.read() == whole
                assert (again.encoding, again.errors) == (encoding or "utf-8", "replace")


def test_closed_images_and_files_go_nowhere(path: Path) -> None:
    with s3archivefs.open(path) as fs:
        opened = fs.open("/docs/text")
        opened.close()
        with pytest.raises(ValueError, match="closed"):
            pickle.dumps(opened)
        things = [fs, fs.path("/"), fs.open("/docs/text"), fs.open("/docs/text", "r")]
    device = s3archivefs.FileDevice(path)
    device.close()
    for thing in [*things, device]:
        for dump in (pickle.dumps, copy.copy, copy.deepcopy):
            if isinstance(thing, s3archivefs.Path) and dump is copy.copy:
                continue  # which opens nothing
            with pytest.raises(ValueError, match="closed"):
                dump(thing)
