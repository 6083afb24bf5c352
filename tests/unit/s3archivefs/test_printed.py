"""Names as the commands print them, and take them back."""

from __future__ import annotations

import os
import string
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs.cli import main
from s3archivefs.printed import printed, unprinted
from tests.support.images.built import build, directory, file, symlink
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.images.built import Node

# What names look alike with: escapes, parts of them, and what stands for them.
_PIECES = st.sampled_from(
    [b"\\", b"x", b"e9", b"\xe9", b"\xc3\xa9", b"-", b"\n", b"\x1b", b"5c", b"2d", b" ", b"\xff"]
)
names = st.one_of(
    st.lists(_PIECES, min_size=1, max_size=6).map(b"".join),
    st.binary(min_size=1, max_size=20).map(lambda name: name.replace(b"/", b"_")),
    st.text(min_size=1, max_size=20).map(lambda name: os.fsencode(name.replace("/", "_"))),
).filter(lambda name: b"\0" not in name and name not in {b".", b".."})


def image_of(path: Path, named: dict[bytes, Node]) -> str:
    """An image of a directory `d` with these."""
    tree = directory({b"d": directory(dict(sorted(named.items())), extended=True)})
    path.write_bytes(bytes(build(tree)))
    return str(path)


ALIKE = [
    b"latin-\xe9\xff",
    rb"latin-\xe9\xff",
    rb"latin-\\xe9\\xff",
    "latin-éÿ".encode(),
    rb"latin-\xc3\xa9\xc3\xbf",
    b"back\\slash",
    b"back\\\\slash",
    b"\\",
    b"\\\\",
    b"\\x5c",
    b"\\x",
    b"a\\x2fb",
    b"a\\x00b",
    b"-l",
    b"\\x2dl",
    b"--",
    b"-",
    b"new\nline",
    b"new\\x0aline",
    b"\x1b[31mred",
    b" blanks ",
    "日本".encode(),
    "no\u00a0break".encode(),
    b"\xc3",
    b"\xa9",
]


@pytest.mark.parametrize("top", ["/d", "d"])
def test_cat_finds_each_name_as_ls_prints_it(
    top: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    image = image_of(tmp_path / "t.sqfs", {name: file(b"in " + name) for name in ALIKE})
    assert main(["ls", image, top]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert len(set(lines)) == len(ALIKE)
    for name, line in zip(sorted(ALIKE), lines, strict=True):
        assert line.isprintable()
        assert main(["cat", image, f"{top}/{line}"]) == 0
        assert capfdbinary.readouterr().out == b"in " + name


def test_names_of_the_root_are_taken_though_they_begin_like_options(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "t.sqfs"
    path.write_bytes(bytes(build(directory({b"--help": file(b"1"), b"-l": file(b"2")}))))
    assert main(["ls", str(path)]) == 0
    for line, content in zip(
        capfdbinary.readouterr().out.decode().splitlines(), b"12", strict=True
    ):
        assert main(["cat", str(path), line]) == 0
        assert capfdbinary.readouterr().out == bytes([content])


@pytest.mark.parametrize("name", [b"latin-\xe9", b"a\\b", rb"a\x41", b"a\\", rb"\\", b"\\x2dl"])
def test_name_is_taken_as_it_is_where_nothing_else_is_printed_so(
    name: bytes, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    image = image_of(tmp_path / "t.sqfs", {name: file(b"content")})
    assert main(["cat", image, "d/" + os.fsdecode(name)]) == 0
    assert capfdbinary.readouterr().out == b"content"


def test_directories_and_targets_are_printed_and_taken_so_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = directory({b"x\\y": file(b"content")}, extended=True)
    image = image_of(tmp_path / "t.sqfs", {b"\xff\\": inner, b"z": symlink(b"\xff\\/x\\y\n")})
    assert main(["ls", "-l", image, "/d"]) == 0
    link, listed = capsys.readouterr().out.splitlines()
    assert link.endswith(r" z -> \xff\\/x\\y\x0a")
    assert listed.endswith(r" \xff\\")
    assert main(["ls", image, r"/d/\xff\\"]) == 0
    assert capsys.readouterr().out == "x\\\\y\n"


def test_path_that_leads_nowhere_is_named_as_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = image_of(tmp_path / "t.sqfs", {b"a": symlink(b"nowhere")})
    for path in (r"/d/\xe9", "/d/\\\\", "/d/a"):
        assert main(["cat", image, path]) == 3
        assert capsys.readouterr().err == f"s3archivefs: {path}: No such file or directory\n"


def test_lines_of_ls_are_taken_from_a_shell(tmp_path: Path) -> None:
    alike = [b"latin-\xe9\xff", rb"latin-\xe9\xff", b"-l\n"]
    image = image_of(tmp_path / "t.sqfs", {name: file(b"in " + name) for name in alike})
    script = """
        s3archivefs() { "$0" -m s3archivefs.cli "$@"; }
        s3archivefs ls "$1" d | while IFS= read -r name; do s3archivefs cat "$1" "d/$name"; done
    """
    command = ["sh", "-c", script, sys.executable, image]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stdout == b"".join(b"in " + name for name in sorted(alike))
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_cannot_show_is_escaped(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "s3archivefs.cli", "ls", str(FIXTURES["non-utf8"].image)]
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    lines = done.stdout.decode(encoding).splitlines()
    assert sorted(map(unprinted, lines)) == sorted(
        os.fsencode(node.path[1:])
        for node in FIXTURES["non-utf8"].tree
        if node.path.count("/") == 1 and node.path != "/"
    )


@pytest.mark.property
@given(names, st.sampled_from(["utf-8", "ascii", "latin-1", "utf-16"]))
@example(b"-", "utf-8")
@example(rb"\x2d", "utf-8")
def test_any_name_comes_back_from_what_is_printed(name: bytes, encoding: str) -> None:
    text = printed(name, encoding)
    assert unprinted(text) == name
    assert unprinted(f"d/{text}/{text}") == b"/".join([b"d", name, name])
    assert text.isprintable()
    assert not text.startswith("-")
    text.encode(encoding)


@pytest.mark.property
@given(names, names)
def test_no_two_names_are_printed_alike(one: bytes, other: bytes) -> None:
    assert (printed(one) == printed(other)) is (one == other)


@given(st.text(string.ascii_letters + string.digits + "._ -é日", min_size=1))
def test_ordinary_names_are_printed_as_they_are(name: str) -> None:
    assert printed("a" + name) == "a" + name
    assert unprinted("a" + name) == os.fsencode("a" + name)
