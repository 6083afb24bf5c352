"""What an extraction makes of members: content, attributes, links, holes; and of which."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures import tree
from s3archivefs import Counts, FileKind, Member, data_filter
from tests.support.images.built import build, directory, file, special, symlink
from tests.support.images.drafts import draft
from tests.support.images.extracted import mode_of, opened, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.extraction.filters import Filter
    from tests.support.images.drafts import Draft

BLOCK = 4096
WHOLE = {
    "docs": None,
    "docs/deep": None,
    "docs/deep/page.txt": b"page",
    "docs/guide.txt": b"guide" * 2000,
    "docs/link": "deep/page.txt",
    "empty": None,
    "top.bin": b"top",
}

PAGE = {"docs", "docs/deep", "docs/deep/page.txt"}


@pytest.fixture(scope="module")
def fs() -> s3archivefs.SquashFS:
    deep = directory({b"page.txt": file(b"page", in_fragment=True, mtime=11)}, mode=0o711, mtime=12)
    docs = directory(
        {
            b"deep": deep,
            b"guide.txt": file(b"guide" * 2000, in_fragment=True, mode=0o600, mtime=13),
            b"link": symlink(b"deep/page.txt", mtime=14),
        },
        mode=0o750,
        mtime=15,
    )
    top = {b"docs": docs, b"empty": directory(mode=0o700, mtime=16), b"top.bin": file(b"top")}
    return opened(build(directory(top, mode=0o755, mtime=17)))


def test_tree_is_extracted_with_modes_and_times(fs: s3archivefs.SquashFS, tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    counts = fs.extract("/", target)
    assert tree_of(target) == WHOLE
    assert counts == Counts(files=3, bytes=10007, directories=3, others=1)
    modes = {"docs": 0o750, "docs/deep": 0o711, "docs/guide.txt": 0o600, "top.bin": 0o644}
    assert {name: mode_of(target / name) for name in modes} == modes
    times = {"docs/deep/page.txt": 11, "docs/deep": 12, "docs/guide.txt": 13, "docs/link": 14}
    times |= {"docs": 15, "empty": 16, ".": 17}
    assert {name: (target / name).lstat().st_mtime for name in times} == times
    assert mode_of(target) == 0o755


def test_a_target_that_was_there_keeps_its_attributes(
    fs: s3archivefs.SquashFS, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    fs.extract("/", tmp_path)
    assert mode_of(tmp_path) == 0o700
    assert tmp_path.stat().st_mtime > 17


@pytest.mark.parametrize(
    ("paths", "options", "expected"),
    [
        ("docs/deep/page.txt", {}, PAGE),
        (b"/docs/deep/", {}, PAGE),
        (Path("top.bin"), {}, {"top.bin"}),
        (["/top.bin", "empty"], {}, {"top.bin", "empty"}),
        ("docs/../empty", {}, {"empty"}),
        ("/..", {}, set(WHOLE)),
        ("docs/..", {}, set(WHOLE)),
        ("/docs/deep/../deep/.", {}, PAGE),
        ("/docs/deep/..", {}, {"docs", *(name for name in WHOLE if name.startswith("docs/"))}),
        (["/docs/deep", "/docs/deep/"], {}, PAGE),
        (["/docs/deep/page.txt", "/docs/deep", "top.bin"], {}, {*PAGE, "top.bin"}),
        (["/top.bin", "/docs", "/"], {}, set(WHOLE)),
        ("/", {"strip_components": 1}, {"deep", "deep/page.txt", "guide.txt", "link"}),
        ("/docs/deep", {"strip_components": 2}, {"page.txt"}),
        ("/", {"strip_components": 9}, set()),
        ("/", {"include": ["*.txt"]}, {*PAGE, "docs/guide.txt"}),
        ("/", {"include": ["deep", "*.bin"]}, {*PAGE, "top.bin"}),
        ("/", {"exclude": ["/docs", "*.bin"]}, {"empty"}),
        ("/docs", {"exclude": ["docs/*.txt"], "include": ["*.txt"]}, PAGE),
        ("/docs", {"exclude": ["docs"]}, set()),
        ("/docs/deep/page.txt", {"exclude": ["docs"]}, set()),
        ("/top.bin", {"exclude": ["*.bin"]}, set()),
        ([], {}, set()),
        ("/docs/deep", {"name": "new"}, {"new", "new/page.txt"}),
        ("/docs/guide.txt", {"name": "new"}, {"new"}),
        ("/docs/link", {"name": "new"}, {"new"}),
        ("/", {"name": "new"}, {"new", *(f"new/{name}" for name in WHOLE)}),
        ("/docs", {"name": "new", "exclude": ["/docs/deep"]}, {"new", "new/guide.txt", "new/link"}),
    ],
)  # fmt: skip
def test_only_what_is_asked_for_is_extracted(
    fs: s3archivefs.SquashFS,
    tmp_path: Path,
    paths: str | list[str],
    options: dict[str, object],
    expected: set[str],
) -> None:
    fs.extract(paths, tmp_path, **options)  # type: ignore[arg-type]  # of each its own
    assert tree_of(tmp_path).keys() == expected


@pytest.mark.parametrize("path", ["/..", "docs/..", "/docs/deep/.."])
@pytest.mark.parametrize("trust", ["data", "fully-trusted", lambda member, _: member])
def test_a_path_that_ends_in_dots_leads_nowhere_else(
    fs: s3archivefs.SquashFS, tmp_path: Path, path: str, trust: str | Filter
) -> None:
    fs.extract(path, tmp_path / "target", filter=trust)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert tree_of(tmp_path / "target").items() <= WHOLE.items()


def test_a_path_below_another_is_still_looked_for(fs: s3archivefs.SquashFS, tmp_path: Path) -> None:
    reported: list[str] = []
    fs.extract(["/", "/docs/no"], tmp_path, on_error=lambda path, _: reported.append(path))
    assert reported == ["/docs/no"]
    assert tree_of(tmp_path) == WHOLE


def test_a_path_behind_a_symlink_is_not_below_what_holds_the_symlink(tmp_path: Path) -> None:
    top = {b"d": directory({b"l": symlink(b"../usr")}), b"usr": directory({b"ls": file(b"#!")})}
    reported: list[str] = []
    fs = opened(build(directory(top)))
    fs.extract(["/d/l/ls", "/d"], tmp_path, on_error=lambda path, _: reported.append(path))
    assert reported == ["/d/l/ls"]  # whose directory has the name of a symlink
    assert tree_of(tmp_path) == {"d": None, "d/l": "../usr"}


def test_a_slash_at_the_end_asks_for_a_directory(tmp_path: Path) -> None:
    usr = directory({b"ls": file(b"#!")}, mode=0o750)
    fs = opened(build(directory({b"bin": symlink(b"usr"), b"sh": symlink(b"usr/ls"), b"usr": usr})))
    fs.extract(["/bin/", "bin/ls"], tmp_path)
    assert tree_of(tmp_path) == {"bin": None, "bin/ls": b"#!"}
    assert mode_of(tmp_path / "bin") == 0o750
    for path in ("sh/", "usr/ls/", "usr/ls/.", "usr/ls/.."):
        with pytest.raises(NotADirectoryError):
            fs.extract(path, tmp_path)


def test_directories_on_the_way_have_their_attributes(
    fs: s3archivefs.SquashFS, tmp_path: Path
) -> None:
    fs.extract("docs/deep/page.txt", tmp_path)
    assert mode_of(tmp_path / "docs") == 0o750
    assert (tmp_path / "docs").stat().st_mtime == 15
    assert (tmp_path / "docs/deep").stat().st_mtime == 12


def test_a_path_that_is_not_there_is_an_error(fs: s3archivefs.SquashFS, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fs.extract("/nowhere", tmp_path)
    with pytest.raises(NotADirectoryError):
        fs.extract("/top.bin/x", tmp_path)
    reported: list[str] = []
    fs.extract(["/nowhere", "/top.bin"], tmp_path, on_error=lambda path, _: reported.append(path))
    assert reported == ["/nowhere"]
    assert tree_of(tmp_path) == {"top.bin": b"top"}


def test_a_path_through_a_symlink_of_the_image_keeps_its_names(tmp_path: Path) -> None:
    image = build(directory({b"bin": symlink(b"usr"), b"usr": directory({b"ls": file(b"#!")})}))
    opened(image).extract("/bin/ls", tmp_path)
    assert tree_of(tmp_path) == {"bin": None, "bin/ls": b"#!"}


def test_hard_links_are_restored(tmp_path: Path) -> None:
    node = file(b"once" * 999, extended=True, in_fragment=True, nlink=3)
    link = symlink(b"x", extended=True, nlink=2, xattr=2**32 - 1)
    top = {b"a": node, b"b": node, b"d": directory({b"c": node, b"l": link}), b"e": link}
    counts = opened(build(directory(top))).extract("/", tmp_path)
    names = [tmp_path / name for name in ("a", "b", "d/c")]
    assert {path.stat().st_ino for path in names} == {names[0].stat().st_ino}
    assert names[0].read_bytes() == b"once" * 999
    assert (tmp_path / "e").lstat().st_ino == (tmp_path / "d/l").lstat().st_ino
    assert (counts.files, counts.bytes, counts.others) == (3, 3 * 4 * 999, 2)


@pytest.mark.parametrize("size", [40 * BLOCK, 40 * BLOCK + 5, (5 << 20) + 7])
def test_holes_are_restored(tmp_path: Path, size: int) -> None:
    data = b"x" * BLOCK
    hole = bytes(size - 2 * BLOCK)
    contents = {b"after": data + hole, b"all": hole + bytes(2 * BLOCK), b"before": hole + data}
    contents[b"between"] = data + hole + data
    image = build(directory({name: file(each, extended=True) for name, each in contents.items()}))
    opened(image).extract("/", tmp_path)
    for name, content in contents.items():
        path = tmp_path / name.decode()
        assert path.read_bytes() == content
        assert path.stat().st_blocks * 512 <= 3 * BLOCK


def test_a_file_too_large_for_memory_is_written_piece_by_piece(tmp_path: Path) -> None:
    content = b"".join(b"%08d" % number for number in range(700_000))
    shown: list[tuple[int, int]] = []
    with opened(build(directory({b"large": file(content)}))) as fs:
        fs.extract("/", tmp_path, progress=lambda files, size: shown.append((files, size)))
    assert (tmp_path / "large").read_bytes() == content
    assert len(shown) >= 2
    assert sum(size for _, size in shown) == len(content)
    assert sum(files for files, _ in shown) == 1


def test_progress_counts_regular_files(fs: s3archivefs.SquashFS, tmp_path: Path) -> None:
    shown: list[tuple[int, int]] = []
    fs.extract("/", tmp_path, progress=lambda *more: shown.append(more))
    assert shown == [(3, 10007)]
    fs.extract("/", tmp_path, existing="keep", progress=lambda *more: shown.append(more))
    assert shown == [(3, 10007)] * 2


def test_progress_takes_nothing_back_where_a_large_file_is_damaged(tmp_path: Path) -> None:
    # Only the last block of the first file is damaged.
    content = b"".join(b"%08d" % number for number in range(700_000))
    words = [BLOCK | 1 << 24] * (len(content) // BLOCK) + [0x1000]
    tree = {b"a": file(content, words=words)}
    tree |= {b"f%03d" % number: file(b"0123", in_fragment=True) for number in range(100)}
    shown: list[tuple[int, int]] = []
    failed: list[str] = []
    with opened(build(directory(tree))) as fs:
        counts = fs.extract(
            "/",
            tmp_path,
            on_error=lambda path, _: failed.append(path),
            progress=lambda *more: shown.append(more),
        )
    assert failed == ["/a"]
    assert (counts.files, counts.bytes) == (100, 400)
    assert min(min(each) for each in shown) >= 0
    assert sum(files for files, _ in shown) == 100
    assert sum(size for _, size in shown) < len(content)


def test_progress_counts_a_file_that_is_found_there_when_it_is_made(tmp_path: Path) -> None:
    tree = {name: directory({b"f": file(b"four")}) for name in (b"a", b"b")}
    shown: list[tuple[int, int]] = []
    with opened(build(directory(tree))) as fs:
        counts = fs.extract(
            "/",
            tmp_path / "out",
            filter=flat,
            existing="keep",
            progress=lambda *more: shown.append(more),
        )
    assert (counts.files, counts.kept) == (1, 1)
    assert shown == [(2, 8)]


def test_more_directories_than_may_be_open_at_a_time(tmp_path: Path) -> None:
    many = {b"%03d" % number: directory({b"f": file(b"%d" % number)}) for number in range(140)}
    deep = directory({b"end": file(b"end")})
    for _ in range(140):
        deep = directory({b"d" * 100: deep})  # deeper than a path may be long
    opened(build(directory({**many, b"deep": deep}))).extract("/", tmp_path)
    handle = os.open(tmp_path / "deep", os.O_RDONLY)
    for _ in range(140):
        inner = os.open(b"d" * 100, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    assert os.stat("end", dir_fd=handle).st_size == 3
    os.close(handle)
    assert (tmp_path / "139/f").read_bytes() == b"139"


def test_directories_that_their_owner_may_not_enter_are_filled(tmp_path: Path) -> None:
    node = file(b"one", extended=True, nlink=2)
    top = {
        b"d": directory({b"a": node}, mode=0, mtime=5),
        b"e": directory({b"b": node}, mode=0o300),
    }
    opened(build(directory(top))).extract("/", tmp_path, filter="fully-trusted")
    assert mode_of(tmp_path / "d") == 0
    assert mode_of(tmp_path / "e") == 0o300
    for name in "de":
        (tmp_path / name).chmod(0o700)
    assert (tmp_path / "d").stat().st_mtime == 5
    assert (tmp_path / "d/a").stat().st_ino == (tmp_path / "e/b").stat().st_ino


# ---- filters -------------------------------------------------------------------------------------


def upper(member: Member, target: str) -> Member | None:
    assert Path(target).is_dir()
    return member.replace(name=member.name.upper())


def files_alone(member: Member, _: str) -> Member | None:
    return member if member.kind is FileKind.FILE else None


def flat(member: Member, _: str) -> Member | None:
    if member.kind is FileKind.DIRECTORY:
        return None
    return member.replace(name="./x//" + member.path.rpartition("/")[2])


def plain(member: Member, _: str) -> Member | None:
    return member.replace(mode=None, mtime=None)


@pytest.mark.parametrize(
    ("filtering", "expected"),
    [
        (upper, {name.upper() for name in WHOLE}),
        (files_alone, set(WHOLE) - {"empty", "docs/link"}),
        (flat, {"x", "x/page.txt", "x/guide.txt", "x/link", "x/top.bin"}),
    ],
)
def test_a_function_renames_and_leaves_out(
    fs: s3archivefs.SquashFS,
    tmp_path: Path,
    filtering: Callable[[Member, str], Member | None],
    expected: set[str],
) -> None:
    fs.extract("/", tmp_path, filter=filtering)
    assert tree_of(tmp_path).keys() == expected


def test_what_a_function_leaves_open_is_the_systems(
    fs: s3archivefs.SquashFS, tmp_path: Path
) -> None:
    before = tmp_path.stat().st_mtime
    umask = os.umask(0o027)
    try:
        fs.extract("/", tmp_path, filter=plain)
    finally:
        os.umask(umask)
    assert (tmp_path / "docs").stat().st_mtime >= before
    assert mode_of(tmp_path / "docs") == 0o750
    assert mode_of(tmp_path / "top.bin") == 0o640


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("/etc/passwd", s3archivefs.AbsolutePathError),
        ("../x", s3archivefs.OutsideDestinationError),
        ("a/../../x", s3archivefs.OutsideDestinationError),
        (".", s3archivefs.OutsideDestinationError),
        ("", s3archivefs.OutsideDestinationError),
    ],
)
def test_no_function_can_name_what_lies_outside(
    fs: s3archivefs.SquashFS, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    target = tmp_path / "target"
    for path in ("top.bin", "docs", "docs/link"):
        with pytest.raises(error):
            fs.extract(path, target, filter=lambda member, _: member.replace(name=name))
    assert tree_of(tmp_path) == {"target": None}


def test_an_exception_of_a_function_ends_the_extraction(
    fs: s3archivefs.SquashFS, tmp_path: Path
) -> None:
    def failing(member: Member, target: str) -> Member:
        if member.name == "top.bin":
            raise KeyError(member.name)
        return data_filter(member, target)

    with pytest.raises(KeyError):
        fs.extract("/", tmp_path, filter=failing, on_error=lambda *_: None)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"filter": "harmless"}, ValueError),
        ({"existing": "overwrite"}, ValueError),
        ({"strip_components": -1}, ValueError),
        ({"owner": True}, ValueError),
        ({"include": "*.txt"}, TypeError),
        ({"exclude": "*.txt"}, TypeError),
        ({"include": [""]}, ValueError),
        ({"name": "a/b"}, ValueError),
        ({"name": ".."}, ValueError),
        ({"name": "a", "strip_components": 1}, ValueError),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_made(
    fs: s3archivefs.SquashFS, tmp_path: Path, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        fs.extract("/", tmp_path / "target", **options)  # type: ignore[arg-type]  # that is tested
    assert tree_of(tmp_path) == {}


def test_a_damaged_file_is_reported_and_the_others_follow(tmp_path: Path) -> None:
    image = build(directory({b"bad": file(b"b" * 9, words=[9]), b"good": file(b"good")}))
    with pytest.raises(s3archivefs.CorruptImageError):
        opened(image).extract("/", tmp_path / "first")
    reported: list[tuple[str, type[Exception]]] = []
    opened(image).extract(
        "/", tmp_path / "second", on_error=lambda path, error: reported.append((path, type(error)))
    )
    assert reported == [("/bad", s3archivefs.CorruptImageError)]
    assert tree_of(tmp_path / "second") == {"good": b"good"}


def test_a_file_of_damaged_attributes_is_reported_and_the_others_follow(tmp_path: Path) -> None:
    bad = 1_234_567_801
    nodes = (tree.file("a", b"a"), tree.file("bad", b"b", mtime=bad), tree.file("c", b"c"))
    image = draft(tmp_path, nodes)
    image.put(image.inode(bad), "H", 99)
    reported: list[tuple[str, type[Exception]]] = []
    with image.open() as fs:
        with pytest.raises(s3archivefs.CorruptImageError, match="type 99"):
            fs.extract("/", tmp_path / "first")
        fs.extract(
            "/", tmp_path / "all", on_error=lambda path, error: reported.append((path, type(error)))
        )
    assert reported == [("/bad", s3archivefs.CorruptImageError)]
    assert tree_of(tmp_path / "all") == {"a": b"a", "c": b"c"}


BAD = 1_234_567_801


@pytest.fixture
def to_be_damaged(tmp_path: Path) -> Draft:
    """An image with /d, whose time of modification is BAD."""
    below = (tree.directory("d/e"), tree.file("d/e/x", b"x"), tree.file("d/y", b"y"))
    return draft(tmp_path, (tree.directory("d", mode=0o2750, mtime=BAD), *below))


def test_a_directory_of_a_damaged_owner_is_reported_and_made(
    to_be_damaged: Draft, tmp_path: Path
) -> None:
    image = to_be_damaged
    image.put(image.inode(BAD) + 4, "H", 117)
    reported: list[tuple[str, type[Exception]]] = []
    members: dict[str, Member] = {}

    def noted(member: Member, _: str) -> Member:
        return members.setdefault(member.name, member)

    with image.open() as fs:
        with pytest.raises(s3archivefs.CorruptImageError, match="id 117"):
            fs.extract("/", tmp_path / "first")
        fs.extract(
            "/",
            tmp_path / "all",
            filter=noted,
            on_error=lambda path, error: reported.append((path, type(error))),
        )
    assert tree_of(tmp_path / "first") == {}
    assert reported == [("/d", s3archivefs.CorruptImageError)]
    whole = {"d": None, "d/e": None, "d/e/x": b"x", "d/y": b"y"}
    assert tree_of(tmp_path / "all") == whole
    made = (tmp_path / "all/d").stat()
    assert (mode_of(tmp_path / "all/d"), made.st_mtime, made.st_uid) == (0o750, BAD, os.geteuid())
    assert (members["d"].uid, members["d"].gid) == (None, None)
    assert (members["d/e"].uid, members["d/e"].gid) == (0, 0)


def test_a_directory_of_damaged_owner_within_itself_is_entered_once(
    to_be_damaged: Draft, tmp_path: Path
) -> None:
    image = to_be_damaged
    with image.open() as fs:
        image.lead(b"e", fs.stat("d/e"), fs.stat("d"))
    image.put(image.inode(BAD) + 4, "H", 117)
    reported: list[tuple[str, str]] = []
    with image.open() as fs:
        fs.extract(
            "/", tmp_path / "out", on_error=lambda path, error: reported.append((path, str(error)))
        )
    assert [path for path, _ in reported] == ["/d", "/d/e", "/d/e/"]
    assert "in the tree twice" in reported[-1][1]
    assert tree_of(tmp_path / "out") == {"d": None, "d/e": None, "d/y": b"y"}


def test_a_directory_of_a_damaged_inode_is_reported_once_and_not_made(
    to_be_damaged: Draft, tmp_path: Path
) -> None:
    image = to_be_damaged
    image.put(image.inode(BAD), "H", 99)
    reported: list[str] = []
    with image.open() as fs:
        fs.extract("/", tmp_path / "out", on_error=lambda path, _: reported.append(path))
    assert reported == ["/d"]
    assert tree_of(tmp_path / "out") == {}


def test_an_error_of_the_target_names_its_path(fs: s3archivefs.SquashFS, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        fs.extract("/", tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")


def test_a_full_disk_ends_the_extraction_and_leaves_what_is_whole(
    fs: s3archivefs.SquashFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def write(handle: int, piece: bytes) -> int:
        if len(piece) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, piece)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left") as caught:
        fs.extract("/", tmp_path, on_error=lambda *_: None)
    assert caught.value.filename == f"{tmp_path}/docs/guide.txt"
    made = tree_of(tmp_path)
    assert made.items() <= WHOLE.items()
    assert "docs/guide.txt" not in made
    assert (tmp_path / "docs").stat().st_mtime == 15
    monkeypatch.undo()
    fs.extract("/", tmp_path, existing="keep")
    assert tree_of(tmp_path) == WHOLE


def test_devices_are_made_for_root_alone(tmp_path: Path) -> None:
    image = build(directory({b"fifo": special(6, mode=0o622), b"null": special(5, rdev=0x103)}))
    with pytest.raises(s3archivefs.SpecialFileError, match="the filters tar and fully-trusted"):
        opened(image).extract("/", tmp_path)
    assert tree_of(tmp_path) == {}
