"""A process that reads through a cache directory which others read, fill and damage as well.

    python -m tests.parts.integration.shared_cache_reader DIRECTORY MAX_BYTES MEMORY_BYTES SEED

prints a line for each `READS` reads, until it is killed, or has read a wrong byte.
"""

from __future__ import annotations

import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random

from s3archivefs import BytesDevice
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory

CHUNK = 16 << 10
CONTENT = Random(0).randbytes(50 * CHUNK - 1000)
READS = 20


def cached(directory: Path, max_bytes: int, memory_bytes: int) -> CachedDevice:
    """The content, through the cache."""
    store = ChunkStore(directory, max_bytes)
    memory = ChunkMemory(memory_bytes)
    return CachedDevice(BytesDevice(CONTENT), "archive", CHUNK, memory=memory, store=store)


def main(directory: Path, max_bytes: int, memory_bytes: int, seed: int) -> None:
    """Read ranges at random, of some chunks each."""
    device = cached(directory, max_bytes, memory_bytes)
    random = Random(seed)
    for number in count():
        if number % READS == 0:
            print(number, flush=True)
        start = random.randrange(len(CONTENT))
        stop = min(start + random.randrange(1, 4 * CHUNK), len(CONTENT))
        with closing(device.readahead(start, stop - start)) as ahead:
            ahead.will_read(start, stop - start)
            for at in range(start, stop, CHUNK):
                if ahead.pread(at, min(CHUNK, stop - at)) != CONTENT[at : min(at + CHUNK, stop)]:
                    sys.exit(f"bytes {start} to {stop} are wrong")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
