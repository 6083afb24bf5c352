"""What `extract` and `cp` share: how members are made, and what is said of it."""

from __future__ import annotations

import errno
import gc
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, count
from s3archivefs.cli.exit_codes import FAULT
from s3archivefs.cli.faults import complain, line_of
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.cli.totals import totals
from s3archivefs.extraction.errors import ExtractionError
from s3archivefs.limits import Limits

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from s3archivefs.cli.faults import Faults
    from s3archivefs.cli.opened import Opened
    from s3archivefs.errors import SquashfsError
    from s3archivefs.extraction.folders import Existing
    from s3archivefs.extraction.manner import Counts

__all__ = ["LIMITS", "add_manner", "check_manner", "extract"]

LIMITS = Limits(cache_bytes=32 << 20)
"""Blocks are read in order, so that few are asked for again."""
_OBJECTS = 100_000
"""New objects that the garbage collector waits for."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_STANDS = "something stands there: --force replaces it, --no-clobber keeps it"
_DIRECTORY_STANDS = "a directory stands there: --no-clobber keeps it; else remove it"
_NO_DIRECTORY = "a file stands there, where a directory is to be: --force replaces it"
_GO_ON = "what is extracted is whole; make room and go on with --no-clobber"


def add_manner(parser: argparse.ArgumentParser) -> None:
    """Add how members are made."""
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "-f", "--force", action="store_true", help="replace files and symlinks that are there"
    )
    existing.add_argument(
        "-n",
        "--no-clobber",
        action="store_true",
        help="keep what is there, as to go on after an interruption",
    )
    parser.add_argument(
        "--filter",
        choices=("data", "tar", "fully-trusted"),
        default="data",
        help="what an image may ask for, as in PEP 706 (data); docs/extracting.md tells of each",
    )
    parser.add_argument(
        "--owner", action="store_true", help="restore owners, as root, and not with --filter data"
    )
    parser.add_argument("--xattrs", action="store_true", help="restore extended attributes")
    parser.add_argument(
        "-j", "--jobs", type=count, metavar="N", help="threads that read and decode, 8 at most"
    )
    add_progress(parser)


def check_manner(options: argparse.Namespace) -> None:
    """Raise UsageError where what is asked for cannot be."""
    if options.owner and options.filter == "data":
        raise UsageError("--owner takes --filter tar or --filter fully-trusted")
    if options.owner and hasattr(os, "geteuid") and os.geteuid() != 0:
        raise UsageError("--owner is for root, who may give files away: leave it out")
    if options.jobs == 0:
        raise UsageError("--jobs takes 1 or more")


def extract(
    found: Opened,
    target: str,
    options: argparse.Namespace,
    *,
    made: Counts | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strip_components: int = 0,
    name: str | None = None,
) -> None:
    """Extract the paths that are found into a directory; faults are reported.

    What is made is counted in `made`.
    """
    existing: Existing = "replace" if options.force else "keep" if options.no_clobber else "error"
    # What patterns leave of it is found out as it is extracted.
    in_all = (
        None
        if include or exclude or strip_components
        else partial(totals, found.image, found.paths)
    )
    try:
        with progress_shown(options.progress, totals=in_all) as progress, _rarely_collected():
            found.image.extract(
                found.paths if name is None else found.paths[0],
                target,
                filter=options.filter,
                include=include,
                exclude=exclude,
                strip_components=strip_components,
                name=name,
                existing=existing,
                owner=options.owner,
                xattrs=options.xattrs,
                jobs=options.jobs,
                progress=progress,
                on_error=lambda path, error: _report(found.faults, path, error),
                counts=made,
            )
    except OSError as error:
        where = error.filename
        if not isinstance(where, str) or not (where.startswith(target) or target.startswith(where)):
            raise
        # What is not there, or no directory, is none of the image's paths.
        what = f"{error.strerror}: {_GO_ON}" if error.errno in _FULL else error.strerror
        complain(line_of(OSError(error.errno, what, where), None))
        found.faults.code = max(found.faults.code, FAULT)


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let the garbage collector look rarely meanwhile: it takes 5 % of the time.

    It finds nothing: what is kept of files is many tuples, and free when they are made.
    """
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _report(faults: Faults, path: str, error: SquashfsError | OSError) -> None:
    """Report the fault of a member, which what refuses it names itself."""
    faults.report(_explained(path, error), "" if isinstance(error, ExtractionError) else path)


def _explained(path: str, error: SquashfsError | OSError) -> Exception:
    """Return an error that says what to do, where that is known.

    `path` is that in the image; other paths are in the target.
    """
    if isinstance(error, FileExistsError | IsADirectoryError):
        where = error.filename
        # pathlib takes 10 ms to import.
        is_directory = os.path.isdir(where) and not os.path.islink(where)  # noqa: PTH112, PTH114
        return FileExistsError(errno.EEXIST, _DIRECTORY_STANDS if is_directory else _STANDS, where)
    if isinstance(error, NotADirectoryError) and error.filename != path:
        return FileExistsError(errno.EEXIST, _NO_DIRECTORY, error.filename)
    return error
