"""Archives in a scripted store, with a clock that a test sets."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fixtures.tree import file
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.known_archives import KNOWN_MAX
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.config.settings import Config
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.servers.scripted_store import ScriptedStore

__all__ = ["archives_in", "location", "replace_object"]


def location(number: int, bucket: str = "bucket") -> Location:
    """Where the store has an archive: it has the same one everywhere."""
    return Location("s3", bucket, f"{number:03}.sqfs")


def archives_in(
    store: ScriptedStore,
    cache: Path,
    clock: Clock,
    *,
    mapped: int = 0,
    patience_seconds: float = 60,
    known_max: int = KNOWN_MAX,
    **changes: Any,  # noqa: ANN401 -- Config's
) -> Archives:
    """Archives that wait for the store for as long as it takes, however busy the machine is; the
    first so many are mapped to `a000`, `a001`, ...
    """
    settings: dict[str, Any] = {
        "cache_dir": cache,
        "tail_bytes": 4096,
        "cache_chunk_size": 1 << 20,
        "stale_seconds": 0,
        "mappings": PrefixMap.from_mappings(
            PrefixMapping(f"a{number:03}", location(number), "the test") for number in range(mapped)
        ),
    }
    config = replace(Config.from_environ({}), **(settings | changes))
    return Archives(
        config,
        store.client,
        clock=clock,
        patience_seconds=patience_seconds,
        known_max=known_max,
    )


def replace_object(store: ScriptedStore, directory: Path, content: bytes) -> None:
    """Put an archive in place of the one that is there: its file `a` has the content."""
    store.content = make_image(directory, (file("a", content),), name="new").read_bytes()
    store.etag = f'"{hashlib.md5(store.content, usedforsecurity=False).hexdigest()}"'
