"""An image as an fsspec filesystem: members, lifetime, refusals."""

from __future__ import annotations

import copy
import errno
import gc
import json
import pickle
import shutil
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from fixtures.tree import EPOCH, directory, file
from s3archivefs import BytesDevice, LimitExceededError
from s3archivefs.filesystem import ArchiveFileSystem, MissingArchiveError, register
from tests.support.images.fixtures import make_image
from tests.support.laws.import_graph import ROOT
from tests.unit.s3archivefs.filesystem.conftest import CONTENTS, LATIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE, DIRECTORY, OTHER = "file", "directory", "other"


# ---- Members -------------------------------------------------------------------------------------


def test_the_root_is_a_directory_without_a_name(fs: ArchiveFileSystem) -> None:
    for path in ("", "/", "squashfs://"):
        info = fs.info(path)
        assert (info["name"], info["type"], info["size"]) == ("", DIRECTORY, 0)


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("a/both", FILE, len(CONTENTS["a/both"])),
        ("/a/both", FILE, len(CONTENTS["a/both"])),
        ("s3archivefs://a/both", FILE, len(CONTENTS["a/both"])),
        ("a/empty", FILE, 0),
        ("a/", DIRECTORY, 0),
        ("pipe", OTHER, 0),
        ("to file", FILE, len(CONTENTS["a/both"])),
        ("to directory", DIRECTORY, 0),
        (LATIN, FILE, 5),
    ],
)
def test_info_tells_kind_and_size(fs: ArchiveFileSystem, name: str, kind: str, size: int) -> None:
    info = fs.info(name)
    assert (info["type"], info["size"]) == (kind, size)
    assert fs.size(name) == size
    assert fs.exists(name)
    assert fs.lexists(name)
    assert fs.isdir(name) == (kind == DIRECTORY)
    assert fs.isfile(name) == (kind == FILE)


def test_info_has_the_attributes_of_the_inode(fs: ArchiveFileSystem) -> None:
    stat = fs.image.stat("/a/both")
    info = fs.info("a/both")
    assert info["ino"] == stat.inode_number
    assert {name: info[name] for name in ("mode", "uid", "gid", "mtime", "nlink")} == {
        "mode": 0o100644,
        "uid": 0,
        "gid": 0,
        "mtime": EPOCH,
        "nlink": 2,
    }
    assert fs.modified("a/both") == fs.created("a/both") == datetime.fromtimestamp(EPOCH, UTC)


def test_info_reads_no_listing_but_those_on_the_way(image: Path) -> None:
    listed: list[str] = []

    class Watching(ArchiveFileSystem):
        def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:  # noqa: ANN401, FBT001, FBT002 -- fsspec's
            listed.append(path)
            return super().ls(path, detail, **kwargs)

    with Watching(str(image)) as fs:
        fs.info("many/07")
        assert fs.exists("many/07")
        assert fs.isfile("many/07")
        assert not fs.isdir("many/07")
    assert listed == []


def test_a_symlink_tells_where_it_leads(fs: ArchiveFileSystem) -> None:
    info = fs.info("to file")
    assert info["islink"]
    assert info["destination"] == "a/both"
    assert fs.islink("to file")
    assert not fs.islink("a/both")
    assert fs.cat("to file") == CONTENTS["a/both"]
    assert fs.cat("to directory/er/leaf") == CONTENTS["a/deep/er/leaf"]


@pytest.mark.parametrize("name", ["nowhere", "loop"])
def test_a_symlink_that_leads_nowhere_is_there_but_does_not_exist(
    fs: ArchiveFileSystem, name: str
) -> None:
    assert fs.lexists(name)
    assert fs.islink(name)
    assert not fs.exists(name)
    with pytest.raises(OSError, match=name):
        fs.info(name)


@pytest.mark.parametrize("name", ["missing", "a/missing", "a/both/below"])
def test_what_is_not_there_is_not_found(fs: ArchiveFileSystem, name: str) -> None:
    assert not fs.exists(name)
    assert not fs.lexists(name)
    assert not fs.isfile(name)
    assert not fs.isdir(name)
    for call in (fs.info, fs.ls, fs.cat_file, fs.open):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            call(name)


