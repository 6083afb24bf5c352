"""Writing squashfs images: one member after another, to any output, without seeking.

    from s3archivefs.writer import Entry, FileOutput, ImageWriter

    with ImageWriter(FileOutput("a.sqfs")) as image:
        image.add(Entry(b"docs/README", open=lambda: io.BytesIO(b"Hello"), mtime=1700000000))

`DirectoryInput`, `TarInput`, `ZipInput` and `ImageInput` yield members for it.
"""

from __future__ import annotations

from s3archivefs.errors import PackingError
from s3archivefs.inode import FileKind
from s3archivefs.writer.entries import Content, Entry, HardLink, Member
from s3archivefs.writer.image_writer import ImageWriter, Packed
from s3archivefs.writer.inputs.directory import DirectoryInput
from s3archivefs.writer.inputs.image import ImageInput
from s3archivefs.writer.options import COMPRESSORS, PackOptions
from s3archivefs.writer.output import FileOutput, Output, StreamOutput

__all__ = [
    "COMPRESSORS",
    "Content",
    "DirectoryInput",
    "Entry",
    "FileKind",
    "FileOutput",
    "HardLink",
    "ImageInput",
    "ImageWriter",
    "Member",
    "Output",
    "PackOptions",
    "Packed",
    "PackingError",
    "StreamOutput",
]
