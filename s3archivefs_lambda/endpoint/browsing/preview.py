"""A look at an object: a picture, the first part of a text, or neither."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.browsing.markup import Template
from s3archivefs_lambda.endpoint.browsing.views import note

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.browsing.markup import Markup
    from s3archivefs_lambda.endpoint.browsing.page_request import PageRequest
    from s3archivefs_lambda.endpoint.browsing.s3_reader import S3Reader

__all__ = ["PICTURE_BYTES", "TEXT_BYTES", "preview"]

TEXT_BYTES = 64 << 10
"""Bytes of a text that are shown."""
PICTURE_BYTES = 32 << 20
"""Bytes of a picture, at most: a browser loads it whole."""
_PICTURES = {
    f"image/{kind}"
    for kind in ("apng", "avif", "bmp", "gif", "jpeg", "png", "svg+xml", "vnd.microsoft.icon")
} | {"image/webp", "image/x-icon"}
"""What browsers show as pictures. Scripts in an SVG do not run there."""
_NOT_TEXT = re.compile(rb"[\0-\x07\x0e-\x1a\x1c-\x1f]")
"""Controls, but those that texts have: white space, backspace, escape."""

_TEXT = Template(
    '<h2 id="preview">{title}</h2>'
    '<pre tabindex="0" role="region" aria-labelledby="preview">\n{text}</pre>\n'
)
_PICTURE = Template('<p class="picture"><img {attribute}="{href}" alt="{name}"></p>\n')


def preview(request: PageRequest, reader: S3Reader, kind: str, size: int, *, name: str) -> Markup:
    """Return what to show of the request's object; raise S3Error."""
    if size == 0:
        return note("This file is empty.")
    if kind.partition(";")[0].strip().lower() in _PICTURES:
        if size > PICTURE_BYTES:
            return note("This picture is too large to be shown here.")
        # The script signs the URL of a picture that nobody may read unsigned.
        attribute = "data-src" if request.is_signed else "src"
        return _PICTURE(attribute=attribute, href=request.href(request.key) or "", name=name)
    content = reader.first_bytes(request.key, TEXT_BYTES)
    if _NOT_TEXT.search(content):
        return note("This is not a text that can be shown here.")
    if size > len(content):
        content = _up_to_whole_character(content)
        title = f"The first {len(content) // 1024} KiB"
    else:
        title = "Content"
    return _TEXT(title=title, text=content.decode("utf-8", "replace"))


def _up_to_whole_character(content: bytes) -> bytes:
    """Return UTF-8 without the part of a character at its end."""
    start = len(content) - 1
    while start > len(content) - 4 and content[start] & 0xC0 == 0x80:
        start -= 1
    last = content[start:]
    return content if last.decode("utf-8", "ignore") else content[:start]
