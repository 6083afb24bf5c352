"""Arguments that name an image and paths inside it, as two arguments or as one.

`s3://bucket/a.sqfs /docs` and `s3://bucket/a.sqfs/docs` mean the same.
"""

from __future__ import annotations

import os
import re

__all__ = ["split_location"]

_URL_WITH_PATH = re.compile(
    r"([a-z][a-z0-9+.-]*://.*?\.(?:sqfs|squashfs|sqsh|sfs|squash|snap|appimage|img))(/.*)",
    re.IGNORECASE | re.DOTALL,
)
"""In a URL nothing says where an object's key ends but the name's ending."""


def split_location(location: str) -> tuple[str, str | None]:
    """Return the image that an argument names, and the path inside, or None.

    A local image ends at the first name that is no directory; one behind a URL at the first name
    that ends as images do, in `.sqfs`, `.squashfs` and the like.
    """
    if "://" in location:
        found = _URL_WITH_PATH.fullmatch(location)
        return (found[1], found[2]) if found else (location, None)
    at = len(location)
    while at > 0 and not os.path.lexists(location[:at]):
        at = location.rfind("/", 0, at)
    # pathlib takes 10 ms to import.
    if 0 < at < len(location) and not os.path.isdir(location[:at]):  # noqa: PTH112
        return location[:at], location[at:]
    return location, None
