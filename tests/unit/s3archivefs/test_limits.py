"""Limits: what reaches one is allowed; what exceeds one raises, and names it."""

from __future__ import annotations

import dataclasses
import lzma
from functools import partial
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import HOLE, text
from fixtures.tree import directory, file, symlink
from s3archivefs import Compression, LimitExceededError, Limits
from s3archivefs.compression import codec_for
from tests.support.images.fixtures import FIXTURES, CountingDevice, make_image, observe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = (
    directory("1"),
    directory("1/2"),
    directory("1/2/3"),
    file("file", text(5000), xattrs={"user.a": b"v" * 50, "user.b": b"v", "user.c": b"w"}),
    symlink("link-1", "file"),
    symlink("link-2", "link-1"),
    symlink("long", "1/../1/../1/../file"),
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("limits"), TREE)


CASES: dict[str, tuple[int, Callable[[s3archivefs.SquashFS], object]]] = {
    "block_list_bytes": (8, lambda fs: fs.read_bytes("/file")),
    "entries": (5, lambda fs: fs.listdir("/")),
    "read_all_bytes": (5000, lambda fs: fs.read_bytes("/file")),
    "symlink_target_bytes": (19, lambda fs: fs.readlink("/long")),
    "walk_depth": (3, lambda fs: list(fs.walk("/"))),
    "xattr_name_bytes": (6, lambda fs: fs.listxattr("/file")),
    "xattr_value_bytes": (50, lambda fs: fs.getxattr("/file", "user.a")),
    "xattrs": (3, lambda fs: fs.listxattr("/file")),
}
"""What needs exactly so much, by the name of the limit."""


@pytest.mark.parametrize("name", CASES)
def test_what_a_limit_allows_is_done_and_one_more_is_refused_by_name(  # F5
    image: Path, name: str
) -> None:
    needed, call = CASES[name]
    with s3archivefs.open(image, limits=Limits(**{name: needed})) as fs:
        assert call(fs)
    with s3archivefs.open(image, limits=Limits(**{name: needed - 1})) as fs:
        for _ in range(2):
            with pytest.raises(LimitExceededError, match=rf"^{name}: {needed} is more") as caught:
                call(fs)
        assert (caught.value.limit, caught.value.value) == (name, needed)
        assert f"raise Limits.{name} to permit it" in str(caught.value)
        assert f"the {needed - 1} allowed" in str(caught.value)
        assert fs.stat("/file").size == 5000  # what does not need it goes on


def test_links_beyond_the_limit_are_a_fault_of_the_path(image: Path) -> None:
    with s3archivefs.open(image, limits=Limits(symlink_hops=2)) as fs:
        assert fs.exists("/link-2")
    with s3archivefs.open(image, limits=Limits(symlink_hops=1)) as fs:
        assert fs.exists("/link-1")
        assert not fs.exists("/link-2")


def test_a_way_that_takes_more_look_ups_than_the_limit_is_refused(image: Path) -> None:
    way = "/1/../1/../file"  # of six parts, the empty one included
    with s3archivefs.open(image, limits=Limits(resolution_steps=100)) as fs:
        assert fs.stat(way).size == 5000
        assert fs.stat("/long").size == 5000
        assert fs.realpath(way) == fs.realpath("/long") == "/file"
    with s3archivefs.open(image, limits=Limits(resolution_steps=4)) as fs:
        for path in (way, "/long"):
            for ask in (fs.stat, fs.realpath, partial(fs.realpath, strict=True)):
                for _ in range(2):
                    with pytest.raises(LimitExceededError, match=r"^resolution_steps: \d+ is more"):
                        ask(path)
        # What was decoded for the others costs nothing more.
        assert fs.stat("/file").size == 5000
        assert fs.realpath("/file") == "/file"


def test_every_limit_is_shown_by_a_test() -> None:
    names = {field.name for field in dataclasses.fields(Limits)}
    others = {"cache_bytes", "codec_memory_bytes", "resolution_steps", "symlink_hops"}
    assert names == {*CASES, *others}


