"""The part of the filesystem that lists directories, and whole trees as they are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

from s3archivefs.errors import leads_nowhere
from s3archivefs.filesystem.details import Details, details_in_listing
from s3archivefs.filesystem.patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.filesystem.sharing import SharedImage
    from s3archivefs.image import SquashFS

__all__ = ["Listings"]

_MAGIC = re.compile(r"[*?\[]")


class Listings(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """The part of the filesystem that lists.

    No listing is kept. A directory that cannot be read raises; a path that leads nowhere raises in
    `ls`, and is an empty tree to the others, as in fsspec.
    """

    @property
    def image(self) -> SquashFS:
        """The open image."""
        raise NotImplementedError

    @property
    def _opened(self) -> SharedImage:
        """The open image, as filesystems share it."""
        raise NotImplementedError

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: ANN401, FBT001, FBT002 -- fsspec's
        """Return the entries of a directory in byte order, or the file itself.

        They are what `info` returns, or names without `detail`. A symlink that leads to a
        directory, or nowhere, is of type `other`: who walks by listings enters none.
        """
        name = self._strip_protocol(path)
        prefix = name + "/" if name else ""
        try:
            if not detail:
                return [prefix + entry.name for entry in self.image.scandir("/" + name)]
            return [*self._children(name)]
        except NotADirectoryError:
            info = self.info(name)
            return [info if detail else name]

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,  # noqa: FBT001, FBT002 -- fsspec's
        on_error: Any = "omit",  # noqa: ANN401 -- likewise
        **kwargs: Any,  # noqa: ANN401 -- likewise
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield the directories from `path` down, each with the names in it.

        The walk enters no symlink. It reads as it goes on, and holds one directory at a time.
        """
        shared = self._opened  # not within `try`: a missing archive is no empty tree
        if kwargs.get("detail") or not topdown:
            yield from super().walk(path, maxdepth, topdown, on_error, **kwargs)
            return
        try:
            yield from self._levels(shared, self._strip_protocol(path), maxdepth)
        except OSError as error:
            if not leads_nowhere(error):
                raise
            if isinstance(error, NotADirectoryError):  # a file, or below one
                yield from super().walk(path, maxdepth, topdown, on_error, **kwargs)
            elif on_error == "raise":
                raise
            elif callable(on_error):
                on_error(error)

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 -- fsspec's
        detail: bool = False,  # noqa: FBT001, FBT002 -- likewise
        **_: Any,  # noqa: ANN401 -- likewise
    ) -> Any:  # noqa: ANN401 -- names, or details by name
        """Return all that is not a directory below `path`, sorted: names, or details by name.

        A million names take some 85 MB, their details seven times as much.
        """
        name = self._strip_protocol(path)
        if not detail:
            return sorted(each for each, _ in self._below(name, maxdepth, withdirs=withdirs))
        found = {info["name"]: info for info in self._details_below(name, maxdepth, withdirs)}
        return dict(sorted(found.items()))

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:  # noqa: ANN401 -- fsspec's
        """Return the paths that match a pattern of fsspec's, sorted; details by path if asked.

        What does not match takes no memory.
        """
        pattern = self._strip_protocol(path)
        first = _MAGIC.search(pattern)
        if first is None:
            return super().glob(path, maxdepth, **kwargs)
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        top = pattern[: first.start()].rpartition("/")[0]
        levels: int | None = pattern[len(top) :].lstrip("/").count("/") + 1
        if "**" in pattern:
            behind = pattern[pattern.index("**") :].count("/") + 1
            levels = None if maxdepth is None else levels - behind + maxdepth
        only_directories = path.endswith("/")
        matches = matcher(pattern + "/" * only_directories)
        slash = "/" if only_directories or pattern.endswith("/**") else ""
        withdirs = kwargs.get("withdirs", True)
        found = sorted(
            name
            for name, is_directory in self._below(top, levels, withdirs=withdirs)
            if matches(name + slash if is_directory else name)
        )
        if not kwargs.get("detail"):
            return found
        return {name: self.info(name) if name == top else self._details(name) for name in found}

    def du(
        self,
        path: str,
        total: bool = True,  # noqa: FBT001, FBT002 -- fsspec's
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 -- likewise
        **_: Any,  # noqa: ANN401 -- likewise
    ) -> Any:  # noqa: ANN401 -- bytes, or bytes by name
        """Return the sum of all files' bytes; if not `total`, the bytes by name."""
        sizes = (
            (info["name"], info["size"])
            for info in self._details_below(self._strip_protocol(path), maxdepth, withdirs)
        )
        return sum(size for _, size in sizes) if total else dict(sizes)

    # ---- Trees as they are read ------------------------------------------------------------------

    def _levels(
        self, shared: SharedImage, top: str, maxdepth: int | None
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield each directory with the names of the directories in it, and of all else.

        The caller may remove directories, which are not entered. The image is open as long as the
        iterator is there.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        depth_of_top = top.count("/") + bool(top)
        for path, directories, others in shared.image.walk("/" + top, symlinks_as_files=True):
            here = path[1:]
            wanted = [*directories]
            yield here, wanted, others
            depth = here.count("/") + bool(here) - depth_of_top + 1
            directories[:] = wanted if maxdepth is None or depth < maxdepth else []

    def _below(
        self, top: str, maxdepth: int | None, *, withdirs: bool
    ) -> Iterator[tuple[str, bool]]:
        """Yield the names below, and whether each is a directory; of no directory its own."""
        shared = self._opened
        try:
            if withdirs and top and self.isdir(top):
                yield top, True
            for here, directories, others in self._levels(shared, top, maxdepth):
                prefix = here + "/" if here else ""
                for name in others:
                    yield prefix + name, False
                for name in directories if withdirs else ():
                    yield prefix + name, True
        except OSError as error:
            if not leads_nowhere(error):
                raise
            if self.exists(top):  # a file, or what is none and no directory either
                yield top, False

    def _details_below(
        self,
        top: str,
        maxdepth: int | None,
        withdirs: bool,  # noqa: FBT001 -- as `find` has it
    ) -> Iterator[Details]:
        """Yield the details of what `_below` yields."""
        shared = self._opened
        try:
            if withdirs and top and self.isdir(top):
                yield self.info(top)
            for here, _, _ in self._levels(shared, top, maxdepth):
                for info in self._children(here):
                    if withdirs or info["type"] != "directory":
                        yield info
        except OSError as error:
            if not leads_nowhere(error):
                raise
            if self.exists(top):
                yield self.info(top)

    def _children(self, name: str) -> Iterator[Details]:
        """Yield the details of the entries of a directory, in byte order of the names."""
        image = self.image
        prefix = name + "/" if name else ""
        for child, stat in image.scandir_stats("/" + name):
            yield details_in_listing(image, prefix + child, stat)

    def _details(self, name: str) -> Details:
        """Return the details of a name as a listing has them."""
        image = self.image
        return details_in_listing(image, name, image.stat("/" + name, follow_symlinks=False))
