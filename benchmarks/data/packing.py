"""Packs files as they are made, and puts them into the store."""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from benchmarks.remote.store import Store
from tests.support.images.tar_stream import MTIME, tar_stream

__all__ = ["Files", "pack_image", "pack_tar", "pack_zip", "put_all", "put_image"]

Files: TypeAlias = Iterable[tuple[str, bytes]]
"""Paths of at most 100 bytes with contents; those of a directory beside each other."""

_UPLOADS = 8
_SUPERBLOCK_BYTES = 96


def pack_image(image: Path, files: Files) -> None:
    """Pack files as `s3archivefs upload` does, unless the image is there."""
    if image.exists():
        return

    def directories() -> Iterator[tuple[str, Iterator[tuple[str, bytes, int]]]]:
        for parent, members in groupby(files, key=lambda file: file[0].rpartition("/")[0]):
            yield parent, ((path, content, MTIME) for path, content in members)

    made = image.with_suffix(".part")
    made.unlink(missing_ok=True)
    # It compares each file with all others of its size, unless told that there are no two alike.
    command = ["sqfstar", "-quiet", "-no-progress", "-comp", "zstd", "-b", "128K"]
    with subprocess.Popen([*command, "-no-duplicates", str(made)], stdin=subprocess.PIPE) as packer:
        assert packer.stdin is not None
        for piece in tar_stream(directories()):
            packer.stdin.write(piece)
    if packer.returncode:
        raise RuntimeError(f"sqfstar ended with {packer.returncode}")
    made.rename(image)


def pack_zip(target: Path, files: Files, method: int = zipfile.ZIP_STORED) -> None:
    """Pack files as a zip, unless it is there."""
    if target.exists():
        return
    made = target.with_suffix(".part")
    with zipfile.ZipFile(made, "w", method) as archive:
        for path, content in files:
            archive.writestr(path, content)
    made.rename(target)


def pack_tar(files: Files) -> bytes:
    """Return files as a tar."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, content in files:
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def put_image(store: Store, key: str, image: Path) -> None:
    """Upload an image with the metadata that `s3archivefs upload` gives it."""
    with image.open("rb") as file:
        superblock = base64.b64encode(file.read(_SUPERBLOCK_BYTES)).decode()
    extra = {"Metadata": {"s3archivefs-superblock": superblock}}
    store.gateway.client().upload_file(str(image), store.bucket, key, ExtraArgs=extra)


def put_all(store: Store, objects: Files) -> None:
    """Upload objects by their keys, several at once."""
    client = store.gateway.client()

    def put(item: tuple[str, bytes]) -> None:
        client.put_object(Bucket=store.bucket, Key=item[0], Body=item[1])

    with ThreadPoolExecutor(_UPLOADS) as uploads:
        for _ in uploads.map(put, objects):
            pass