def test_a_fault_of_the_device_is_no_answer() -> None:
    class Broken(BytesDevice):
        def pread(self, offset: int, length: int) -> bytes:
            raise OSError(errno.EIO, "the cable is out")

    fs = ArchiveFileSystem(Broken(bytes(4096)))
    for call in (fs.exists, fs.isdir, fs.isfile, fs.find, fs.ls):
        with pytest.raises(OSError, match="the cable is out"):
            call("a")


def test_the_key_of_a_file_is_of_its_content_in_this_version(
    fs: ArchiveFileSystem, image: Path, tmp_path: Path
) -> None:
    assert fs.ukey("a/both") == fs.ukey("a/second") == fs.ukey("to file")
    assert fs.ukey("a/both") != fs.ukey("a/blocks")
    assert fs.checksum("a/both") == int(fs.ukey("a/both"), 16)
    with ArchiveFileSystem(str(image)) as again:
        assert again.ukey("a/both") == fs.ukey("a/both")
        assert again.fsid == fs.fsid
    copy = shutil.copy(image, tmp_path / "copy.sqfs")
    with ArchiveFileSystem(str(copy)) as other:
        assert other.ukey("a/both") != fs.ukey("a/both")


def test_its_repr_is_that_of_fsspec_archives_and_tells_no_secret(image: Path) -> None:
    fs = ArchiveFileSystem("bucket/key", target_protocol="s3", target_options={"secret": "hush"})
    assert repr(fs).startswith("<Archive-like object ArchiveFileSystem at ")
    assert "hush" not in f"{fs!r} {fs}"


def test_a_mapper_maps_names_to_contents(fs: ArchiveFileSystem) -> None:
    mapper = fs.get_mapper("many")
    assert len(mapper) == 40
    assert mapper["07"] == CONTENTS["many/07"]
    assert "missing" not in mapper
    with pytest.raises(KeyError):
        mapper["missing"]


# ---- By URL --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["squashfs", "s3archivefs"])
def test_a_chained_url_opens_a_member(image: Path, protocol: str) -> None:
    with fsspec.open(f"{protocol}://a/both::file://{image}") as opened:
        assert opened.read() == CONTENTS["a/both"]
    with fsspec.open(f"{protocol}://lines::{image}", "r") as opened:
        assert opened.readline() == "one\n"


def test_a_pattern_in_a_chained_url_opens_what_matches(image: Path) -> None:
    opened = fsspec.open_files(f"squashfs://many/0*::{image}")
    assert [each.path for each in opened] == [f"many/0{number}" for number in range(10)]
    with opened as files:
        assert [each.read() for each in files] == [CONTENTS[each.path] for each in opened]


def test_a_url_without_an_archive_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"^which archive\? give fo=, or chain"):
        fsspec.filesystem("squashfs").ls("")


def test_the_distribution_tells_fsspec_of_both_protocols() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["fsspec.specs"] == dict.fromkeys(
        ArchiveFileSystem.protocol, "s3archivefs.filesystem:ArchiveFileSystem"
    )


