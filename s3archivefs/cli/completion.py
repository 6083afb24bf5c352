"""`s3archivefs completion`: the script by which a shell completes the command's arguments."""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, arguments_of, examples
from s3archivefs.cli.exit_codes import OK
from s3archivefs.cli.faults import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EXAMPLES", "add_arguments", "run"]

SHELLS = ("bash", "zsh", "fish", "tcsh")
_ALL_BUT_FIRST = re.compile(r'(?<=^  ")\(\*\):+', re.MULTILINE)
"""How shtab tells zsh of several arguments: it completes but the first."""

EXAMPLES = examples(
    ('eval "$(s3archivefs completion bash)"', "in this bash; likewise in zsh, behind compinit"),
    ("s3archivefs completion fish > ~/.config/fish/completions/s3archivefs.fish", "for fish"),
    ("s3archivefs completion tcsh > ~/.s3archivefs.csh", "to source in ~/.tcshrc"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="%(choices)s")
    # Those of a command line, as the script asks what the last of them may become: by itself a path
    # inside an image, or joined to the image's name.
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--joined", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Write the script, or what it asks for."""
    from s3archivefs.cli.command import make_parser  # noqa: PLC0415 -- which imports this module

    if options.words:
        with suppress(*EXPECTED):  # the terminal shows what is typed, and nothing else
            for name in _answer(options):
                sys.stdout.buffer.write(name + b"\n")
    elif options.shell == "tcsh":
        from s3archivefs.cli.completion_tcsh import script  # noqa: PLC0415 -- for this alone

        sys.stdout.write(script(make_parser()))
    else:
        sys.stdout.write(_script(make_parser(), options.shell))
    return OK


def _answer(options: argparse.Namespace) -> Iterable[bytes]:
    """Return what the last of a command's words may become."""
    from s3archivefs.cli import names_inside as inside  # noqa: PLC0415 -- for this alone

    if options.shell == "tcsh":
        from s3archivefs.cli.command import make_parser  # noqa: PLC0415 -- as above
        from s3archivefs.cli.completion_tcsh import choices  # noqa: PLC0415 -- likewise

        line = os.environ.get("COMMAND_LINE", "")
        return choices(make_parser(line.split()[1:]), line, "".join(options.words[1:]))
    words = options.words
    if options.shell == "bash":
        words = [*map(inside.unquoted, words)]
    option, equals, value = words[-1].partition("=")
    if equals and option.startswith("--") and "--" not in words:
        words = [*words[:-1], value]
    names = inside.names_joined if options.joined else inside.names_inside
    return names(words, options.shell)


def _script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return shtab's script, with our functions for what it does not complete."""
    try:
        import shtab  # noqa: PLC0415 -- optional, and for this command alone
    except ModuleNotFoundError:
        raise UsageError("completion needs shtab: pip install 's3archivefs[cli]'") from None
    from s3archivefs.cli.completed import kinds, list_choices  # noqa: PLC0415 -- for this alone
    from s3archivefs.cli.completion_scripts import (  # noqa: PLC0415 -- likewise
        BEFORE,
        COMPLETED_BY,
        after,
    )

    list_choices(parser)
    for action, kind in kinds(parser):
        vars(action)["complete"] = COMPLETED_BY[kind]
        if shell == "fish" and not action.option_strings:
            action.help = None  # which would stand behind each name
    if shell == "zsh":
        _suit_zsh(parser)
    script = shtab.complete(parser, shell, preamble=BEFORE[shell])
    if shell == "zsh":
        script = _ALL_BUT_FIRST.sub("*:", script)
    return script + after(shell, parser)


def _suit_zsh(parser: argparse.ArgumentParser) -> None:
    """Have zsh complete values behind `--option=` too, and arguments that may be several."""
    from s3archivefs.cli.completed import subcommands  # noqa: PLC0415 -- for this alone

    for command in subcommands(parser).values():
        several = False
        for action in arguments_of(command):
            if not action.option_strings:
                if several:
                    action.help = argparse.SUPPRESS
                several = several or action.nargs == "+"
            elif action.nargs != 0:
                action.option_strings = [
                    text + ("=" if text.startswith("--") else "+") for text in action.option_strings
                ]
