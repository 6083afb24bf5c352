"""The operations over a bucket's own objects, and archives among them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.location import Location, parse_bucket_location
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.config.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from types_boto3_s3 import S3Client

__all__ = ["bucket_mapping", "operations_over"]


def bucket_mapping(url: str = "s3://bucket", *patterns: str) -> PrefixMapping:
    """A mapping to a bucket's own objects."""
    location = parse_bucket_location(url)
    prefix = location.key.removesuffix("/")
    return PrefixMapping(
        prefix, location, "the test", archives=KeyPatterns(patterns or ("*.sqfs",))
    )


def operations_over(
    client: Callable[[], S3Client],
    cache: Path,
    *patterns: str,
    url: str = "s3://bucket",
    mappings: Mapping[str, Location] | None = None,
    clock: Callable[[], float] = time.monotonic,
    steps: int | None = None,
    **changes: Any,  # noqa: ANN401 -- fields of Config
) -> Operations:
    """The operations over what `url` names, in which mappings to archives come first."""
    mapped = [
        bucket_mapping(url, *patterns),
        *(
            PrefixMapping(prefix, location, "the test")
            for prefix, location in (mappings or {}).items()
        ),
    ]
    settings: dict[str, Any] = {"cache_dir": cache, "tail_bytes": 4096, "stale_seconds": 0}
    config = replace(Config.from_environ({}), **(settings | changes))
    further: dict[str, Any] = {} if steps is None else {"page_steps": steps}
    archives = Archives(config, client, clock=clock)
    return Operations(archives, "bucket", mappings=PrefixMap.from_mappings(mapped), **further)
