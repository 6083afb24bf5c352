"""Waiting for what is done beside readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3archivefs_lambda.cache.background import Background

__all__ = ["finish"]


def finish(background: Background) -> None:
    """Wait until all that was begun has ended."""
    pool = background._pool
    if pool is not None:
        pool.shutdown()
        background._pool = None
