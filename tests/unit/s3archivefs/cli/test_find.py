from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs.cli import main
from tests.support.command_line import run
from tests.support.images.fixtures import FIXTURES, Fixture, Observed, open_fixture

LETTERS = {
    "file": "f",
    "directory": "d",
    "symlink": "l",
    "block_device": "b",
    "char_device": "c",
    "fifo": "p",
    "socket": "s",
}
# In these images are odd names, all kinds of files, many entries, attributes and hard links.
SEARCHED = ("gzip", "non-utf8", "special", "indexed", "xattrs", "hard-links", "symlinks")


def found(fixture: Fixture, *options: str) -> list[str]:
    """The paths that a search finds, in its order."""
    ran = run("find", "--offset", fixture.offset, "-0", *options, fixture.image)
    assert (ran.code, ran.errors) == (0, "")
    paths = ran.written.decode("utf-8", "surrogateescape").split("\0")
    assert paths.pop() == ""
    return paths


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_find_finds_what_walk_does(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        walked = [
            f"{top.rstrip('/')}/{name}"
            for top, directories, others in fs.walk("/", symlinks_as_files=True)
            for name in (*directories, *others)
        ]
    assert sorted(found(fixture)) == sorted(["/", *walked])


def test_find_enters_a_directory_before_the_next_name() -> None:
    ran = run("find", FIXTURES["gzip"].image, "docs", "/short.txt")
    assert ran.text.splitlines() == [
        "docs",
        "docs/deep",
        "docs/deep/page.txt",
        "docs/guide.txt",
        "/short.txt",
    ]


@pytest.mark.parametrize("depth", range(4))
def test_find_goes_down_as_far_as_it_is_told(depth: int) -> None:
    fixture = FIXTURES["gzip"]
    assert sorted(found(fixture, "--max-depth", str(depth))) == sorted(
        each.path for each in fixture.tree if len([*filter(None, each.path.split("/"))]) <= depth
    )


# ---- What is wanted ------------------------------------------------------------------------------

Holds = Callable[[Observed], bool]


def by_name(option: str, glob: str) -> tuple[str, Holds]:
    match option:
        case "name":
            return f"--name={glob}", lambda each: fnmatchcase(name_of(each), glob)
        case "iname":
            lower = glob.lower()
            upper = f"--iname={glob.upper()}"
            return upper, lambda each: fnmatchcase(name_of(each).lower(), lower)
        case _:
            return f"--path={glob}", lambda each: fnmatchcase(each.path, glob)


def name_of(each: Observed) -> str:
    return each.path.rpartition("/")[2] or "/"


def by_size(sign: str, number: int, unit: str) -> tuple[str, Holds]:
    size = number * {"": 1, "c": 1, "k": 1024, "M": 1024**2, "G": 1024**3}[unit]
    compared: dict[str, Holds] = {
        "+": lambda each: each.size > size,
        "-": lambda each: each.size < size,
        "": lambda each: each.size == size,
    }
    return f"--size={sign}{number}{unit}", compared[sign]


def by_type(letters: list[str]) -> tuple[str, Holds]:
    return f"--type={','.join(letters)}", lambda each: LETTERS[each.kind] in letters


def by_time(moment: int, form: str) -> tuple[str, Holds]:
    text = datetime.fromtimestamp(moment, UTC).strftime(form) if form else f"@{moment}"
    return f"--newer={text}", lambda each: each.mtime > moment


GLOBS = st.lists(st.sampled_from(["*", "?", "[a-m]", "t", "e", ".", "/", "\udcff", "-"]))
SIZES = st.sampled_from([0, 1, 7, 100, 300, 4096, 4596, 10**20])
TIMES = st.sampled_from([0, 1_400_000_000, 1_500_000_000, 1_500_000_001, 1_600_000_000])
PREDICATES = st.one_of(
    st.builds(by_name, st.sampled_from(["name", "iname", "path"]), GLOBS.map("".join)),
    st.builds(by_size, st.sampled_from(["+", "-", ""]), SIZES, st.sampled_from(["", "c"])),
    st.builds(by_size, st.sampled_from(["+", "-"]), st.just(1), st.sampled_from("kMG")),
    st.builds(by_type, st.lists(st.sampled_from([*LETTERS.values()]), min_size=1, max_size=3)),
    st.builds(by_time, TIMES, st.sampled_from(["", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ"])),
)


@pytest.mark.property
@given(
    name=st.sampled_from(SEARCHED),
    drawn=st.lists(PREDICATES, max_size=3, unique_by=lambda each: each[0].partition("=")[0]),
)
def test_find_wants_what_a_filter_over_the_tree_does(
    name: str, drawn: list[tuple[str, Holds]]
) -> None:
    tree = FIXTURES[name].tree
    wanted = [each.path for each in tree if all(holds(each) for _, holds in drawn)]
    assert sorted(found(FIXTURES[name], *(option for option, _ in drawn))) == sorted(wanted)


@pytest.mark.parametrize("name", ["gzip", "empty-files", "empty"])
def test_empty_are_files_without_content_and_directories_without_entries(name: str) -> None:
    tree = FIXTURES[name].tree
    above = {each.path.rpartition("/")[0] or "/" for each in tree if each.path != "/"}
    assert sorted(found(FIXTURES[name], "--empty")) == sorted(
        each.path
        for each in tree
        if (each.kind == "file" and not each.size)
        or (each.kind == "directory" and each.path not in above)
    )


@pytest.mark.parametrize("name", ["xattrs", "xattrs-dropped", "tar2sqfs-xattrs"])
@pytest.mark.parametrize("wanted", ["user.kind", "trusted.kind", "user.none"])
def test_find_looks_for_an_attribute(name: str, wanted: str) -> None:
    with open_fixture(FIXTURES[name]) as fs:
        having = [
            each.path
            for each in FIXTURES[name].tree
            if wanted in fs.listxattr(each.path, follow_symlinks=False)
        ]
    assert found(FIXTURES[name], "--xattr", wanted) == having


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--size", "1T"),
        ("--size", "k"),
        ("--size", "1.5k"),
        ("--size", "++1"),
        ("--newer", "yesterday"),
        ("--newer", "2026-13-01"),
        ("--newer", "@"),
        ("--type", "x"),
        ("--max-depth", "-1"),
    ],
)
def test_find_refuses_what_it_cannot_mean(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["find", f"{option}={text}", str(FIXTURES["gzip"].image)])
    assert ended.value.code == 2
    assert f"argument {option}: {text!r} is no " in capsys.readouterr().err


# ---- How it is written ---------------------------------------------------------------------------


def test_json_has_what_stat_says() -> None:
    image = FIXTURES["special"].image
    items = run("find", "--json", image).items
    with s3archivefs.open(image) as fs:
        for item in items:
            stat = fs.stat(item["path"], follow_symlinks=False)
            assert item["kind"] == stat.kind.name.lower()
            assert int(item["mode"], 8) == stat.mode & 0o7777
            assert item["inode"] == stat.inode_number
    assert len(items) == len(FIXTURES["special"].tree)


def test_json_has_names_whole() -> None:
    fixture = FIXTURES["non-utf8"]
    items = run("find", "--json", fixture.image).items
    paths = [
        base64.b64decode(item["path_b64"]) if "path_b64" in item else item["path"].encode()
        for item in items
    ]
    assert paths == [
        each.encode("utf-8", "surrogateescape") for each in found(FIXTURES["non-utf8"])
    ]
