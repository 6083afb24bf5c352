"""The errors: one tree, also caught as builtins, each naming the fault and its place."""

from __future__ import annotations

import errno
import io
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, CountingDevice, ShortDevice, observe
from tests.support.images.python_lzo import needs_python_lzo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUILTINS = {
    s3archivefs.SquashfsError: Exception,
    s3archivefs.FormatError: ValueError,
    s3archivefs.NotSquashfsError: ValueError,
    s3archivefs.TruncatedImageError: ValueError,
    s3archivefs.CorruptImageError: ValueError,
    s3archivefs.UnsupportedError: NotImplementedError,
    s3archivefs.CodecUnavailableError: ImportError,
    s3archivefs.LimitExceededError: Exception,
}


@pytest.mark.parametrize(("kind", "builtin"), BUILTINS.items())
def test_every_error_is_a_squashfs_error_and_a_fitting_builtin(
    kind: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(kind, s3archivefs.SquashfsError)
    assert issubclass(kind, builtin)
    assert not issubclass(kind, OSError)  # path faults and device errors are those


def test_tree_of_errors_is_the_documented_one() -> None:
    parents = {kind: kind.__mro__[1] for kind in BUILTINS}
    assert parents[s3archivefs.NotSquashfsError] is s3archivefs.FormatError
    assert parents[s3archivefs.TruncatedImageError] is s3archivefs.FormatError
    assert parents[s3archivefs.CorruptImageError] is s3archivefs.FormatError
    assert parents[s3archivefs.CodecUnavailableError] is s3archivefs.UnsupportedError
    for kind in (
        s3archivefs.FormatError,
        s3archivefs.UnsupportedError,
        s3archivefs.LimitExceededError,
    ):
        assert parents[kind] is s3archivefs.SquashfsError


@pytest.mark.parametrize(
    "error",
    [
        s3archivefs.CorruptImageError("a block is empty", 96),
        s3archivefs.NotSquashfsError("no image"),
        s3archivefs.LimitExceededError("entries", 9, 8),
        s3archivefs.CodecUnavailableError("install something"),
        s3archivefs.SpecialFileError("a", "a fifo"),
    ],
)
def test_errors_cross_processes(error: Exception) -> None:
    error.add_note("while reading /a")
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 -- its own bytes
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)
    assert copied.__notes__ == ["while reading /a"]


def test_format_error_says_what_and_where() -> None:
    damaged = bytearray(FIXTURES["gzip"].image.read_bytes())
    damaged[12] ^= 0xFF  # block_size
    with pytest.raises(s3archivefs.CorruptImageError) as caught:
        s3archivefs.open(s3archivefs.BytesDevice(bytes(damaged)))
    assert caught.value.offset == 12
    assert "block size" in caught.value.what
    assert "block size" in str(caught.value)
    assert "12" in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- Codecs that are not installed ---------------------------------------------------------------

MISSING = {
    "lz4": (["lz4", "lz4.block"], ["s3archivefs[lz4]"]),
    "lzo": (["lzo", "lzallright"], ["s3archivefs[lzo]", "s3archivefs[lzo-wheels]"]),
    "zstd": (["zstandard", "compression.zstd", "backports.zstd"], ["s3archivefs[zstd]"]),
}
OPEN_WITHOUT = """
import sys
for module in {modules}:
    sys.modules[module] = None
import s3archivefs
try:
    s3archivefs.open({image!r})
except s3archivefs.CodecUnavailableError as error:
    print(error)
"""


@pytest.mark.parametrize("compressor", MISSING)
def test_missing_codec_names_the_extra_to_install(compressor: str) -> None:
    modules, extras = MISSING[compressor]
    image = str(FIXTURES[compressor].image)
    said = run_python(OPEN_WITHOUT.format(modules=modules, image=image))
    assert compressor in said
    assert all(extra in said for extra in extras)
    assert said.count("\n") == 1


READ_WITHOUT = """
import sys
for module in {modules}:
    sys.modules[module] = None
from tests.support.images.fixtures import FIXTURES, observe, open_fixture
for name in {fixtures}:
    with open_fixture(FIXTURES[name]) as fs:
        assert observe(fs) == FIXTURES[name].tree
    print(name)
"""


@pytest.mark.parametrize(
    ("modules", "fixtures"),
    [
        (["deflate"], ["gzip", "gzip-options"]),
        (["lzo"], ["lzo", "lzo-options"]),
        pytest.param(["lzallright"], ["lzo", "lzo-options"], marks=needs_python_lzo),
        (
            ["lz4", "lzo", "lzallright", "zstandard", "deflate"],
            ["gzip", "xz", "lzma", "tar2sqfs-lzma"],
        ),
    ],
    ids="-".join,
)
def test_reads_alike_with_one_library_or_the_other(modules: list[str], fixtures: list[str]) -> None:
    said = run_python(READ_WITHOUT.format(modules=modules, fixtures=fixtures))
    assert said.split() == fixtures


