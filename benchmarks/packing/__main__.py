"""What packing decides of reading in S3: block size, codec, fragments, order, metadata.

    python -m benchmarks packing [--only records]

Each tree of files is packed in one way after another, which differ from the first in one respect
each. It is read through the S3 operations from a real S3 server, behind the proxy of `remote`, each
time with an empty cache and the archive opened anew. What is read is compared with what was packed.
Requests and bytes are the same on every run. Times are processor time: the packer's, and the
reader's from a local image, most of which is the codec's. Tables go to standard output, in
Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from benchmarks.packing.measuring import measure
from benchmarks.packing.options import FACTORS
from benchmarks.packing.report import surroundings, table
from benchmarks.packing.trees import TREES
from benchmarks.remote.store import Store
from s3archivefs_lambda.archives.client import make_archive_client

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure ways of packing, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks packing")
    parser.add_argument("--only", action="append", choices=TREES, help="may be given several times")
    options = parser.parse_args(arguments)
    print(f"Of reading, requests / KB; seconds and ms are processor time. {surroundings()}.")
    for name in options.only or TREES:
        with tempfile.TemporaryDirectory() as made:
            for line in _measured(name, Path(made)):
                print(line, flush=True)


def _measured(name: str, directory: Path) -> Iterator[str]:
    """Yield one tree's title and table.

    Each tree has a store of its own, as the store keeps replaced objects in memory.
    """
    tree = TREES[name](directory / name)
    rows = {}
    with ExitStack() as stack:
        store = stack.enter_context(Store.start(directory / "store"))
        stack.enter_context(patch.dict(os.environ, store.environ()))
        client = make_archive_client()
        stack.callback(client.close)
        for packing in FACTORS[name]:
            print(
                f"{time.strftime('%H:%M:%S')} {name}: {packing.name}", file=sys.stderr, flush=True
            )
            rows[packing.name] = measure(tree, packing, store, client, directory / "image.sqfs")
    yield f"\n### {name}: {len(tree.files):,} files, {tree.size / 1e6:.0f} MB\n"
    yield from table(tree, rows)


if __name__ == "__main__":
    main()
