"""What a word of a command line may become: names inside the image that the line names."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli import main
from s3archivefs.cli.names_inside import (
    NAMES_MAX,
    image_and_path,
    names_inside,
    names_joined,
    unquoted,
)
from tests.support.images.built import build, directory, file, symlink

if TYPE_CHECKING:
    from pathlib import Path

TREE = directory({
    b"docs": directory({b"a b": file(b"b"), b"a.md": file(b"a"), b"deep": directory({})}),
    b"dozen": file(b"12"),
    b"link": symlink(b"docs"),
    b"\xff": file(b""),
})  # fmt: skip


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "a.sqfs"
    path.write_bytes(build(TREE).data)
    return str(path)


def test_a_word_becomes_names_that_begin_so_and_directories_end_with_a_slash(image: str) -> None:
    expected = {
        "": [b"docs/", b"dozen", b"link", rb"\xff"],
        "do": [b"docs/", b"dozen"],
        "/doc": [b"/docs/"],
        "docs/": [b"docs/a b", b"docs/a.md", b"docs/deep/"],
        "docs/a.": [b"docs/a.md"],
        "link/d": [b"link/deep/"],
        "docs/deep/": [],
        "missing": [],
        "\udcff": [rb"\xff"],
    }
    found = {word: [*names_inside(["ls", "-l", image, word], "zsh")] for word in expected}
    assert found == expected


def test_no_name_passes_for_an_option(tmp_path: Path) -> None:
    path = tmp_path / "a.sqfs"
    inside = directory({b"-l": file(b"")})
    path.write_bytes(build(directory({b"-R": file(b""), b"-d": inside, b"e": file(b"")})).data)
    expected = {
        "": [b"./-R", b"./-d/", b"e"],
        "./-": [b"./-R", b"./-d/"],
        "./-d/": [b"./-d/-l"],
        "/-": [b"/-R", b"/-d/"],
    }
    assert {word: [*names_inside(["ls", str(path), word], "zsh")] for word in expected} == expected
    assert main(["ls", str(path), "./-d/-l", "./-R"]) == 0


@pytest.mark.parametrize(
    ("shell", "name", "word"),
    [
        ("bash", b"x`reboot`", rb"x\x60reboot\x60"),
        ("bash", b"x$(reboot)", rb"x\x24(reboot)"),
        ("bash", b"x!y", rb"x\x21y"),
        ("bash", b"x y", b"x y"),
        ("zsh", b"x$HOME", b"x$HOME"),
        ("zsh", b"x\ny", rb"x\x0ay"),
        ("fish", b"x\x1b[2J", rb"x\x1b[2J"),
        ("fish", "x\N{RIGHT-TO-LEFT OVERRIDE}".encode(), rb"x\xe2\x80\xae"),
        ("zsh", "x\x9b2J".encode(), rb"x\xc2\x9b2J"),
        ("fish", b"x\\y", rb"x\y"),
        ("fish", rb"x\x41", rb"x\\x41"),
        ("tcsh", b"x y", rb"x\x20y"),
        ("tcsh", b"x{a,b}", rb"x\x7ba,b\x7d"),
        ("tcsh", b"x=~", b"x=~"),
        ("tcsh", b"x\xff", rb"x\xff"),
    ],
)
def test_a_name_that_a_shell_cannot_take_becomes_what_is_printed_of_it(
    shell: str, name: bytes, word: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.sqfs"
    path.write_bytes(build(directory({b"w": file(b""), name: file(b"")})).data)
    assert [*names_inside(["ls", str(path), "x"], shell)] == [word]
    assert [*names_inside(["ls", str(path), os.fsdecode(word)], shell)] == [word]
    assert main(["ls", str(path), os.fsdecode(word)]) == 0


@pytest.mark.parametrize("name", [b"~root", b"=1"])
def test_tcsh_gets_no_word_that_it_would_expand(name: bytes, image: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sqfs"
    path.write_bytes(build(directory({name: file(b"")})).data)
    assert [*names_inside(["ls", str(path), ""], "tcsh")] == [b"\\x%02x%s" % (name[0], name[1:])]


def test_a_word_is_an_image_with_a_path_where_a_file_is_one(image: str, tmp_path: Path) -> None:
    (tmp_path / "no.sqfs").write_text("no image")
    (tmp_path / "dir.sqfs").mkdir()
    assert image_and_path(f"{image}/docs/a") == (image, len(image))
    for word in (
        image,
        "",
        "/",
        "docs/a",
        str(tmp_path / "no.sqfs/docs"),
        str(tmp_path / "dir.sqfs/a"),
    ):
        assert image_and_path(word) is None


def test_a_path_is_completed_that_is_joined_to_its_image(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGE", image)
    for name in (image, "a.sqfs", "./a.sqfs", "~/a.sqfs", "$IMAGE", "${IMAGE}"):
        typed = name.encode()
        assert [*names_joined(["ls", f"{name}/do"], "zsh")] == [
            typed + b"/docs/",
            typed + b"/dozen",
        ]
        assert [*names_joined(["ls", f"{name}/docs/a."], "zsh")] == [typed + b"/docs/a.md"]
    assert [*names_joined(["ls", "a.sqfs"], "zsh")] == []


def test_a_file_named_as_a_url_is_opened_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:/bucket").mkdir(parents=True)
    (tmp_path / "s3:/bucket/a.sqfs").write_bytes(build(TREE).data)
    assert [*names_inside(["ls", "s3://bucket/a.sqfs", "doz"], "zsh")] == [b"dozen"]


def test_the_image_is_the_first_word_that_names_a_local_one(image: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("docs")
    assert [*names_inside(["extract", "-C", str(tmp_path), image, "-n", "doz"], "zsh")] == [
        b"dozen"
    ]
    order = ["append", "--order", str(tmp_path / "list"), image]
    assert [*names_inside([*order, "src", "--into", "doc"], "zsh")] == [b"docs/"]
    for words in (["ls", ""], ["ls", "s3://bucket/a.sqfs", ""], ["ls", str(tmp_path), ""], [""]):
        assert [*names_inside(words, "zsh")] == []


@pytest.mark.parametrize("words", [["--offset", "4096"], ["--offset=4096"]])
def test_an_image_may_start_within_its_file(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "embedded"
    path.write_bytes(bytes(4096) + build(TREE).data)
    assert [*names_inside(["ls", *words, str(path), "doz"], "zsh")] == [b"dozen"]


@pytest.mark.parametrize("offset", ["1", "18446744073709551616", "1" * 40])
def test_no_image_starts_elsewhere(offset: str, image: str) -> None:
    assert [*names_inside(["ls", "--offset", offset, image, "doz"], "zsh")] == []


def test_no_more_names_are_read_than_anybody_looks_at(tmp_path: Path) -> None:
    path = tmp_path / "many.sqfs"
    members = {b"%05d" % number: file(b"") for number in range(NAMES_MAX + 9)}
    path.write_bytes(build(directory(members)).data)
    assert len([*names_inside(["ls", str(path), ""], "zsh")]) == NAMES_MAX + 1
    assert [*names_inside(["ls", str(path), "01008"], "zsh")] == [b"01008"]


@pytest.mark.parametrize(
    ("behind", "shared"),
    [
        ((b"%05d" % (NAMES_MAX + 1),), b"0"),
        ((b"02000", b"1"), b""),
        ((b"02000", b"10000", b"z\xff"), b""),
        ((b"00999\xff",), b"00"),
    ],
)
def test_a_word_grows_by_no_more_than_all_names_share(
    behind: tuple[bytes, ...], shared: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "many.sqfs"
    names = sorted([*(b"%05d" % number for number in range(NAMES_MAX)), *behind])
    path.write_bytes(build(directory({name: file(b"") for name in names})).data)
    found = [*names_inside(["ls", str(path), ""], "zsh")]
    assert all(name.startswith(shared) for name in found)
    assert len({name[: len(shared) + 1] for name in found}) > 1


def test_names_of_the_highest_bytes_alone_come_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "many.sqfs"
    members = {b"\xff" * (number + 1): file(b"") for number in range(200)}
    path.write_bytes(build(directory(members)).data)
    assert len([*names_inside(["ls", str(path), ""], "zsh")]) == 200


@pytest.mark.property
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_quoted_word_means_what_was_quoted(text: str) -> None:
    assert unquoted(shlex.quote(text)) == text


def test_a_quote_may_be_open_yet() -> None:
    assert [*map(unquoted, ("a\\ b", "'a b", '"a b'))] == ["a b"] * 3


def test_the_command_writes_a_line_for_each(
    image: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["completion", "bash", "--", "ls", "--", shlex.quote(image), "docs/'a "]) == 0
    assert main(["completion", "bash", "--joined", "--", "ls", f"{image}/docs/a."]) == 0
    assert main(["completion", "bash", "--", "append", image, "x", "--into=doc"]) == 0
    expected = f"docs/a b\n{image}/docs/a.md\ndocs/\n".encode()
    assert capfdbinary.readouterr() == (expected, b"")


@pytest.mark.parametrize("length", [0, 50, 96, 200])
def test_of_a_damaged_image_nothing_is_written(
    length: int, image: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "cut.sqfs"
    path.write_bytes((tmp_path / "a.sqfs").read_bytes()[:length])
    assert main(["completion", "bash", "--", "ls", str(path), "d"]) == 0
    assert main(["completion", "bash", "--joined", "--", "ls", f"{path}/d"]) == 0
    assert capfdbinary.readouterr() == (b"", b"")