def run_python(program: str) -> str:
    """What a fresh interpreter prints: no other test has imported a codec there."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# ---- Devices that fail ---------------------------------------------------------------------------


class FailingDevice:
    """A device whose reads fail once `healthy` of them are done."""

    def __init__(self, data: bytes, error: Exception, healthy: int) -> None:
        self._data = data
        self._error = error
        self.healthy = healthy
        self._lock = threading.Lock()
        self.size = len(data)

    def pread(self, offset: int, length: int) -> bytes:
        with self._lock:
            self.healthy -= 1
            if self.healthy < 0:
                raise self._error
        return self._data[offset : offset + length]


class StoreError(OSError):
    """Errors that a remote device may raise."""


@pytest.mark.parametrize(
    "error",
    [StoreError(errno.EIO, "the store is down"), TimeoutError("slow"), RuntimeError("a bug")],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_device_pass_through_unchanged(error: Exception) -> None:
    image = FIXTURES["default-block-size"].image.read_bytes()
    counting = CountingDevice(image)
    with s3archivefs.open(counting) as fs:
        observe(fs)
    assert len(counting.reads) > 5
    for healthy in range(len(counting.reads)):  # each read of that in turn is the one that fails
        with (
            pytest.raises(type(error)) as caught,
            s3archivefs.open(FailingDevice(image, error, healthy)) as fs,
        ):
            observe(fs)
        assert caught.value is error


def test_errors_of_the_device_are_no_answers_to_questions() -> None:
    image = FIXTURES["symlinks"].image.read_bytes()
    device = FailingDevice(image, StoreError(errno.EIO, "the store is down"), healthy=10**6)
    small = s3archivefs.Limits(cache_bytes=0)
    with s3archivefs.open(device, limits=small) as fs:
        (link,) = (entry for entry in fs.scandir("/") if entry.name == "dangling")
        assert not link.is_file()
        device.healthy = 0
        questions: tuple[Callable[[], bool], ...] = (
            lambda: fs.exists("/a"),
            fs.path("/a").exists,
            fs.path("/a").is_dir,
            link.is_file,
            lambda: s3archivefs.is_squashfs(device),
        )
        for question in questions:
            with pytest.raises(StoreError):
                question()


def test_read_works_again_once_the_device_does() -> None:
    image = FIXTURES["uncompressed"].image.read_bytes()
    device = FailingDevice(image, StoreError(errno.EIO, "once"), healthy=10**6)
    with s3archivefs.open(device) as fs:
        device.healthy = 0
        with pytest.raises(StoreError):
            fs.read_bytes("/docs/guide.txt")
        device.healthy = 10**6
        assert observe(fs) == FIXTURES["uncompressed"].tree


class LongDevice(ShortDevice):
    """A device that returns more bytes than it should."""

    def pread(self, offset: int, length: int) -> bytes:
        return super().pread(offset, length) + b"more"


def test_a_device_is_never_read_for_no_bytes(tmp_path: Path) -> None:
    # HTTP has no range of no bytes.
    image = draft(tmp_path, (file("a", noise(4096), mtime=9),))
    image.put(image.inode(9) + 32, "I", 1 << 24)  # a stored block of no bytes
    device = CountingDevice(bytes(image.data))
    with (
        s3archivefs.open(device) as fs,
        pytest.raises(s3archivefs.CorruptImageError, match="instead of 4096"),
    ):
        fs.read_bytes("/a")
    assert all(length for _, length in device.reads)
    empty = CountingDevice(b"")
    with pytest.raises(s3archivefs.NotSquashfsError):
        s3archivefs.open(empty)
    assert not empty.reads


def test_device_that_returns_too_much_is_not_believed() -> None:
    image = FIXTURES["gzip"].image.read_bytes()
    with pytest.raises(s3archivefs.SquashfsError):
        s3archivefs.open(LongDevice(image, len(image)))


@pytest.mark.parametrize("kept", [0, 1, 95, 96, 200, 4096, 5000])
def test_device_that_returns_too_little_is_truncated(kept: int) -> None:
    image = FIXTURES["gzip"].image.read_bytes()
    with (
        pytest.raises(s3archivefs.TruncatedImageError),
        s3archivefs.open(ShortDevice(image[:kept], len(image))) as fs,
    ):
        observe(fs)


def test_file_that_shrinks_while_open_is_truncated() -> None:
    image = FIXTURES["unpadded"].image.read_bytes()
    source = io.BytesIO(image)
    with s3archivefs.open(source) as fs:
        source.truncate(2000)
        with pytest.raises(s3archivefs.TruncatedImageError):
            observe(fs)


@pytest.mark.parametrize("source", [None, 5, ["x"], {"size": 1}, bytearray(200)])
def test_source_of_the_wrong_type_is_named(source: object) -> None:
    with pytest.raises(TypeError, match=type(source).__name__):
        s3archivefs.open(source)


@pytest.mark.parametrize("call", [s3archivefs.open, s3archivefs.FileDevice])
def test_missing_image_file_is_file_not_found(call: Callable[[str], object]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        call("/no/such/image.sqfs")
    assert caught.value.filename == "/no/such/image.sqfs"


def test_unknown_url_scheme_is_unsupported() -> None:
    with pytest.raises(s3archivefs.UnsupportedError, match="gopher://"):
        s3archivefs.open("gopher://host/image.sqfs")
