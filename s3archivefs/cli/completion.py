"""`s3archivefs completion`: the script by which a shell completes the command's arguments."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, examples
from s3archivefs.cli.exit_codes import OK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["EXAMPLES", "add_arguments", "run"]

SHELLS = ("bash", "zsh", "fish", "tcsh")
FILES = ("IMAGE", "IMAGE|DIR", "[PREFIX=]IMAGE", "SOURCE", "DEST", "FILE")
"""Metavars of arguments that name local files."""
DIRECTORIES = ("DIR",)
"""Likewise directories."""

_INSIDE = "PATH"
"""The metavar of arguments that name what is inside an image."""
_ASKS = {
    # "files" in its name has readline quote what it returns, as it does with names of files.
    "bash": r"""
_s3archivefs_files_inside() {
  s3archivefs completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$1" 2>/dev/null
}
""",
    "zsh": r"""
_s3archivefs_files_inside() {
  local -a found given
  given=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
  found=(${(f)"$(s3archivefs completion zsh -- "${given[@]}" 2>/dev/null)"})
  compadd -S '' -- ${(M)found:#*/}
  compadd -- ${found:#*/}
}
""",
    "fish": r"""
function _s3archivefs_files_inside
  set -l words (commandline -opc)
  set -l word (commandline -ct)
  set -l meant (string unescape -- $word); or set meant $word
  s3archivefs completion fish -- $words[2..] "$meant" 2>/dev/null
end
""",
}
"""By shell a function that completes what is inside an image: it asks this command."""
_INSIDE_NAMED = {
    "bash": "_s3archivefs_files_inside",
    "zsh": "_s3archivefs_files_inside",
    "fish": "(_s3archivefs_files_inside)",
    "tcsh": "",
}

EXAMPLES = examples(
    ('eval "$(s3archivefs completion bash)"', "in this bash"),
    ("s3archivefs completion fish > ~/.config/fish/completions/s3archivefs.fish", "for fish"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="%(choices)s")
    # Those of a command line, as the script asks what the last of them may become.
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Write the script, or what it asks for."""
    if options.words:
        return _complete(options.words, options.shell)
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
        elif action.metavar == _INSIDE:
            vars(action)["complete"] = _INSIDE_NAMED
    sys.stdout.write(shtab.complete(parser, options.shell, preamble=_ASKS.get(options.shell, "")))
    return OK


def _complete(words: list[str], shell: str) -> int:
    """Write what the last of a command's words may become, a line for each."""
    from s3archivefs.cli import names_inside as inside  # noqa: PLC0415 -- for this alone

    found: Iterable[bytes]
    if shell == "bash":
        found = inside.choices_inside([*map(inside.unquoted, words)])
    else:
        found = inside.names_inside(words)
    for name in found:
        sys.stdout.buffer.write(name + b"\n")
    return OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its subcommands."""
    for action in parser._actions:  # noqa: SLF001 -- argparse has no public list of them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- likewise
            for command in action.choices.values():
                yield from _actions(command)
