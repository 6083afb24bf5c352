"""How tcsh, which has no functions, completes the command's arguments: it asks for most.

A rule of tcsh's either completes files or takes a list of words from a program. So each argument
behind the first one is asked for, and the answer has files too.
"""

from __future__ import annotations

import argparse
import os
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import arguments_of
from s3archivefs.cli.completed import kinds, list_choices, subcommands
from s3archivefs.cli.location import ENDINGS
from s3archivefs.cli.names_inside import (
    NAMES_MAX,
    UNSAFE,
    image_and_path,
    names_inside,
    names_joined,
)
from s3archivefs.names import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["choices", "script"]

_ASK = "`s3archivefs completion tcsh -- ask{}`"
_WORDS_JOINED = 8
"""Words of a line that may be one with blanks: tcsh gives no quotes."""


def script(parser: argparse.ArgumentParser) -> str:
    """Return what has tcsh complete the arguments of the parser's subcommands.

    What follows the subcommand, mostly an image, tcsh completes by itself, as long as no image's
    name ends there. A list for it has the last names of paths alone.
    """
    named = dict(kinds(parser))
    first = []
    for name, command in subcommands(parser).items():
        action = next(iter(_arguments(command)), None)
        if action in named and "=" not in str(action.metavar):
            first.append(f"n/{name}/{'d' if named[action] == 'directory' else 'f'}/")
    ask, ask_name, ask_value = map(_ASK.format, ("", " /", " ="))
    image = f"*{{{','.join(ENDINGS)}}}/"
    rules = [
        f"c@--*=*/@{ask_name}@@",
        f"c@--*=@{ask_value}@@",
        f"C/-/{ask}/",
        f"p/1/({' '.join(subcommands(parser))})/",
        f"c@{image}*/@{ask_name}@@",
        f"c@{image}@{ask_name}@@",
        *first,
        f"c@*/@{ask_name}@@",
        f"p@*@{ask}@@",
    ]
    return "complete s3archivefs \\\n" + " \\\n".join(f"  '{rule}'" for rule in rules) + "\n"


def choices(parser: argparse.ArgumentParser, line: str, behind: str) -> list[bytes]:
    """Return what the last word of a line may become, from its last `behind` on.

    tcsh gives the line without its quotes. Raises what reading a damaged image does.
    """
    list_choices(parser)
    words = re.split(r"\s+", line.lstrip())[1:]
    for start in range(len(words) - 1, max(-1, len(words) - 1 - _WORDS_JOINED), -1):
        last = " ".join(words[start:])
        with suppress(OSError):  # no such directory
            if found := [*_choices(parser, words[:start], last)]:
                kept = len(encode(last[: last.rfind(behind) + 1])) if behind else 0
                return [each[kept:] for each in found]
    return []


def _choices(parser: argparse.ArgumentParser, before: Sequence[str], last: str) -> Iterable[bytes]:
    """Return what a word may become."""
    command = subcommands(parser).get(before[0]) if before else parser
    if command is None:
        return []
    options = {
        text: action
        for action in arguments_of(command)
        for text in action.option_strings
        if action.help != argparse.SUPPRESS
    }
    action, value = _expected(command, options, before[1:], last)
    if action is None:
        return map(encode, _beginning(last, options))
    if action.choices is not None:
        found: Iterable[bytes] = map(encode, _beginning(value, map(str, action.choices)))
    else:
        found = _named(dict(kinds(parser)).get(action), action, before, value)
    option = encode(last[: len(last) - len(value)])
    return [option + each for each in found]


def _named(
    kind: str | None, action: argparse.Action, before: Sequence[str], typed: str
) -> Iterable[bytes]:
    """Return what a word may become that names something of a kind."""
    if kind in {"inside", "inside or file"}:
        inside = [*names_inside([*_with_blanks(before), typed], "tcsh")]
        if inside or kind == "inside":
            return inside
    if kind == "image" and image_and_path(typed):
        return names_joined([*before, typed], "tcsh")
    if kind is None:
        return []
    start = 0
    files = [*_files(typed, directories=kind == "directory")]
    if not files and "=" in str(action.metavar):
        start = typed.rfind("=") + 1
        files = [*_files(typed[start:], directories=False)]
    return [encode(typed[:start] + path) for path in files]


def _expected(
    command: argparse.ArgumentParser,
    options: dict[str, argparse.Action],
    before: Sequence[str],
    last: str,
) -> tuple[argparse.Action | None, str]:
    """Return the argument that the last word is for, or None, and its text."""
    value: argparse.Action | None = None
    given, only_arguments = 0, False
    for word in before:
        if value:
            value = None
        elif only_arguments or not word.startswith("-") or word == "-":
            given += 1
        elif word == "--":
            only_arguments = True
        else:
            value = options.get(word)
            value = None if value is None or value.nargs == 0 else value
    if value:
        return value, last
    if last.startswith("-") and not only_arguments:
        name, equals, behind = last.partition("=")
        return (options[name], behind) if equals and name in options else (None, last)
    for action in _arguments(command):
        if given == 0 or action.nargs in {"*", "+"}:
            return action, last
        given -= 1
    return argparse.Action([], "nothing", choices=[]), last


def _arguments(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a subcommand that are not options."""
    for action in arguments_of(command):
        if not action.option_strings and action.help != argparse.SUPPRESS:
            yield action


def _beginning(begun: str, words: Iterable[str]) -> Iterator[str]:
    return (word for word in words if word.startswith(begun))


def _with_blanks(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, and together those that a file's name has blanks between."""
    for start in range(len(words)):
        yield words[start]
        for end in range(start + 2, min(start + _WORDS_JOINED, len(words)) + 1):
            name = " ".join(words[start:end])
            if os.path.isfile(os.path.expanduser(name)):  # noqa: PTH111, PTH113 -- pathlib takes 10 ms to import
                yield name


def _files(typed: str, *, directories: bool) -> Iterator[str]:
    """Yield the local files that a path may become and that tcsh can take."""
    above, slash, begun = typed.rpartition("/")
    top = os.path.expandvars(os.path.expanduser(above + slash))  # noqa: PTH111 -- likewise
    with suppress(OSError), os.scandir(top or ".") as entries:
        fitting = (
            entry.name + ("/" if entry.is_dir() else "")
            for entry in entries
            if entry.name.startswith(begun or entry.name.lstrip(".")[:1])
            and entry.name.isprintable()
            and not UNSAFE["tcsh"].search(entry.name)
            and (not directories or entry.is_dir())
        )
        yield from (above + slash + name for name in islice(fitting, NAMES_MAX))
