"""What the sources of images are: directories, tar streams, zip archives, images, single files.

Installed packages add sources for schemes of URLs in the entry-point group `s3archivefs.inputs`:
functions that take a URL, what to call with each object packed, and what says of a path whether to
take it (None for all), and return the members, or None for a URL of a single object.
"""

from __future__ import annotations

import os
import sys
from itertools import chain
from stat import S_ISBLK, S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from s3archivefs.cli.arguments import UsageError
from s3archivefs.cli.opened import open_named
from s3archivefs.cli.output import json_line
from s3archivefs.errors import naming
from s3archivefs.names import encode
from s3archivefs.sources import is_squashfs
from s3archivefs.writer.inputs.arranged import Chosen, below
from s3archivefs.writer.inputs.directory import DirectoryInput, FileInput
from s3archivefs.writer.inputs.ordered import OrderableSource, in_order
from s3archivefs.writer.output import new_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from contextlib import ExitStack
    from typing import TextIO

    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.inputs.arranged import Exclusion
    from s3archivefs.writer.inputs.sizes import Takes

__all__ = [
    "STANDARD_INPUT",
    "Manifest",
    "Source",
    "members_of",
    "repeated_sizes_of",
    "size_of",
    "source_of",
]

STANDARD_INPUT = "-"


class Source(NamedTuple):
    """What one argument names."""

    members: Iterable[Member]
    """Has a method `size` where the bytes of all contents can be known before."""
    name: bytes
    """The name that it has among several; empty for archives, whose members keep their paths."""
    repeats: bool
    """Whether the members can be asked for again."""
    is_chosen: bool
    """Whether exclusions are applied already."""
    lasts: bool = True
    """Whether contents can still be opened once later members have come."""


def source_of(
    argument: str,
    exclusion: Exclusion,
    opened: ExitStack,
    *,
    xattrs: bool,
    target: str,
    without: Container[tuple[int, int]],
    packed: Callable[[Any], object],
) -> Source:
    """Return what an argument names; `opened` closes it.

    Left out are the object at the URL `target`, and files of inodes to go `without`.

    `packed` is called with the objects of remote sources as they are packed: tuples with names.

    Raises UsageError for an empty argument, a fifo or a terminal, and OSError for a path that leads
    to nothing.
    """
    if not argument:
        raise UsageError("a SOURCE is empty: give a path, a URL, or - for a tar stream")
    if argument == STANDARD_INPUT:
        from s3archivefs.writer.inputs.tar import TarInput  # noqa: PLC0415 -- few commands need it

        if sys.stdin is None:  # as Python has it where the descriptor is closed
            raise UsageError("-: standard input is closed: give it a tar stream")
        stream = TarInput(sys.stdin.buffer, "standard input", takes=exclusion.taken)
        return Source(stream, b"", repeats=False, is_chosen=False)
    if "://" in argument:
        return _source_at(argument, exclusion, opened, packed, target)
    mode = os.stat(argument).st_mode  # noqa: PTH116 -- pathlib takes 10 ms to import
    if S_ISDIR(mode):
        name = encode(os.path.basename(os.path.abspath(argument)))  # noqa: PTH100, PTH119 -- likewise
        found = DirectoryInput(argument, takes=exclusion.taken, xattrs=xattrs, without=without)
        return Source(found, name, repeats=True, is_chosen=True)
    if not (S_ISREG(mode) or S_ISBLK(mode)):  # to look for what it holds would wait, or take it
        raise UsageError(
            f"{argument}: is no file: if it yields a tar stream, give - and < {argument}"
        )
    return _file_source(argument, exclusion, opened, xattrs=xattrs)


class Manifest:
    """The list of objects that were packed, a line of JSON each.

    Without a path there is none.
    """

    def __init__(self, path: str | None, opened: ExitStack) -> None:
        self._lines: TextIO | None = None
        if path is None:
            return
        try:
            self._lines = opened.enter_context(new_lines(path))
        except FileExistsError:
            raise UsageError(f"{path}: exists; remove it, or give another name") from None

    def add(self, item: Any) -> None:  # noqa: ANN401 -- a named tuple of the source's package
        """Write a line of an object."""
        if self._lines is not None:
            self._lines.write(json_line(item._asdict()))


