"""The part of an image that extracts its members into a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from s3archivefs.errors import SquashfsError, UnsupportedError
from s3archivefs.names import decode, encode
from s3archivefs.opening import FileOpener

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.extraction.filters import Filter
    from s3archivefs.extraction.folders import Existing
    from s3archivefs.extraction.manner import Counts
    from s3archivefs.extraction.walk import Source
    from s3archivefs.names import EitherPath

__all__ = ["Extractor"]


class Extractor(FileOpener):
    """The part of `SquashFS` that extracts its members."""

    def extract(
        self,
        paths: EitherPath | Iterable[EitherPath],
        target: str | bytes | os.PathLike[str],
        *,
        filter: str | Filter = "data",  # noqa: A002 -- as tarfile
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        strip_components: int = 0,
        name: str | None = None,
        existing: Existing = "error",
        owner: bool = False,
        xattrs: bool = False,
        jobs: int | None = None,
        progress: Callable[[int, int], object] | None = None,
        on_error: Callable[[str, SquashfsError | OSError], object] | None = None,
        counts: Counts | None = None,
    ) -> Counts:
        """Extract a path, or several, with all that is below them, into the directory `target`.

        Members keep their paths below the target, less the first `strip_components` names; with
        `name`, a single path is called so instead. `include` and `exclude` are glob patterns: those
        without a slash are for names at any depth. Modes and times are restored as `filter` has
        them: `data`, `tar`, `fully-trusted`, as in PEP 706, or a function of Member and target.
        `owner` and `xattrs` ask for owners, as root, and for extended attributes. Setuid and setgid
        bits are restored where the owner and the group are.

        A file gets its name when it is complete. What stands under its name is an `error`, or is to
        `keep` or `replace`; nothing is made through a symlink in the target. So an extraction that
        was interrupted goes on with `keep`.

        Up to `jobs` threads read and decode, 8 at most: by default as many as there are processors,
        and 8 where the image is read over a network.

        `progress` is called with the regular files, and their bytes, that were made or kept since
        its last call. Returns what was made in all: `counts` if given, which is counted in, and so
        says it also where an error ends the extraction.

        Raises ExtractionError where a member is refused, FileExistsError, PermissionError where
        `owner` is asked for by others than root, and what reading and writing raise. With
        `on_error`, that is called with the path in the image and the error, and the other members
        follow, unless the disk is full or the like.

        Format: "Directory Table", "Inode Table", "Data and Fragment Blocks".
        """
        self._check_open()
        if not os.supports_dir_fd:
            raise UnsupportedError("this operating system has no directory handles to extract by")
        from s3archivefs.extraction.extraction import Extraction  # noqa: PLC0415 -- for this alone
        from s3archivefs.extraction.manner import Counts, Manner  # noqa: PLC0415

        manner = Manner(
            filter=filter,
            include=include,
            exclude=exclude,
            strip_components=strip_components,
            name=name,
            existing=existing,
            owner=owner,
            xattrs=xattrs,
            jobs=jobs,
            progress=progress,
            on_error=on_error,
        )
        if isinstance(paths, str | bytes) or not isinstance(paths, Iterable):
            paths = [paths]
        elif name is not None:
            raise ValueError("name is for a single path")
        made = Counts() if counts is None else counts
        extraction = Extraction(cast("Source", self), os.fsdecode(target), manner, made)
        extraction.run([decode(encode(path)) for path in paths])
        return made
