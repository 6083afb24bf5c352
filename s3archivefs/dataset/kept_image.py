"""The image of a dataset that came from another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.image import SquashFS
from s3archivefs.reopening import reopen
from s3archivefs.sources import PinnedSource, StoredSource

if TYPE_CHECKING:
    from s3archivefs.reopening import Origin

__all__ = ["kept_image"]

_kept_open: list[tuple[Origin, SquashFS]] = []
"""The last image that was opened again, for the next partition of a worker."""


def kept_image(origin: Origin) -> SquashFS:
    """Return a dataset's image, opened again unless it was the last to be."""
    for known, image in [*_kept_open]:
        if known == origin:
            return image
    image = reopen(SquashFS, origin)
    if isinstance(origin.source, str | bytes | StoredSource | PinnedSource):
        _kept_open[:] = [(origin, image)]
    return image