def test_registering_replaces_another_package_that_claims_the_protocol() -> None:
    class Other(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
        protocol = "squashfs"

    fsspec.register_implementation("squashfs", Other, clobber=True)
    try:
        with pytest.raises(ValueError, match="squashfs"):
            register(clobber=False)
    finally:
        register()
    assert fsspec.get_filesystem_class("squashfs") is ArchiveFileSystem


def test_an_image_within_a_larger_file_starts_at_its_offset(image: Path, tmp_path: Path) -> None:
    larger = tmp_path / "larger"
    larger.write_bytes(bytes(1000) + image.read_bytes())
    with ArchiveFileSystem(str(larger), offset=1000) as fs:
        assert fs.cat("a.b") == b"dot"


def test_limits_are_given_by_name(image: Path) -> None:
    with ArchiveFileSystem(str(image), limits={"read_all_bytes": 4}) as fs:
        assert fs.cat("a.b") == b"dot"
        with pytest.raises(LimitExceededError, match="read_all_bytes"):
            fs.cat(LATIN)
        assert fs.cat_file(LATIN, 0, 5) == b"latin"


def test_what_to_install_is_said_where_fsspec_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith("s3archivefs.filesystem"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 's3archivefs\[fsspec\]'"):
        import_module("s3archivefs.filesystem")


# ---- Lifetime ------------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    fs = ArchiveFileSystem(str(tmp_path / "later.sqfs"))
    with pytest.raises(MissingArchiveError):
        fs.ls("")
    make_image(tmp_path, (file("f", b"now"),), name="later")
    assert fs.cat("f") == b"now"


@pytest.mark.parametrize(
    "options",
    [
        {"fo": "later.sqfs"},
        {"fo": Path("later.sqfs")},
        {"fo": "file://later.sqfs"},
        {"fo": "later.sqfs", "target_protocol": "file"},
    ],
)
def test_a_relative_path_is_from_where_the_filesystem_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    make_image(tmp_path, (file("f", b"now"),), name="later")
    monkeypatch.chdir(tmp_path)
    fs = ArchiveFileSystem(**options)
    monkeypatch.chdir("/")
    assert fs.cat("f") == b"now"
    fs.invalidate_cache()
    assert fs.cat("f") == b"now"
    again = fsspec.AbstractFileSystem.from_json(fs.to_json())
    for each in (again, copy.copy(fs), pickle.loads(pickle.dumps(fs))):  # noqa: S301 -- our own
        assert each == fs
        assert hash(each) == hash(fs)
        assert each.cat("f") == b"now"


def test_one_relative_path_from_two_directories_is_two_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(ArchiveFileSystem):
        def __init__(self, part: bytes, fo: str) -> None:
            super().__init__(fo)
            self.part = part

    made = []
    for name in (b"one", b"other"):
        directory = tmp_path / name.decode()
        directory.mkdir()
        monkeypatch.chdir(directory)
        make_image(directory, (file("f", name),), name="x")
        made.append([ArchiveFileSystem("x.sqfs"), Named(b"", "x.sqfs"), Named(b"", fo="x.sqfs")])
    for one, other in zip(*made, strict=True):
        assert one != other
        assert (copy.copy(one).cat("f"), copy.copy(other).cat("f")) == (b"one", b"other")


def test_filesystems_over_one_version_share_the_open_image(image: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = [*pool.map(lambda _: fsspec.filesystem("squashfs", fo=str(image)), range(16))]
        images = {*map(id, pool.map(lambda fs: fs.image, opened))}
    assert len(images) == 1
    assert pickle.loads(pickle.dumps(opened[0])).image is opened[0].image  # noqa: S301 -- our own


def test_another_version_is_opened_by_a_new_filesystem_or_when_asked_for(tmp_path: Path) -> None:
    path = make_image(tmp_path, (file("f", b"first"),))
    with ArchiveFileSystem(str(path)) as before:
        assert before.cat("f") == b"first"
        make_image(tmp_path, (file("f", b"second"),), name="next").replace(path)
        with ArchiveFileSystem(str(path)) as after:
            assert after.cat("f") == b"second"
            assert before.cat("f") == b"first"
            before.invalidate_cache()
            assert before.cat("f") == b"second"
            assert before.image is after.image


def test_files_and_walks_stay_with_their_version_when_another_is_asked_for(tmp_path: Path) -> None:
    path = make_image(tmp_path, (directory("d"), file("d/f", b"first")))
    with ArchiveFileSystem(str(path)) as fs, fs.open("d/f", "r") as opened:
        walk = fs.walk("")
        assert next(walk) == ("", ["d"], [])
        make_image(tmp_path, (file("f", b"second"),), name="next").replace(path)
        fs.invalidate_cache()
        assert fs.ls("", detail=False) == ["f"]
        assert opened.read() == "first"
        assert [*walk] == [("d", [], ["f"])]


def test_a_version_that_did_not_change_stays_open(fs: ArchiveFileSystem) -> None:
    image = fs.image
    fs.invalidate_cache()
    assert fs.image is image


def test_a_closed_file_does_not_keep_the_image_open(image: Path) -> None:
    with ArchiveFileSystem(BytesDevice(image.read_bytes())) as fs:
        opened = fs.open("a.b")
        inner = fs.image
    assert opened.closed
    assert inner.closed


def test_files_close_with_their_filesystem_and_no_other(image: Path) -> None:
    with ArchiveFileSystem(str(image)) as other:
        kept = other.open("a/both")
        with ArchiveFileSystem(str(image)) as fs:
            opened = fs.open("a/both")
            shared = fs.image
        assert opened.closed
        with pytest.raises(ValueError, match="closed"):
            opened.read()
        with pytest.raises(ValueError, match="the filesystem is closed"):
            fs.ls("")
        assert not shared.closed
        assert kept.read() == CONTENTS["a/both"]
    assert kept.closed


def test_the_image_closes_with_the_last_that_refers_to_it(image: Path) -> None:
    gc.collect()  # what other tests left of theirs
    opened = ArchiveFileSystem(str(image)).open("a/both")
    inner = opened.fs.image
    gc.disable()  # no cycle keeps it
    try:
        assert opened.read() == CONTENTS["a/both"]
        del opened
        assert inner.closed
    finally:
        gc.enable()


def test_a_file_that_was_given_stays_open(image: Path) -> None:
    with image.open("rb") as given:
        with ArchiveFileSystem(given) as fs:
            assert fs.cat("a.b") == b"dot"
        assert not given.closed
        again = ArchiveFileSystem(given)
        assert again.cat("a.b") == b"dot"


# ---- Processes -----------------------------------------------------------------------------------


def test_a_pickle_is_small_and_holds_neither_listing_nor_content(fs: ArchiveFileSystem) -> None:
    fs.find("", detail=True)
    fs.cat("large")
    file = fs.open("lines")
    file.read(4)
    assert len(pickle.dumps(fs)) < 1000
    assert len(pickle.dumps(file)) < 1200
    again = pickle.loads(pickle.dumps(file))  # noqa: S301 -- our own
    assert again.read() == CONTENTS["lines"][4:]
    assert pickle.loads(pickle.dumps(fs)).cat("a.b") == b"dot"  # noqa: S301 -- likewise


def test_its_json_opens_it_again(fs: ArchiveFileSystem) -> None:
    text = fs.to_json()
    assert json.loads(text)["protocol"] == "squashfs"
    assert fsspec.AbstractFileSystem.from_json(text).cat("a.b") == b"dot"


def test_32_threads_read_the_right_bytes(fs: ArchiveFileSystem) -> None:
    names = [*CONTENTS] * 8
    with ThreadPoolExecutor(32) as pool:
        assert [*pool.map(fs.cat_file, names)] == [CONTENTS[name] for name in names]
        found = [*pool.map(lambda _: fs.find(""), range(32))]
    assert found == [fs.find("")] * 32


# ---- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda fs: fs.mkdir("new"),
        lambda fs: fs.makedirs("new/er", exist_ok=True),
        lambda fs: fs.rmdir("nothing"),
        lambda fs: fs.rm("a", recursive=True),
        lambda fs: fs.rm_file("a.b"),
        lambda fs: fs.delete("a.b"),
        lambda fs: fs.cp_file("a.b", "c"),
        lambda fs: fs.copy("a.b", "c"),
        lambda fs: fs.mv("a.b", "c"),
        lambda fs: fs.touch("a.b"),
        lambda fs: fs.pipe("new", b"x"),
        lambda fs: fs.pipe_file("new", b"x", mode="create"),
        lambda fs: fs.write_text("new", "x"),
        lambda fs: fs.put_file(__file__, "new"),
        lambda fs: fs.put(__file__, "new"),
        lambda fs: fs.open("a.b", "wb"),
        lambda fs: fs.open("a.b", "ab"),
        lambda fs: fs.open("a.b", "r+b"),
        lambda fs: fs.open("new", "x"),
    ],
)
def test_writing_is_refused(
    fs: ArchiveFileSystem, write: Callable[[ArchiveFileSystem], object]
) -> None:
    with pytest.raises(OSError, match="Read-only file system") as refusal:
        write(fs)
    assert refusal.value.errno == errno.EROFS
    assert fs.cat("a.b") == b"dot"
