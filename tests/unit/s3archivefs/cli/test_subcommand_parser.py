from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli.command import make_parser
from s3archivefs.cli.subcommand_parser import SubcommandParser
from s3archivefs.cli.table import COMMANDS

OPTIONS = {
    "ls": (["-l"], ["-h", "--sort", "size"], ["-r"], ["--offset=3"]),
    "tree": (["-L", "1"], ["-d"], ["--json"]),
    "find": (["--type", "f"], ["--max-depth", "2"], ["-0"]),
    "cat": (["--range", "0-9"], ["--range=-4"], ["-v"]),
    "extract": (["-C", "out"], ["--exclude", "*.tmp"], ["--exclude", "b"], ["-n"]),
    "hash": (["--algorithm", "md5"], ["--json"]),
    "cp": (["-f"], ["-v"]),
    "mount": (["-o", "ro"], ["-o", "offset=1"], ["-f"]),
    "upload": (["--part-size", "9"], ["--abort"]),
}
PARSERS = {command: make_parser([command]) for command in OPTIONS}


@pytest.mark.property
@pytest.mark.parametrize("command", OPTIONS)
@given(data=st.data())
def test_options_mean_the_same_wherever_they_stand(command: str, data: st.DataObject) -> None:
    parse = PARSERS[command].parse_args
    options = data.draw(st.lists(st.sampled_from(OPTIONS[command]), max_size=4))
    paths = [["i.sqfs"], *data.draw(st.lists(st.sampled_from([["/a"], ["b c"]]), min_size=1))][:2]
    order = data.draw(st.permutations([True] * len(options) + [False] * len(paths)))
    one, other = iter(options), iter(paths)
    mixed = [word for is_option in order for word in next(one if is_option else other)]
    before = [word for words in (*options, *paths) for word in words]
    assert parse([command, *mixed]) == parse([command, *before])


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["ls", "-la", "i"], ["ls", "-l", "i"]),
        (["ls", "i", "-A", "--all"], ["ls", "i"]),
        (["ls", "-lt", "i"], ["ls", "-l", "--sort", "time", "i"]),
        (["ls", "-tSr", "i"], ["ls", "--sort=size", "-r", "i"]),
        (["tree", "-a", "i"], ["tree", "i"]),
        (["cp", "-r", "i", "/d", "o"], ["cp", "i", "/d", "o"]),
        (["cp", "-R", "i", "/d", "o"], ["cp", "i", "/d", "o"]),
        (["diff", "-r", "i", "o"], ["diff", "i", "o"]),
    ],
)
def test_options_are_those_of_the_program_of_that_name(words: list[str], same: list[str]) -> None:
    parsed, plain = (make_parser(each).parse_args(each) for each in (words, same))
    assert vars(parsed) | {"no_op": True} == vars(plain) | {"no_op": True}


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_behind_two_hyphens_everything_is_a_path(command: str) -> None:
    parsed = PARSERS[command].parse_args([command, "i.sqfs", "-v", "a", "--", "-v", "--json"])
    assert (parsed.verbose, parsed.paths) == (True, ["a", "-v", "--json"])


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["find", "--name", "-*"], "name", "-*"),
        (["find", "--nam", "-* b"], "name", "-* b"),
        (["find", "--path", "--long"], "path", "--long"),
        (["find", "--size", "-1k"], "size", range(1024)),
        (["cat", "--range", "-4"], "range", (None, 4)),
        (["extract", "--exclude", "--"], "exclude", ["--"]),
        (["extract", "-C", "-out"], "directory", "-out"),
        (["extract", "-C", "-"], "directory", "-"),
        (["extract", "-C", ""], "directory", ""),
    ],
)
def test_what_follows_an_option_is_its_value_as_getopt_has_it(
    words: list[str], name: str, value: object
) -> None:
    command, *option = words
    for arguments in ([*option, "i.sqfs", "/a"], ["i.sqfs", *option, "/a"]):
        parsed = PARSERS[command].parse_args([command, *arguments])
        assert (getattr(parsed, name), parsed.image, parsed.paths) == (value, "i.sqfs", ["/a"])


def test_a_value_that_is_missing_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--name", "--size"):
        with pytest.raises(SystemExit, match="2"):
            PARSERS["find"].parse_args(["find", "i.sqfs", option])
        assert f"argument {option}: expected one argument" in capsys.readouterr().err


def test_two_hyphens_may_be_the_value_of_an_option() -> None:
    parsed = make_parser(["find"]).parse_args(["find", "--name=--", "i.sqfs", "--path=--"])
    assert (parsed.name, parsed.path) == ("--", "--")


def test_two_hyphens_are_checked_as_any_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_parser(["ls"]).parse_args(["ls", "--sort=--", "i.sqfs"])
    assert "invalid choice: '--'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [*COMMANDS, "serve", "upload"])
def test_an_unknown_option_shows_the_usage_of_its_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_parser([command]).parse_args([command, "a", "b", "--unknown", "bash"])
    usage, _, line = capsys.readouterr().err.rstrip("\n").rpartition("\n")
    assert usage.startswith(f"usage: s3archivefs {command} [")
    assert line.startswith(f"s3archivefs {command}: error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ls", "i.sqfs", "-z", "/d", "--odd"], "unrecognized arguments: -z --odd"),
        (["info", "i.sqfs", "/d"], "unrecognized arguments: /d"),
        (["ls"], "the following arguments are required: IMAGE"),
        (["cat", "--range", "0-9"], "the following arguments are required: IMAGE"),
        (["mount", "i.sqfs", ""], "argument DIR: it is empty"),
        (["umount", ""], "argument DIR: it is empty"),
    ],
)
def test_an_error_names_what_is_wrong(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_parser(arguments).parse_args(arguments)
    assert capsys.readouterr().err.endswith(f"error: {said}\n")


def test_help_and_errors_show_all_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["-L", "x"], []):
        with pytest.raises(SystemExit):
            PARSERS["tree"].parse_args(["tree", *arguments])
        written = capsys.readouterr()
        assert "IMAGE [PATH ...]" in written.out + written.err


def test_what_is_required_is_missed_on_either_pass(capsys: pytest.CaptureFixture[str]) -> None:
    parser = SubcommandParser(prog="x")
    parser.add_argument("--needed", required=True)
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--one", action="store_true")
    either.add_argument("--other", action="store_true")
    parser.add_argument("path")
    for arguments, missed in (
        (["--one", "path"], "required: --needed"),
        (["--needed", "1", "path"], "one of the arguments --one --other is required"),
        (["--needed", "1", "--one"], "required: path"),
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(arguments)
        assert missed in capsys.readouterr().err
    parsed = parser.parse_args(["path", "--one", "--needed", "1"])
    assert (parsed.path, parsed.needed, parsed.one, parsed.other) == ("path", "1", True, False)


def test_a_command_that_takes_the_rest_as_it_is_gets_it() -> None:
    parser = SubcommandParser()
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--level")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    parsed = parser.parse_args(["--quiet", "run", "--quiet", "--level", "-x"])
    assert (parsed.quiet, parsed.words) == (True, ["run", "--quiet", "--level", "-x"])
