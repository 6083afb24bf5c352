"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse

__all__ = [
    "EXAMPLES_TITLE",
    "PATH_HELP",
    "HelpFormatter",
    "UsageError",
    "add_image",
    "add_json",
    "add_no_op",
    "add_paths",
    "arguments_of",
    "count",
    "examples",
    "filled",
]

EXAMPLES_TITLE = "examples:\n"
PATH_HELP = "path inside the image, as it is or as ls prints it"


class UsageError(Exception):
    """The arguments are wrong; the message says how."""


class HelpFormatter(argparse.HelpFormatter):
    """Fills the lines of paragraphs, and leaves examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(
            each if each.startswith(EXAMPLES_TITLE) else fill(each, width, indent)
            for each in text.split("\n\n")
        )


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add the image, and what concerns reading it."""
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="path of a squashfs image, or a URL such as s3://bucket/a.sqfs; where no PATH "
        "follows, a path inside may be appended: s3://bucket/a.sqfs/inner/path",
    )
    parser.add_argument(
        "--offset",
        type=count,
        default=0,
        metavar="BYTES",
        help="byte of the file at which the image starts (0)",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say at the end what was read from a remote image: requests and bytes",
    )


def add_paths(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Add the paths inside the image; without a default, at least one must be given."""
    end = f" ({default})" if default else ""
    parser.add_argument("paths", nargs="*", default=[], metavar="PATH", help=PATH_HELP + end)
    parser.set_defaults(default_path=default)


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`."""
    parser.add_argument(
        "--json", action="store_true", help="write an object of JSON on a line for each item"
    )


def add_no_op(parser: argparse._ActionsContainer, *names: str, why: str) -> None:
    """Add options that ask for what is done in any case, as `ls -a`."""
    parser.add_argument(
        *names, action="store_true", default=argparse.SUPPRESS, dest="no_op", help=why
    )


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return what a parser takes, options too, in the order of its help."""
    return parser._actions  # noqa: SLF001 -- argparse has no public list of them


def count(text: str) -> int:
    """Return a number that is not negative, for argparse."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return int(text)


def filled(text: str) -> str:
    """Return a text that is not empty, for argparse."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def examples(*lines: tuple[str, str], note: str = "") -> str:
    """Return the end of a help text: a note, and examples of commands."""
    width = max(len(command) for command, _ in lines)
    listed = "\n".join(f"  {command:<{width}}  {what}" for command, what in lines)
    return (f"{note}\n\n" if note else "") + EXAMPLES_TITLE + listed
