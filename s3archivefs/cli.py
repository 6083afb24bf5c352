"""The `s3archivefs` command: subcommands for one image, and those that packages add.

Installed packages add subcommands through the entry-point group `s3archivefs.commands`. Each entry
names a function that takes the parser's subcommands, adds its own, and sets `run`, a function from
the parsed arguments to the exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import UTC, datetime
from stat import filemode
from typing import TYPE_CHECKING

from s3archivefs.errors import SquashfsError, leads_nowhere
from s3archivefs.image import SquashFS
from s3archivefs.inode import FileKind
from s3archivefs.names import encode
from s3archivefs.printed import printed, unprinted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from s3archivefs.inode import Stat

__all__ = ["main"]

_PIECE = 4 << 20  # bytes of a file written at once
_INTERRUPTED = 128 + signal.SIGINT  # exit code, as a shell has it
_PATH_HELP = "path inside the image, as it is or as ls prints it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    This is 0, 1 where the image or the path is at fault, 2 where the arguments are, or 130 after
    Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(arguments).parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `s3archivefs ls ... | head`
        sys.stderr.close()
        return 1
    except (SquashfsError, OSError, ValueError) as error:  # ValueError: a URL, offset or setting
        print(f"s3archivefs: {_line(error, getattr(options, 'image', None))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser, with the subcommands of other packages unless one of ours is meant."""
    parser = argparse.ArgumentParser(
        prog="s3archivefs", description="Read squashfs images, here and in S3."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ls = _add(commands, "ls", _list, "list a directory of an image")
    ls.add_argument("path", nargs="?", default="/", help=_PATH_HELP)
    ls.add_argument("-l", dest="long", action="store_true", help="with mode, owner, size and time")
    cat = _add(commands, "cat", _cat, "write a file of an image to standard output")
    cat.add_argument("path", help=_PATH_HELP)
    _add(commands, "info", _info, "say what an image is")
    if not arguments or arguments[0] not in commands.choices:
        _add_installed(commands)
    return parser


def _add_installed(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands of installed packages."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 20 ms, and it loads them

    for entry in sorted(entry_points(group="s3archivefs.commands"), key=lambda entry: entry.name):
        entry.load()(commands)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    """Return the parser of a new subcommand that reads one image."""
    command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    command.add_argument("image", help="path of a squashfs image, or a URL such as s3://bucket/key")
    command.add_argument(
        "--offset", type=int, default=0, help="byte of the file at which the image starts"
    )
    command.set_defaults(run=run)
    return command


def _list(options: argparse.Namespace) -> int:
    with SquashFS(options.image, offset=options.offset) as image:
        path = _place(image, options.path)
        if options.long:
            prefix = path if path.endswith(b"/") else path + b"/"
            for name, stat in image.scandir_stats(path):
                line = f"{_attributes(stat)} {_shown(name, sys.stdout)}"
                if stat.kind is FileKind.SYMLINK:
                    line += f" -> {_shown(image.readlink(prefix + name), sys.stdout)}"
                sys.stdout.write(line + "\n")
        else:
            for entry in image.scandir(path):
                sys.stdout.write(_shown(entry.name, sys.stdout) + "\n")
    return 0


def _cat(options: argparse.Namespace) -> int:
    with (
        SquashFS(options.image, offset=options.offset) as image,
        image.open(_place(image, options.path)) as file,
    ):
        while piece := file.read(_PIECE):
            sys.stdout.buffer.write(piece)
    return 0


def _info(options: argparse.Namespace) -> int:
    with SquashFS(options.image, offset=options.offset) as image:
        found = image.superblock
        made = datetime.fromtimestamp(found.mkfs_time, UTC)
        print(
            f"squashfs 4.0 image of {found.bytes_used:,} bytes, made {made:%Y-%m-%d %H:%M:%S} UTC"
        )
        print(f"compression {found.compression.name.lower()}, blocks of {found.block_size:,} bytes")
        print(
            f"{found.inode_count:,} inodes, {found.fragment_count:,} fragments, "
            f"{found.id_count:,} ids"
        )
        print(f"{found.bytes_used - found.inode_table_start:,} bytes of metadata at the end")
    return 0


def _place(image: SquashFS, path: str) -> bytes:
    """Return the path in the image that an argument means.

    It means the path that is printed so. Where that leads to nothing, it means the path of these
    very characters, if that leads to something.
    """
    meant, as_given = unprinted(path), encode(path)
    if meant != as_given and not _is_there(image, meant) and _is_there(image, as_given):
        return as_given
    return meant


def _is_there(image: SquashFS, path: bytes) -> bool:
    """Return whether the path leads to something, be it a broken symlink."""
    try:
        image.stat(path, follow_symlinks=False)
    except OSError as error:
        if not leads_nowhere(error):
            raise
        return False
    return True


def _attributes(stat: Stat) -> str:
    time = datetime.fromtimestamp(stat.mtime, UTC)
    return (
        f"{filemode(stat.mode)} {stat.uid:>5} {stat.gid:>5} {stat.size:>12} {time:%Y-%m-%d %H:%M}"
    )


def _line(error: Exception, image: str | None) -> str:
    """Return an error as one line, with the path that it names, else the image."""
    what, where = str(error).replace("\n", " "), image
    if isinstance(error, OSError) and error.strerror:
        what, where = error.strerror, error.filename or image
    if where is None or str(where) in what:
        return what
    return f"{_shown(os.fspath(where), sys.stderr)}: {what}"


def _shown(name: str | bytes, stream: TextIO) -> str:
    return printed(name, stream.encoding or "utf-8")  # a stream in memory has none


if __name__ == "__main__":  # pragma: no cover -- a process of its own, which nothing measures
    sys.exit(main())
