"""What each argument of the command is completed by: files, directories, names inside images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import arguments_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["kinds", "list_choices", "options_with_values", "subcommands"]

_SEPARATORS = "|,"
"""What stands between choices in a metavar, such as on|off."""
_KINDS = {
    "IMAGE": "file",
    "IMAGE|DIR": "image",
    "[PREFIX=]IMAGE": "file",
    "PREFIX=IMAGE": "file",
    "SOURCE": "file",
    "DEST": "file",
    "FILE": "file",
    "DIR": "directory",
    "PATH": "inside",
}
"""By metavar what an argument names."""


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands by their names."""
    for action in arguments_of(parser):
        if isinstance(action.choices, dict):  # as those of subcommands alone are
            return action.choices
    return {}


def options_with_values(command: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a subcommand that take a value."""
    for action in arguments_of(command):
        if action.nargs != 0:
            yield from action.option_strings


def kinds(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.Action, str]]:
    """Yield the arguments of all subcommands that are completed, and what they name.

    `image` is a local file or one with a path inside, `file`, `directory`, `inside` a path in the
    image, `inside or file` that or, where no image comes before, a file.
    """
    for command in subcommands(parser).values():
        actions = arguments_of(command)
        named = {action.metavar: action for action in actions if not action.option_strings}
        path = named.get("PATH")
        for action in actions:
            kind = _KINDS.get(str(action.metavar))
            if action is path and action.nargs == "?":
                kind = "inside or file"  # as the image may have it appended
            elif action is named.get("IMAGE") and (
                "IMAGE|DIR" in named or (path and path.nargs in {"*", "?"})
            ):
                kind = "image"
            if kind:
                yield action, kind


def list_choices(parser: argparse.ArgumentParser) -> None:
    """Give the options of all subcommands the choices that their metavars list."""
    for command in subcommands(parser).values():
        for action in arguments_of(command):
            for separator in _SEPARATORS:
                listed = str(action.metavar).split(separator)
                if len(listed) > 1 and all(map(str.islower, listed)):
                    action.choices = listed
