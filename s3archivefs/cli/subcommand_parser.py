"""The parser of a subcommand, which takes options as getopt_long(3) does."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SubcommandParser"]


class SubcommandParser(argparse.ArgumentParser):
    """Takes options anywhere before `--`, and shows its own usage where one is unknown.

    argparse ends a list of positional arguments at the first option. Its remedy for that,
    `parse_intermixed_args`, is not what it calls for subcommands, and loses `--` in Python 3.11.
    What follows an option that needs a value is its value, also where it begins with a hyphen.
    """

    _skips_positionals = False

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # noqa: ANN401 -- overloaded in argparse
        """Parse the options, then the rest, and exit where anything is left over."""
        rest = [*(sys.argv[1:] if args is None else args)]
        parsed: list[argparse.Action | argparse._MutuallyExclusiveGroup] = []
        positionals = self._get_positional_actions()
        # An argument that takes all behind it, options too, leaves nothing to be told apart.
        if not any(each.nargs in {argparse.PARSER, argparse.REMAINDER} for each in positionals):
            rest = self._with_values(rest)
            end = rest.index("--") if "--" in rest else len(rest)
            behind = rest[end:]
            with self._positionals_skipped(), _none_required(positionals):
                namespace, rest = super().parse_known_args(rest[:end], namespace)
            rest += behind
            parsed += self._get_optional_actions()
            parsed += self._mutually_exclusive_groups
        with _none_required(parsed):
            namespace, rest = super().parse_known_args(rest, namespace)
        if rest:  # an unknown option, with the paths behind it; or more paths than are taken
            unknown = [each for each in rest if each.startswith("-")] or rest
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, rest

    def _with_values(self, arguments: Iterable[str]) -> list[str]:
        """Return the arguments, each option in one with a value that begins with a hyphen."""
        joined: list[str] = []
        words = iter(arguments)
        for word in words:
            joined.append(word)
            if word == "--":
                break
            if self._needs_value(word) and (value := next(words, None)) is not None:
                if value.startswith("-"):
                    joined[-1] += f"={value}" if word.startswith("--") else value
                else:
                    joined.append(value)
        return [*joined, *words]

    def _needs_value(self, word: str) -> bool:
        """Return whether a word, which may be cut short, is an option of one value."""
        action = self._option_string_actions.get(word)
        if action is None and word.startswith("--") and "=" not in word:
            begun = [found[0] for found in self._get_option_tuples(word)]
            action = begun[0] if len(begun) == 1 else None
        return action is not None and action.nargs is None

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:  # noqa: ANN401 -- as argparse has it
        """Return the value of an argument; `--` too, which Python before 3.13 drops."""
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            value = self._get_value(action, "--")
            self._check_value(action, value)
            return value
        return super()._get_values(action, arg_strings)

    @contextmanager
    def _positionals_skipped(self) -> Iterator[None]:
        self._skips_positionals = True
        try:
            yield
        finally:
            self._skips_positionals = False

    def _get_positional_actions(self) -> list[argparse.Action]:
        return [] if self._skips_positionals else super()._get_positional_actions()


@contextmanager
def _none_required(
    arguments: Iterable[argparse.Action | argparse._MutuallyExclusiveGroup],
) -> Iterator[None]:
    """Let arguments be absent meanwhile."""
    required = [each for each in arguments if each.required]
    for each in required:
        each.required = False
    try:
        yield
    finally:
        for each in required:
            each.required = True
