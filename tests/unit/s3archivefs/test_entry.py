"""`DirEntry` lists and follows what it is, without resolving its path again."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs.directory import Directory, uncounted
from tests.support.images.built import build, directory, file, symlink

if TYPE_CHECKING:
    from s3archivefs.directory import Counter
    from s3archivefs.runs import Entry


def chain(depth: int) -> bytes:
    """Directories nested so deep, with links at the bottom to what lies around them."""
    node = directory(
        {
            b"absolute": symlink(b"/top"),
            b"beside": symlink(b"file"),
            b"climbing": symlink(b"../" * (depth + 5) + b"top"),
            b"file": file(b"bottom"),
            b"nowhere": symlink(b"../nowhere"),
            b"up": symlink(b".."),
        }
    )
    for _ in range(depth):
        node = directory({b"d": node})
    node.children[b"top"] = file(b"at the top")
    return bytes(build(node))


def bottom(fs: s3archivefs.SquashFS, depth: int) -> dict[str, s3archivefs.DirEntry[str]]:
    entries = fs.scandir("/")
    for _ in range(depth):
        entries = next(entries).scandir()
    return {entry.name: entry for entry in entries}


def test_a_scan_is_closed_by_with_as_that_of_os_scandir() -> None:
    with s3archivefs.open(s3archivefs.BytesDevice(chain(1))) as fs:
        with fs.scandir("/") as entries:
            (*_, top) = entries
        with next(fs.scandir("/")).scandir() as entries:
            first = next(entries)
            assert next(iter(entries)).name > first.name
        with fs.scandir_stats("/") as stats:
            assert next(stats) == ("d", fs.stat("/d"))
        assert (top.name, first.name) == ("top", "absolute")
        for closed in (entries, stats):
            assert [*closed] == []
            closed.close()


def test_an_entry_tells_the_number_of_its_inode_as_that_of_os_scandir() -> None:
    with s3archivefs.open(s3archivefs.BytesDevice(chain(1))) as fs:
        for entry in fs.scandir("/d"):
            number = fs.stat(entry.path, follow_symlinks=False).inode_number
            assert entry.inode() == entry.inode_number == number


def test_an_entry_lists_its_directory_as_its_path_does() -> None:
    with s3archivefs.open(s3archivefs.BytesDevice(chain(3))) as fs:
        entries = bottom(fs, 3)
        assert [*entries] == fs.listdir("/d/d/d")
        assert entries["file"].path == "/d/d/d/file"
        above = next(fs.scandir("/d/d"))
        assert [each.name for each in above.scandir(start="n")] == ["nowhere", "up"]
        assert [each.path for each in entries["up"].scandir()] == ["/d/d/d/up/d"]
        with pytest.raises(NotADirectoryError) as caught:
            entries["file"].scandir()
        assert caught.value.filename == "/d/d/d/file"
        with pytest.raises(FileNotFoundError):
            entries["nowhere"].scandir()
    with pytest.raises(ValueError, match="closed"):
        above.scandir()


def test_links_of_an_entry_lead_where_its_path_does_through_links_above_it_too() -> None:
    with s3archivefs.open(s3archivefs.BytesDevice(chain(3))) as fs:
        for entry in (*fs.scandir("/d/d/d"), *next(fs.scandir("/d/d")).scandir()):
            if entry.name == "nowhere":
                with pytest.raises(FileNotFoundError) as caught:
                    entry.stat()
                assert caught.value.filename == entry.path
            else:
                assert entry.stat() == fs.stat(entry.path)
        through = {entry.name: entry for entry in fs.scandir("/d/d/d/up/d/up")}
        assert through["d"].stat() == fs.stat("/d/d/d")
        assert next(bottom(fs, 3)["up"].scandir()).stat() == fs.stat("/d/d/d")


def test_the_reference_of_an_entry_is_that_of_its_own_inode() -> None:
    with s3archivefs.open(s3archivefs.BytesDevice(chain(1))) as fs:
        for entry in bottom(fs, 1).values():
            assert entry.reference == fs.stat(entry.path, follow_symlinks=False).reference


def test_work_from_an_entry_does_not_grow_with_its_depth() -> None:
    work = []
    for depth in (10, 400):
        with s3archivefs.open(s3archivefs.BytesDevice(chain(depth))) as fs:
            entries = bottom(fs, depth)
            counted: list[int] = []
            entries["beside"].stat(count=counted.append)
            entries["absolute"].stat(count=counted.append)
            work.append(sum(counted))
    assert work[0] == work[1] <= 20


def test_the_work_of_links_that_lead_nowhere_is_counted() -> None:
    hops = {b"l%02d" % hop: symlink(b"./" * 500 + b"l%02d" % (hop + 1)) for hop in range(39)}
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(build(directory(hops))))) as fs:
        counted: list[int] = []
        with pytest.raises(FileNotFoundError):
            next(fs.scandir("/")).stat(count=counted.append)
        assert 39 * 501 <= sum(counted) <= 39 * 501 + 100


def test_a_link_whose_way_decodes_large_listings_again_and_again_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []
    get = Directory.get

    def counting(self: Directory, name: bytes, count: Counter = uncounted) -> Entry | None:
        def both(work: int) -> None:
            decoded.append(work)
            count(work)

        return get(self, name, both)

    monkeypatch.setattr(Directory, "get", counting)
    names = {b"%04d" % number: symlink(b"nowhere") for number in range(2500)}
    large = {
        b"a": directory({**names, b"x": directory()}),
        b"b": directory({**names, b"x": directory()}),
    }
    way = symlink(b"a/x/../../b/x/../../" * 200 + b"a")
    image = s3archivefs.BytesDevice(bytes(build(directory({**large, b"way": way}))))
    # Too little for either to be kept.
    limits = s3archivefs.Limits(cache_bytes=1 << 14, resolution_steps=100_000)
    with s3archivefs.open(image, limits=limits) as fs:
        (link,) = (entry for entry in fs.scandir("/") if entry.is_symlink())
        counted: list[int] = []
        with pytest.raises(s3archivefs.LimitExceededError, match="resolution_steps"):
            link.stat(count=counted.append)
        assert 100_000 < sum(counted) <= 110_000
        for strict in (False, True):
            decoded.clear()
            with pytest.raises(s3archivefs.LimitExceededError, match="resolution_steps"):
                fs.realpath("/way", strict=strict)
            assert 90_000 < sum(decoded) <= 110_000


def test_an_entry_has_the_same_attributes_whenever_it_is_asked() -> None:
    names = [b"%03d" % number for number in range(600)]
    tree = {name: file(b"", mode=number % 512) for number, name in enumerate(names)}
    image = s3archivefs.BytesDevice(bytes(build(directory({**tree, b"link": symlink(b"007")}))))
    with s3archivefs.open(image) as fs:
        expected = {name: fs.stat(name, follow_symlinks=False) for name in fs.listdir("/")}
        as_read = {entry.name: entry.stat(follow_symlinks=False) for entry in fs.scandir("/")}
        at_the_end = [*fs.scandir("/")]
        assert as_read == expected
        assert {each.name: each.stat(follow_symlinks=False) for each in at_the_end} == expected
        some = [entry.stat() for entry in fs.scandir("/") if entry.name.endswith("7")]
        assert some == [fs.stat(name) for name in names if name.endswith(b"7")]


def test_an_entry_that_is_kept_keeps_no_others() -> None:
    names = [b"%04d" % number for number in range(2000)]
    image = bytes(build(directory({name: file(b"") for name in names}, extended=True)))
    limits = s3archivefs.Limits(cache_bytes=0)
    with s3archivefs.open(s3archivefs.BytesDevice(image), limits=limits) as fs:
        kept = []
        tracemalloc.start()
        try:
            for _ in range(20):
                for number, entry in enumerate(fs.scandir("/")):
                    entry.stat()
                    if number % 500 == 0:
                        kept.append(entry)
            assert len(kept) == 80
            assert tracemalloc.get_traced_memory()[0] < len(kept) * 2000
        finally:
            tracemalloc.stop()


def test_an_entry_of_a_closed_image_has_no_attributes() -> None:
    image = bytes(build(directory({b"%d" % number: file(b"") for number in range(9)})))
    with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
        found = fs.scandir("/")
        entries = [next(found) for _ in range(9)]
        assert [entry.stat().size for entry in entries] == [0] * 9
    for entry in entries:
        with pytest.raises(ValueError, match="closed"):
            entry.stat()
