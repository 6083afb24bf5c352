"""The `s3archivefs` command: its subcommands, those of other packages, and its exit codes.

Installed packages add subcommands through the entry-point group `s3archivefs.commands`. Each entry
names a function that takes the parser's subcommands, adds the one of the entry's name, and sets
`run`, a function from the parsed arguments to the exit code.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from s3archivefs import __version__
from s3archivefs.cli.arguments import HelpFormatter, UsageError
from s3archivefs.cli.exit_codes import (
    BROKEN_PIPE,
    FAULT,
    INTERRUPTED,
    MEANINGS,
    USAGE,
    exit_code,
)
from s3archivefs.cli.faults import EXPECTED, complain, line_of
from s3archivefs.cli.streams import OutputError, standard_streams
from s3archivefs.cli.subcommand_parser import SubcommandParser
from s3archivefs.cli.table import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "make_parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (docs/command-line.md, "Exit codes")."""
    with standard_streams():
        try:
            code = _run(sys.argv[1:] if arguments is None else arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            with suppress(OSError):  # else the interpreter would try again at its end, and complain
                sys.stdout.close()
            return BROKEN_PIPE
        except OutputError as error:
            complain(str(error))
            return FAULT
        except KeyboardInterrupt:
            return INTERRUPTED
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        options = make_parser(arguments).parse_args(arguments)
    except SystemExit:
        sys.stdout.flush()  # a help text
        raise
    try:
        with ExitStack() as after:
            if getattr(options, "verbose", False):
                from s3archivefs.cli.costs import costs_reported  # noqa: PLC0415 -- loads packages

                after.enter_context(costs_reported())
            code: int = options.run(options)
    except BrokenPipeError:
        raise
    except UsageError as error:
        complain(str(error))
        return USAGE
    except EXPECTED as error:
        complain(line_of(error, getattr(options, "image", None)))
        return exit_code(error)
    return code


def make_parser(arguments: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser for these arguments, or one with every subcommand whole.

    For arguments, it has only what they need: that subcommand's own arguments, and the names of the
    others.
    """
    parser = argparse.ArgumentParser(
        prog="s3archivefs",
        description="Read squashfs images, here and in S3.",
        epilog=f"s3archivefs COMMAND --help tells of one command.\n\nexit codes: {_codes()}",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    kind: type[argparse.ArgumentParser] = SubcommandParser
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command", parser_class=kind
    )
    wanted = arguments[0] if arguments else None
    for name, summary in COMMANDS.items():
        if name == wanted or arguments is None:
            _add(commands, name, summary)
        else:
            commands.add_parser(name, help=summary)
    if wanted not in COMMANDS:
        _add_installed(commands, wanted)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> None:
    """Add a subcommand of this package, with its arguments."""
    module = import_module(f"s3archivefs.cli.{name}")
    command = commands.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        epilog=module.EXAMPLES,
        formatter_class=HelpFormatter,
        add_help=False,  # -h has another meaning in ls and du
    )
    command.add_argument("--help", action="help", help="show this help and exit")
    module.add_arguments(command)
    command.set_defaults(run=module.run)


def _add_installed(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], wanted: str | None
) -> None:
    """Add the subcommand that is wanted, or all, of installed packages."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 20 ms, and it loads them

    found = sorted(entry_points(group="s3archivefs.commands"), key=lambda entry: entry.name)
    for entry in [entry for entry in found if entry.name == wanted] or found:
        entry.load()(commands)


def _codes() -> str:
    return "; ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items())


class _Version(argparse.Action):
    """Prints the version."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002 -- argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"s3archivefs {__version__}")
        parser.exit()
