"""Arguments that name an image and paths inside it, as two arguments or as one.

`s3://bucket/a.sqfs /docs` and `s3://bucket/a.sqfs/docs` mean the same.
"""

from __future__ import annotations

import os

__all__ = ["ENDINGS", "split_location"]

ENDINGS = (".sqfs", ".squashfs", ".sqsh", ".sfs", ".squash", ".snap", ".appimage", ".img")
"""Endings of an image's name: in a URL they show where a key ends."""
_LONGEST = max(map(len, ENDINGS))


def split_location(location: str) -> tuple[str, str | None]:
    """Return the image that an argument names, and the path inside, or None.

    A local image ends at the first name that is no directory; one behind a URL at the first name
    that ends as images do, in `.sqfs`, `.squashfs` and the like.
    """
    if "://" in location:
        at = location.find("/", location.index("://") + 3)
        while at > 0 and not location[max(0, at - _LONGEST) : at].lower().endswith(ENDINGS):
            at = location.find("/", at + 1)
        return (location[:at], location[at:]) if at > 0 else (location, None)
    at = len(location)
    while at > 0 and not os.path.lexists(location[:at]):
        at = location.rfind("/", 0, at)
    # pathlib takes 10 ms to import.
    if 0 < at < len(location) and not os.path.isdir(location[:at]):  # noqa: PTH112
        return location[:at], location[at:]
    return location, None
