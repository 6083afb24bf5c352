"""Drawn images, packed by the project's own writer."""

from __future__ import annotations

import io
import os
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import FileKind
from s3archivefs.writer.entries import Entry, HardLink
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.output import FileOutput
from tests.support.drawn.own_options import pack_options

if TYPE_CHECKING:
    from pathlib import Path

    from fixtures.tree import Node
    from s3archivefs.writer.entries import Member
    from tests.support.drawn.images import DrawnImage

__all__ = ["member_of", "write_drawn"]


def write_drawn(drawn: DrawnImage, image: Path) -> None:
    """Make the image at `image`, replacing what is there."""
    with ImageWriter(FileOutput(image, replace=True), pack_options(drawn)) as writer:
        for node in drawn.nodes:
            writer.add(member_of(node))


def member_of(node: Node) -> Member:
    """The node as a source hands it to the writer."""
    path = os.fsencode(node.path)
    if node.kind == "hard_link":
        return HardLink(path, os.fsencode(node.link_to))
    major, minor = node.rdev or (0, 0)
    return Entry(
        path,
        FileKind[node.kind.upper()],
        node.mode,
        node.uid,
        node.gid,
        node.mtime,
        open=partial(io.BytesIO, node.content),
        size=len(node.content),
        reopens=True,
        target=os.fsencode(node.target),
        rdev=(minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12,
        xattrs=tuple((os.fsencode(name), value) for name, value in node.xattrs.items()),
    )
