"""Make manual pages from help texts: of the command, each subcommand, and mount(8)'s helper.

python -m deploy.man_pages site/man

`man -M site/man s3archivefs-ls` shows one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import __version__
from s3archivefs.cli import mount_helper
from s3archivefs.cli.arguments import EXAMPLES_TITLE
from s3archivefs.cli.command import make_parser
from s3archivefs.cli.exit_codes import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["manual_pages", "write_manual_pages"]

PROGRAMS = 1
"""Section of the manual: programs for every user."""
ADMINISTRATION = 8
"""Likewise programs that the system's administrator uses."""


class _Subject(NamedTuple):
    """What a page is of."""

    name: str
    summary: str
    section: int = PROGRAMS
    codes: Mapping[int, str] = MEANINGS
    """Exit codes with their meanings."""

    @property
    def reference(self) -> str:
        """How another page refers to it."""
        return f".BR {_roff(self.name)} ({self.section})"


def write_manual_pages(directory: Path) -> list[Path]:
    """Write all pages below a directory that man(1) searches, and return their paths."""
    written = []
    for name, text in manual_pages().items():
        path = directory / f"man{name.rpartition('.')[2]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def manual_pages() -> dict[str, str]:
    """Return the pages in the language of man(7), by file name: `s3archivefs-ls.1`, ..."""
    parser = make_parser()
    whole = _Subject(parser.prog, "read squashfs images")
    helper = _Subject(
        mount_helper.NAME, "mount helper of images", ADMINISTRATION, mount_helper.MEANINGS
    )
    commands = [
        (_Subject(f"{parser.prog}-{name}", summary), command)
        for name, (command, summary) in _commands(parser).items()
    ]
    mount = next(each for each, _ in commands if each.name.endswith("-mount"))
    pages = [
        (whole, parser, [*(each for each, _ in commands), helper]),
        (helper, mount_helper.make_parser(), [mount]),
        *((each, its, [whole, helper] if each is mount else [whole]) for each, its in commands),
    ]
    return {
        f"{subject.name}.{subject.section}": _page(its, subject, others)
        for subject, its, others in pages
    }


def _page(parser: argparse.ArgumentParser, subject: _Subject, others: Sequence[_Subject]) -> str:
    footer = f'"{_date()}"', _quoted(f"s3archivefs {__version__}")
    return "\n".join(
        [
            " ".join((".TH", _quoted(subject.name.upper()), str(subject.section), *footer)),
            ".SH NAME",
            f"{_roff(subject.name)} \\- {_roff(subject.summary)}",
            ".SH SYNOPSIS",
            _roff(" ".join(parser.format_usage().removeprefix("usage: ").split())),
            ".SH DESCRIPTION",
            *_paragraphs(parser.description or ""),
            *_arguments(parser),
            *_end(parser.epilog or ""),
            ".SH EXIT STATUS",
            *(
                line
                for code, meaning in subject.codes.items()
                for line in (".TP", str(code), meaning)
            ),
            ".SH SEE ALSO",
            " ,\n".join(other.reference for other in others),
            "",
        ]
    )


def _date() -> str:
    """Return today, or the day that reproducible builds are told."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _commands(
    parser: argparse.ArgumentParser,
) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the subcommands by name, each with what it does."""
    found: dict[str, tuple[argparse.ArgumentParser, str]] = {}
    for action in parser._actions:  # noqa: SLF001 -- argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- likewise
            choices = action._choices_actions  # noqa: SLF001 -- nor of their summaries
            summaries = {each.dest: each.help or "" for each in choices}
            found |= {name: (each, summaries[name]) for name, each in action.choices.items()}
    return found


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield a section for each group of arguments."""
    for group in parser._action_groups:  # noqa: SLF001 -- likewise
        in_group = group._group_actions  # noqa: SLF001 -- likewise
        actions = [each for each in in_group if each.help != argparse.SUPPRESS]
        if not actions:
            continue
        title = "arguments" if group.title == "positional arguments" else group.title or ""
        yield f".SH {_quoted(title.upper())}"
        for action in actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- likewise
                for name, (_, summary) in _commands(parser).items():
                    yield from (".TP", f".B {_quoted(name)}", _roff(summary))
            else:
                yield from (".TP", _names(action), _roff(_help(action, parser)))


def _names(action: argparse.Action) -> str:
    """Return an argument as its list names it: options bold, what they take in italics."""
    value = ""
    if action.nargs != 0:
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
        metavar = action.metavar if isinstance(action.metavar, str) else None
        value = f"\\fI{_roff(metavar or choices or action.dest.upper())}\\fR"
    if not action.option_strings:
        return value
    return ", ".join(f"\\fB{_roff(name)}\\fR" for name in action.option_strings) + f" {value}"


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    facts = {
        **vars(action),
        "prog": parser.prog,
        "choices": ", ".join(map(str, action.choices or ())),
    }
    return (action.help or "") % facts


def _end(epilog: str) -> Iterator[str]:
    """Yield what follows the arguments: notes, and examples with what each does."""
    before, title, listed = epilog.partition(EXAMPLES_TITLE)
    if before.strip():
        yield ".SH NOTES"
        yield from _paragraphs(before.strip())
    if title:
        yield ".SH EXAMPLES"
        for line in listed.splitlines():
            command, _, what = re.split(r"(  +)", line.strip(), maxsplit=1)
            yield from (".TP", f".B {_quoted(command)}", _roff(what))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if paragraph.startswith("exit codes:"):
            continue  # they have a section of their own
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _roff(text: str) -> str:
    """Return text that roff takes for nothing but text."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"(?m)^(?=\.)", r"\\&", escaped)


def _quoted(text: str) -> str:
    """Return text as one argument of a request."""
    return '"' + _roff(text).replace('"', "\\(dq") + '"'


if __name__ == "__main__":
    for each in write_manual_pages(Path(sys.argv[1])):
        sys.stdout.write(f"{each}\n")
