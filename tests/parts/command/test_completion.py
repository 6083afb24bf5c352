"""Shells on a terminal complete the command's arguments, with the scripts that it writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3archivefs.cli.completion import SHELLS
from s3archivefs.cli.table import COMMANDS
from tests.support.images.built import build, directory, file
from tests.support.processes.interactive_shell import InteractiveShell

PROGRAM = str(Path(sys.executable).parent / "s3archivefs")
ODD = {
    "./-": b"-option",
    ".hi": b".hidden",
    "it": b"it's",
    "q": b'q"uote',
    "bang": b"bang!x",
    "dol": b"dol$HOME",
    "tick": b"tick`reboot`",
    "back": b"back\\slash",
    "sem": b"semi;colon",
    "par": b"par(en)",
    "eq": b"eq=x",
    "eq=": b"eq=x",
    "col": b"col:on",
    "col:": b"col:on",
    "bra": b"bra{c,e}",
    "new": b"new\nline",
    "tab": b"tab\tx",
    "wh": b"white  space",
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}": b"\xc3\xbcmlaut",
}
"""By the keys that name it what else an image holds."""
DOCS = directory({b"a b": directory({b"inner": file(b"")}), b"guide.txt": file(b"")})
TREE = directory(
    dict(sorted({**{name: file(b"") for name in ODD.values()}, b"docs": DOCS}.items()))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with images and other files, to work in."""
    folder = tmp_path_factory.mktemp("work")
    image = build(TREE).data
    (folder / "a.sqfs").write_bytes(image)
    (folder / "sub dir").mkdir()
    (folder / "sub dir" / "b c.sqfs").write_bytes(image)
    (folder / "sub dir" / "plain.txt").touch()
    (folder / "named.sqfs").mkdir()
    (folder / "named.sqfs" / "file").touch()
    (folder / "text.sqfs").write_text("no image")
    (folder / "cut.sqfs").write_bytes(image[: len(image) // 2])
    (folder / "written").write_text("something")
    (folder / "offset.img").write_bytes(bytes(4096) + image)
    return folder


@pytest.fixture(scope="module", params=SHELLS)
def shell(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InteractiveShell]:
    name: str = request.param
    home = tmp_path_factory.mktemp("home")
    (home / "a.sqfs").symlink_to(folder / "a.sqfs")
    script = tmp_path_factory.mktemp("script") / "script"
    written = subprocess.run([PROGRAM, "completion", name], check=True, capture_output=True)
    script.write_bytes(written.stdout)
    done = subprocess.run([name, "-n", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    with InteractiveShell(
        name, script, command="s3archivefs", program=PROGRAM, folder=folder, home=home
    ) as started:
        yield started


def complete(shell: InteractiveShell, line: str) -> list[str]:
    """Return the arguments that a line has with what Tab adds; directories without a slash."""
    return [each.rstrip("/") for each in shell.arguments(f"s3archivefs {line}")]


def test_subcommands_options_and_choices_are_completed(shell: InteractiveShell) -> None:
    expected = {
        "verif\t": ["verify"],
        "uplo\t": ["upload"],
        "ls --sor\t": ["ls", "--sort"],
        "ls --sort na\t": ["ls", "--sort", "name"],
        "ls --sort=na\t": ["ls", "--sort=name"],
        "hash a.sqfs --algorithm sha5\t": ["hash", "a.sqfs", "--algorithm", "sha512"],
        "serve --page au\t": ["serve", "--page", "auto"],
        "completion fi\t": ["completion", "fish"],
    }
    assert {line: complete(shell, line) for line in expected} == expected


def test_the_names_of_all_subcommands_are_shown(shell: InteractiveShell) -> None:
    shell.type("s3archivefs \t\t")
    shell.wait_for(*COMMANDS, "serve", "upload")
    shell.arguments("\x15s3archivefs")


def test_an_option_of_another_subcommand_is_not_offered(shell: InteractiveShell) -> None:
    assert complete(shell, "info a.sqfs --sor\t") == ["info", "a.sqfs", "--sor"]


def test_files_are_completed_without_asking_the_command(shell: InteractiveShell) -> None:
    shell.asked()
    expected = {
        "ls a.s\t": ["ls", "a.sqfs"],
        "ls sub\tpla\t": ["ls", "sub dir/plain.txt"],
        "ls sub\tb\t": ["ls", "sub dir/b c.sqfs"],
        "ls sub\\ dir/nothing\t": ["ls", "sub dir/nothing"],
        "ls nowhere/nothing\t": ["ls", "nowhere/nothing"],
        "ls ~/a.s\t": ["ls", str(shell.home / "a.sqfs")],
        "pack sub\t": ["pack", "sub dir"],
        "append a.s\t": ["append", "a.sqfs"],
        "umount nam\t": ["umount", "named.sqfs"],
        "umount ./nam\t": ["umount", "./named.sqfs"],
        "umount a.s\t": ["umount", "a.s"],
    }
    assert {line: complete(shell, line) for line in expected} == expected
    assert shell.asked() == 0


def test_files_are_completed_as_values_and_behind_other_arguments(shell: InteractiveShell) -> None:
    expected = {
        "ls -l a.s\t": ["ls", "-l", "a.sqfs"],
        "extract -C nam\t": ["extract", "-C", "named.sqfs"],
        "extract --directory=nam\t": ["extract", "--directory=named.sqfs"],
        "extract --directory=a.s\t": ["extract", "--directory=a.s"],
        "ls --directory a.s\t": ["ls", "--directory", "a.sqfs"],
        "pack a.sqfs nam\t": ["pack", "a.sqfs", "named.sqfs"],
        "pack --order=a.s\t": ["pack", "--order=a.sqfs"],
        "mount docs=a.s\t": ["mount", "docs=a.sqfs"],
        "mount x=a.sqfs y=named.s\t": ["mount", "x=a.sqfs", "y=named.sqfs"],
        "serve --map P=a.s\t": ["serve", "--map", "P=a.sqfs"],
        "serve --map=s3://bucket/P=a.s\t": ["serve", "--map=s3://bucket/P=a.sqfs"],
        "cp a.sqfs docs nam\t": ["cp", "a.sqfs", "docs", "named.sqfs"],
        "cp a.sqfs/docs nam\t": ["cp", "a.sqfs/docs", "named.sqfs"],
        "upload --image a.s\t": ["upload", "--image", "a.sqfs"],
    }
    assert {line: complete(shell, line) for line in expected} == expected


def test_paths_inside_a_local_image_are_completed(shell: InteractiveShell) -> None:
    guide = "docs/guide.txt"
    expected = {
        "ls a.sqfs doc\tgui\t": ["ls", "a.sqfs", guide],
        "ls a.sqfs /doc\tgui\t": ["ls", "a.sqfs", f"/{guide}"],
        "ls -lh a.sqfs docs docs/g\t": ["ls", "-lh", "a.sqfs", "docs", guide],
        "ls --directory a.sqfs docs/g\t": ["ls", "--directory", "a.sqfs", guide],
        "stat -L a.sqfs docs/g\t": ["stat", "-L", "a.sqfs", guide],
        "ls --offset 4096 offset.img docs/g\t": ["ls", "--offset", "4096", "offset.img", guide],
        "ls --offset=4096 offset.img docs/g\t": ["ls", "--offset=4096", "offset.img", guide],
        "ls ~/a.sqfs docs/g\t": ["ls", str(shell.home / "a.sqfs"), guide],
        "ls sub\\ dir/b\\ c.sqfs docs/g\t": ["ls", "sub dir/b c.sqfs", guide],
        "cp a.sqfs docs/g\t": ["cp", "a.sqfs", guide],
        "append a.sqfs x --into doc\t": ["append", "a.sqfs", "x", "--into", "docs"],
        "append --order=text.sqfs a.sqfs x --into=doc\t": [
            *("append", "--order=text.sqfs", "a.sqfs", "x", "--into=docs")
        ],
        "remove a.sqfs docs/g\t": ["remove", "a.sqfs", guide],
        "ls a.sqfs nothing\t": ["ls", "a.sqfs", "nothing"],
        "ls s3://bucket/a.sqfs doc\t": ["ls", "s3://bucket/a.sqfs", "doc"],
    }
    assert {line: complete(shell, line) for line in expected} == expected


def test_a_path_is_completed_behind_the_name_of_an_image(shell: InteractiveShell) -> None:
    end = '"' if shell.name == "tcsh" else ""  # where the user has to close a quote
    expected = {
        "ls a.sqfs/doc\tgui\t": ["ls", "a.sqfs/docs/guide.txt"],
        "ls sub\\ dir/b\\ c.sqfs/doc\tgui\t": ["ls", "sub dir/b c.sqfs/docs/guide.txt"],
        f'cat "sub dir/b c.sqfs/docs/gui\t{end}': [*("cat", "sub dir/b c.sqfs/docs/guide.txt")],
        "ls ./a.sqfs/docs/gui\t": ["ls", "./a.sqfs/docs/guide.txt"],
        "ls ~/a.sqfs/docs/gui\t": ["ls", str(shell.home / "a.sqfs/docs/guide.txt")],
        "diff a.sqfs/docs a.sqfs/docs/gui\t": ["diff", "a.sqfs/docs", "a.sqfs/docs/guide.txt"],
        "ls named.sqfs/fi\t": ["ls", "named.sqfs/file"],
        "info a.sqfs/doc\t": ["info", "a.sqfs/doc"],
        "ls text.sqfs/doc\t": ["ls", "text.sqfs/doc"],
    }
    assert {line: complete(shell, line) for line in expected} == expected


def test_a_line_may_have_more_than_the_command(shell: InteractiveShell) -> None:
    shell.type("true; ")
    assert complete(shell, "ls a.sqfs docs/g\t") == ["ls", "a.sqfs", "docs/guide.txt"]
    assert complete(shell, "ls a.sqfs docs >writ\t") == ["ls", "a.sqfs", "docs"]
    assert (shell.folder / "written").read_bytes() == b""


def test_variables_stand_for_an_image(shell: InteractiveShell) -> None:
    assign = {"fish": "set NAMED ", "tcsh": "setenv NAMED "}.get(shell.name, "NAMED=")
    shell.type(f"{assign}a.sqfs\r")
    assert complete(shell, "ls $NAMED docs/g\t") == ["ls", "a.sqfs", "docs/guide.txt"]
    joined = complete(shell, "ls $NAMED/docs/g\t")
    # tcsh asks where a name ends as those of images do.
    assert joined == ["ls", f"a.sqfs/docs/{'g' if shell.name == 'tcsh' else 'guide.txt'}"]


@pytest.mark.parametrize("joint", [" ", "/"])
def test_odd_names_are_completed(joint: str, shell: InteractiveShell) -> None:
    """The command gets the name, or what `ls` prints of it."""
    got = {}
    for keys in ODD:
        *_, last = complete(shell, f"ls a.sqfs{joint}{keys}\t")
        got[keys] = meant(last.removeprefix("a.sqfs/").removeprefix("./"))
    assert got == ODD


def meant(word: str) -> bytes:
    """Return the name that is printed as a word."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), os.fsencode(word))


def test_all_that_a_word_may_become_is_shown(shell: InteractiveShell) -> None:
    shell.type("s3archivefs ls a.sqfs docs/\t\t")
    shell.wait_for("guide.txt", "a")
    assert "path inside the image" not in shell.screen
    shell.arguments("\x15s3archivefs")


@pytest.mark.parametrize("line", ["ls cut.sqfs doc\t", "ls cut.sqfs/doc\t", "ls text.sqfs doc\t"])
def test_what_cannot_be_read_is_passed_over_in_silence(line: str, shell: InteractiveShell) -> None:
    expected = line.rstrip("\t").split()
    assert complete(shell, line) == expected
    assert "Error" not in shell.screen
    assert "s3archivefs:" not in shell.screen