def test_defaults_are_those_of_their_precedents() -> None:
    assert dataclasses.asdict(Limits()) == {
        "cache_bytes": 96 << 20,
        "codec_memory_bytes": 32 << 20,
        "symlink_target_bytes": 4096,
        "symlink_hops": 40,
        "resolution_steps": 1 << 20,
        "xattr_value_bytes": 65536,
        "xattrs": 4096,
        "xattr_name_bytes": 255,
        "block_list_bytes": 32 << 20,
        "walk_depth": 1024,
        "entries": 1 << 20,
        "read_all_bytes": 256 << 20,
    }


def test_limits_are_values() -> None:
    assert Limits() == Limits()
    assert hash(Limits(entries=5)) == hash(Limits(entries=5)) != hash(Limits())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().entries = 5  # type: ignore[misc]  # that is what is tested
    with pytest.raises(TypeError, match="positional"):
        Limits(5)  # type: ignore[call-arg]  # likewise


@pytest.mark.parametrize("target", [4096, 4097, 65535])
def test_targets_longer_than_linux_follows_need_a_limit_raised(target: int, tmp_path: Path) -> None:
    # F5: the kernel refuses more than 4096 bytes, unsquashfs reads up to 65535. mksquashfs takes
    # such targets from a tar stream only up to 65535.
    image = make_image(tmp_path, (symlink("link", "t" * target), file("other", b"x")))
    with s3archivefs.open(image) as fs:
        assert fs.stat("link", follow_symlinks=False).size == target
        assert fs.read_bytes("other") == b"x"
        if target > 4096:
            with pytest.raises(LimitExceededError, match=f"symlink_target_bytes: {target}"):
                fs.readlink("link")
        else:
            assert fs.readlink("link") == "t" * target
    with s3archivefs.open(image, limits=Limits(symlink_target_bytes=65535)) as fs:
        assert fs.readlink("link") == "t" * target


def test_file_larger_than_whole_reads_may_be_is_read_in_parts(tmp_path: Path) -> None:
    content = HOLE * 100 + b"end"
    image = make_image(tmp_path, (file("large", content),))
    with (
        s3archivefs.open(image, limits=Limits(read_all_bytes=1000)) as fs,
        fs.open("large") as opened,
    ):
        assert opened.read(len(content)) == content
        opened.seek(-1000, 2)
        assert opened.read() == content[-1000:]
        opened.seek(-1001, 2)
        with pytest.raises(LimitExceededError, match="read_all_bytes: 1001"):
            opened.read()


@pytest.mark.parametrize("cache_bytes", [0, 1, 20_000])
@pytest.mark.parametrize("name", ["xattrs", "indexed", "tar2sqfs", "symlinks"])
def test_small_cache_costs_reads_and_changes_nothing(name: str, cache_bytes: int) -> None:
    fixture = FIXTURES[name]
    device = CountingDevice(fixture.image.read_bytes())
    with s3archivefs.open(device) as fs:
        assert observe(fs) == fixture.tree
    reads = len(device.reads)
    device.forget()
    with s3archivefs.open(device, limits=Limits(cache_bytes=cache_bytes)) as fs:
        assert observe(fs) == fixture.tree
        assert list(fs.verify()) == []
    assert len(device.reads) > reads


@pytest.mark.parametrize("compression", [Compression.XZ, Compression.LZMA])
def test_dictionary_as_large_as_the_limit_is_used(compression: Compression) -> None:
    if compression is Compression.XZ:
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
        stream = lzma.compress(text(1000), filters=filters)
    else:
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20}]
        stream = lzma.compress(text(1000), lzma.FORMAT_ALONE, filters=filters)
        stream = stream[:5] + (1000).to_bytes(8, "little") + stream[13:]
    enough = codec_for(compression, Limits(codec_memory_bytes=2 << 20))
    assert enough.decode(stream, 1000, "a block", 0) == text(1000)
    too_little = codec_for(compression, Limits(codec_memory_bytes=1 << 19))
    with pytest.raises(s3archivefs.CorruptImageError, match=r"[Mm]emory"):
        too_little.decode(stream, 1000, "a block", 0)