def size_of(sources: list[Source]) -> int | None:
    """Return about how many bytes all sources hold, or None where that cannot be known."""
    if not all(hasattr(source.members, "size") for source in sources):
        return None
    sizes: list[int] = [cast("Any", source.members).size() for source in sources]
    return sum(sizes)


def repeated_sizes_of(sources: list[Source]) -> Container[int] | None:
    """Return the sizes that several files have, or None where that is not known."""
    if len(sources) != 1 or not isinstance(found := sources[0].members, DirectoryInput):
        return None
    return found.repeated_sizes()


def members_of(
    sources: list[Source], exclusion: Exclusion, first: list[bytes], into: bytes = b""
) -> Iterable[Member]:
    """Return the members of all sources: each below its name, where there are several.

    All lie below the directory `into`. The files of the paths `first` come first. Raises UsageError
    where a source that comes once would have to be read again for them.
    """
    placed = [_placed(source, exclusion, into, is_alone=len(sources) == 1) for source in sources]
    if not first:
        return chain.from_iterable(
            below(each.members, each.top) if each.top else each.members for each in placed
        )
    if not all(source.repeats for source in sources):
        raise UsageError(
            "--order reads the sources several times; standard input comes once: give a file"
        )
    return in_order(placed, first)


def _placed(
    source: Source, exclusion: Exclusion, into: bytes, *, is_alone: bool
) -> OrderableSource:
    """Return the members of a source that are not excluded, and where they go."""
    members = source.members
    if not source.is_chosen:
        members = Chosen(members, exclusion, repeats=source.repeats)
    name = b"" if is_alone else source.name
    return OrderableSource(members, b"/".join(filter(None, (into, name))), source.lasts)


def _file_source(path: str, exclusion: Exclusion, opened: ExitStack, *, xattrs: bool) -> Source:
    """Return what a local file holds: an archive's members, or itself."""
    import zipfile  # noqa: PLC0415 -- few commands need them

    from s3archivefs.writer.inputs.tar import TarFileInput, is_tar  # noqa: PLC0415
    from s3archivefs.writer.inputs.zip import ZipInput  # noqa: PLC0415

    takes = exclusion.taken
    if is_squashfs(path):
        return _image_source(path, exclusion, opened)
    if zipfile.is_zipfile(path):
        members = ZipInput(path, takes=takes)
        return Source(members, b"", repeats=True, is_chosen=True, lasts=False)
    if os.path.isfile(path) and is_tar(path):  # noqa: PTH113 -- likewise
        stream = TarFileInput(path, takes=takes)
        return Source(stream, b"", repeats=True, is_chosen=False, lasts=False)
    return Source(FileInput(path, xattrs=xattrs), b"", repeats=True, is_chosen=False)


def _source_at(
    url: str,
    exclusion: Exclusion,
    opened: ExitStack,
    packed: Callable[[Any], object],
    target: str,
) -> Source:
    """Return what a URL names: what its scheme's package finds there, or an image."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 20 ms, and few commands need it

    scheme = url.partition("://")[0]
    takes = _without_target(exclusion.taken, url, target)
    for entry in entry_points(group="s3archivefs.inputs", name=scheme):
        members = cast("Iterable[Member] | None", entry.load()(url, packed, takes))
        if members is not None:
            return Source(members, b"", repeats=True, is_chosen=True)
    return _image_source(url, exclusion, opened)


def _without_target(takes: Takes | None, url: str, target: str) -> Takes | None:
    """Return what leaves out the target, too, where it lies below the URL."""
    top = url if url.endswith("/") else url + "/"  # a bucket may be given without
    if not target.startswith(top):
        return takes
    own = encode(target.removeprefix(top))

    def taken(path: bytes, *, is_directory: bool) -> bool:
        return path != own and (takes is None or takes(path, is_directory=is_directory))

    return taken


def _image_source(name: str, exclusion: Exclusion, opened: ExitStack) -> Source:
    """Return the members of an image, which its faults name."""
    from s3archivefs.writer.inputs.image import ImageInput  # noqa: PLC0415 -- few commands need it

    with naming(name):
        image = opened.enter_context(open_named(name, offset=0))
    found = ImageInput(image, name, takes=exclusion.taken)
    return Source(found, b"", repeats=True, is_chosen=True)
