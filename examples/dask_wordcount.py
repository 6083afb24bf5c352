"""Count the words of all texts in an archive, with Dask.

    python examples/dask_wordcount.py s3://my-bucket/texts.sqfs

Partitions are texts that lie together in the archive: a worker reads each with a few requests, and
no two fetch the same blocks. Workers share nothing but the archive, so that they may be anywhere.
"""

from __future__ import annotations

import sys
from collections import Counter

import dask

from s3archivefs.dataset import ArchiveDataset


def count(texts: ArchiveDataset[bytes]) -> Counter[bytes]:
    """Return how often each word is in some texts."""
    words: Counter[bytes] = Counter()
    for content in texts:
        words.update(content.split())
    return words


def total(counts: list[Counter[bytes]]) -> Counter[bytes]:
    """Return the sum of what was counted."""
    words: Counter[bytes] = Counter()
    for each in counts:
        words.update(each)
    return words


def main(archive: str) -> None:
    """Print the words that are most frequent."""
    with ArchiveDataset(archive) as texts:
        counts = [dask.delayed(count)(partition) for partition in texts.partitions()]
    # With a cluster, dask.distributed.Client(...) in place of processes of this machine.
    words = dask.delayed(total)(counts).compute(scheduler="processes")
    for word, number in words.most_common(10):
        print(number, word.decode("utf-8", "replace"))


if __name__ == "__main__":
    main(*sys.argv[1:])
