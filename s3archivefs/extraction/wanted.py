"""The attributes that members are to have; extended ones are read when they are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.errors import SquashfsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.extraction.attributes import Attributes, Xattrs
    from s3archivefs.extraction.folders import Folder
    from s3archivefs.extraction.manner import Attributed, Manner
    from s3archivefs.extraction.walk import Source

__all__ = ["WantedAttributes"]


class WantedAttributes:
    """The attributes that an extraction is to set.

    `fault` is called with the path of a directory and what reading its attributes raises, unless
    `is_over` says that the extraction has ended.
    """

    def __init__(
        self,
        image: Source,
        manner: Manner,
        fault: Callable[[str, SquashfsError | OSError], object],
        is_over: Callable[[], bool],
    ) -> None:
        self._image = image
        self._manner = manner
        self._fault = fault
        self._is_over = is_over
        self._is_cut_off = False
        """Whether the image could not be read since the extraction has ended."""

    def of(self, member: Attributed, reference: int) -> Attributes:
        """Return what is to be set on a member that is no directory."""
        wanted = self._manner.attributes(member)
        if not self._manner.has_xattrs:
            return wanted
        return wanted._replace(xattrs=self._xattrs(reference))

    def note(self, folder: Folder, member: Attributed, reference: int) -> None:
        """Note what a directory is to have once it is finished."""
        folder.attributes = self._manner.attributes(member)
        folder.reference = reference if self._manner.has_xattrs else None

    def at_end(self, folder: Folder, reference: int) -> Xattrs | None:
        """Return the extended attributes of a directory that is to be finished.

        None leaves it unfinished, where the image cannot be read any more: an extraction that goes
        on with `keep` sets all.
        """
        if self._is_cut_off:  # each attempt may take as long as the one that ended it all
            return None
        try:
            return self._xattrs(reference)
        except (SquashfsError, OSError) as error:
            if self._is_over():
                self._is_cut_off = True
                return None
            self._fault(folder.path, error)
            return ()

    def _xattrs(self, reference: int) -> Xattrs:
        return self._manner.wanted_xattrs(self._image.xattr_pairs_of_node(reference))
