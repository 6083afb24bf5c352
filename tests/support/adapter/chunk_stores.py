"""Stores of chunks that keep what they have room for, however busy the machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.eviction import Pace

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["patient_store"]


def patient_store(directory: Path, max_bytes: int) -> ChunkStore:
    """Return a store that drops no chunk because its files are not counted in time."""
    return ChunkStore(directory, max_bytes, pace=Pace(patience_seconds=60))
