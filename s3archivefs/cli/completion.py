"""`s3archivefs completion`: the script by which a shell completes the command's arguments."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXAMPLES", "add_arguments", "run"]

SHELLS = ("bash", "zsh", "fish", "tcsh")
FILES = ("IMAGE", "IMAGE|DIR", "[PREFIX=]IMAGE", "SOURCE", "DEST", "FILE")
"""Metavars of arguments that name local files."""
DIRECTORIES = ("DIR",)
"""Likewise directories."""

EXAMPLES = examples(
    ('eval "$(s3archivefs completion bash)"', "in this bash"),
    ("s3archivefs completion fish > ~/.config/fish/completions/s3archivefs.fish", "for fish"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="%(choices)s")


def run(options: argparse.Namespace) -> int:
    """Write the script."""
    try:
        import shtab  # noqa: PLC0415 -- optional, and for this command alone
    except ModuleNotFoundError:
        raise UsageError("completion needs shtab: pip install 's3archivefs[cli]'") from None
    from s3archivefs.cli.command import make_parser  # noqa: PLC0415 -- which imports this module

    parser = make_parser()
    for action in _actions(parser):
        if action.metavar in FILES:
            vars(action)["complete"] = shtab.FILE
        elif action.metavar in DIRECTORIES:
            vars(action)["complete"] = shtab.DIRECTORY
    sys.stdout.write(shtab.complete(parser, options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its subcommands."""
    for action in parser._actions:  # noqa: SLF001 -- argparse has no public list of them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- likewise
            for command in action.choices.values():
                yield from _actions(command)
