"""Writing squashfs images: one member after another, to any output, without seeking.

    from s3archivefs.writer import Entry, FileOutput, ImageWriter

    with ImageWriter(FileOutput("a.sqfs")) as image:
        image.add(Entry(b"docs/README", open=lambda: io.BytesIO(b"Hello"), mtime=1700000000))

`ImageExtension` adds to an image that is there, or removes from it; `ImageCompaction` drops the
data that no member refers to any more. `DirectoryInput`, `TarInput`,
`ZipInput` and `ImageInput` yield members for both.
"""

from __future__ import annotations

from s3archivefs.errors import PackingError
from s3archivefs.inode import FileKind
from s3archivefs.writer.compacting import ImageCompaction
from s3archivefs.writer.entries import Content, Entry, HardLink, Member
from s3archivefs.writer.extending import Cost, ExtensionOutput, ImageExtension
from s3archivefs.writer.image_writer import ImageWriter, Packed
from s3archivefs.writer.inputs.directory import DirectoryInput
from s3archivefs.writer.inputs.image import ImageInput
from s3archivefs.writer.inputs.sizes import Takes
from s3archivefs.writer.options import COMPRESSORS, PackOptions
from s3archivefs.writer.output import FileOutput, Output, StreamOutput, padded
from s3archivefs.writer.postponed import PostponedOutput
from s3archivefs.writer.replacing import FileReplacement, HeldImage

__all__ = [
    "COMPRESSORS",
    "Content",
    "Cost",
    "DirectoryInput",
    "Entry",
    "ExtensionOutput",
    "FileKind",
    "FileOutput",
    "FileReplacement",
    "HardLink",
    "HeldImage",
    "ImageCompaction",
    "ImageExtension",
    "ImageInput",
    "ImageWriter",
    "Member",
    "Output",
    "PackOptions",
    "Packed",
    "PackingError",
    "PostponedOutput",
    "StreamOutput",
    "Takes",
    "padded",
]
