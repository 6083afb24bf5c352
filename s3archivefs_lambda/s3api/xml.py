"""What S3's XML documents have in common."""

from __future__ import annotations

import re
from functools import cache
from xml.sax.saxutils import escape

__all__ = ["S3_NAMESPACE", "XML_HEAD", "xml_text"]

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def xml_text(text: str) -> str:
    """Return text for an element, with U+FFFD for what XML 1.0 cannot hold.

    Keys that XML cannot hold are read from listings with encoding-type=url.
    """
    return escape(_not_xml().sub("\ufffd", text), {"\r": "&#13;"})


@cache
def _not_xml() -> re.Pattern[str]:
    """Return the pattern of what XML cannot hold, which takes 4 ms to compile."""
    return re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
