"""What a command cost in S3: the reader's command finds `counting` as an entry point."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs_lambda.accounting import Usage, request_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["counting"]

_NAMES = {
    "s3_requests": "requests to S3",
    "s3_bytes": "bytes from S3",
    "cache_hits": "chunks from the cache",
    "cache_misses": "chunks fetched",
}


@contextmanager
def counting() -> Iterator[Callable[[], dict[str, int]]]:
    """Count the requests meanwhile; yield a function that returns the figures, if there are any."""
    usage = Usage()

    def figures() -> dict[str, int]:
        if not any(usage.figures.values()):
            return {}
        return {name: usage.figures[figure] for figure, name in _NAMES.items()}

    with request_scope(usage):
        yield figures
