"""The image and the paths inside it that the arguments of a subcommand mean."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cli.arguments import UsageError
from s3archivefs.cli.faults import Faults
from s3archivefs.cli.location import split_location
from s3archivefs.errors import NotSquashfsError, leads_nowhere
from s3archivefs.image import SquashFS
from s3archivefs.names import encode
from s3archivefs.printed import unprinted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from s3archivefs.limits import Limits

__all__ = ["Opened", "open_named", "opened", "place_meant"]

_NOT_SEEKABLE = "not seekable, like a pipe, and an image needs random access: copy it to a file"


class Opened(NamedTuple):
    """An open image, with the paths to work on."""

    image: SquashFS
    name: str
    """The image as the arguments name it, without a path inside."""
    paths: list[bytes]
    faults: Faults


@contextmanager
def opened(options: argparse.Namespace, limits: Limits | None = None) -> Iterator[Opened]:
    """Open the image of the arguments that `add_image` and `add_paths` made.

    Raises what `open_named` raises, and UsageError where a path must be given and none is.
    """
    name, given = options.image, list(getattr(options, "paths", ()))
    _check_name(name)
    if not given:
        name, inner = split_location(name)
        given = [inner] if inner is not None else []
    options.image = name  # for the line of an error
    if not hasattr(options, "paths"):
        if given and given[0].strip("/"):
            raise UsageError(f"give an image without a path in it: {name}")
    elif not given:
        if options.default_path is None:
            raise UsageError(f"which file? give a PATH after {name}")
        given = [options.default_path]
    if "" in given:
        raise UsageError("a PATH is empty: / is the root of the image")
    with open_named(name, offset=options.offset, limits=limits) as image:
        yield Opened(image, name, [place_meant(image, path) for path in given], Faults(name))


def open_named(name: str, *, offset: int, limits: Limits | None = None) -> SquashFS:
    """Open an image that an argument names.

    Raises what `SquashFS` raises, in words for the command's user, and UsageError for no name.
    """
    _check_name(name)
    try:
        return SquashFS(name, offset=offset, limits=limits)
    except IsADirectoryError:
        raise NotSquashfsError("a directory, not a squashfs image") from None
    except OSError as error:
        if error.errno == errno.ESPIPE:
            raise OSError(errno.ESPIPE, _NOT_SEEKABLE, name) from None
        raise


def _check_name(image: str) -> None:
    if not image:
        raise UsageError("the name of the IMAGE is empty: give a path or a URL")


def place_meant(image: SquashFS, path: str) -> bytes:
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
