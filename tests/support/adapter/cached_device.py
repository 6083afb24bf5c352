"""A cached device over one that records its reads."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.memory import ChunkMemory
from tests.support.adapter.chunk_stores import patient_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.cache.background import Background

__all__ = [
    "CHUNK",
    "DATA",
    "KIB",
    "MIB",
    "SIZE",
    "Device",
    "cached_device",
    "store_chunks",
    "stored_chunks",
]

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64 * KIB
SIZE = 24 * MIB + 1000
DATA = random.Random(7).randbytes(SIZE)


class Device:
    """Records its reads, and can be made to fail or wait."""

    def __init__(self) -> None:
        self.size = SIZE
        self.reads: list[tuple[int, int]] = []
        self.before: Callable[[], None] = lambda: None
        self.failed: list[AssertionError] = []
        """Assertions of `before`, which reading ahead swallows as it does any fault."""

    def pread(self, offset: int, length: int) -> bytes:
        try:
            self.before()
        except AssertionError as error:
            self.failed.append(error)
            raise
        self.reads.append((offset, length))
        return DATA[offset : offset + length]

    @property
    def chunks(self) -> set[int]:
        """Those that were read, each once."""
        read = [n for offset, length in self.reads for n in _numbers(offset, length)]
        assert len(read) == len(set(read))
        return set(read)


def _numbers(offset: int, length: int) -> range:
    assert offset % CHUNK == 0
    return range(offset // CHUNK, -(-(offset + length) // CHUNK))


def cached_device(
    below: BlockDevice,
    directory: Path,
    *,
    metadata_start: int = SIZE,
    memory: int = 64 * MIB,
    store: int = 256 * MIB,
    background: Background | None = None,
) -> CachedDevice:
    chunks = ChunkMemory(memory)
    if background is not None:
        chunks.background = background
    return CachedDevice(
        below,
        "archive",
        CHUNK,
        memory=chunks,
        store=patient_store(directory, store),
        metadata_start=metadata_start,
    )


def store_chunks(directory: Path, offset: int, length: int, metadata_start: int = SIZE) -> None:
    """As an instance leaves them that has read them, and ended."""
    cached = cached_device(Device(), directory, metadata_start=metadata_start)
    cached.pread(offset, length)
    cached.background.wait_idle()


def stored_chunks(directory: Path) -> set[int]:
    return {int(path.name) for path in directory.glob("s3archivefs-cache/v1/*/*/*")}
