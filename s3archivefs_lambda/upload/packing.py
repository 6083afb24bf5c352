"""Packing a directory into an image on disk, as suits reading in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.writer import DirectoryInput, Entry, FileKind, FileOutput, ImageWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["pack"]


def pack(
    directory: Path,
    image: Path,
    *,
    progress: Callable[[int, int], object] = lambda _files, _bytes: None,
) -> None:
    """Pack `directory` into a new file, `image`.

    `progress` is called with the files and bytes that are packed meanwhile. A failure or an
    interruption leaves no `image`. Raises PackingError, CodecUnavailableError and OSError.
    """
    output = FileOutput(image)
    try:
        members = DirectoryInput(directory, without=output.identities)
        with ImageWriter(output, repeated_sizes=members.repeated_sizes()) as writer:
            for member in members:
                is_file = isinstance(member, Entry) and member.kind is FileKind.FILE
                progress(is_file, writer.add(member))
    finally:
        output.abandon()  # does nothing once the image is whole
