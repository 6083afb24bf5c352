"""The process that lists one archive, so that its memory is its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from benchmarks.listing.pages import PAGE, Page
from s3archivefs import FileDevice
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask

__all__ = ["Cost", "peak_memory", "serve"]


class Cost(NamedTuple):
    """The cost of one page."""

    seconds: float
    """Processor time."""
    reads: int
    """Reads of the image: one for each metadata block that was not in memory."""


def serve(connection: Connection, image: Path) -> None:
    """Answer each Page with its Cost until None comes; answer that with the peak memory."""
    config = Config.from_environ({"S3ARCHIVEFS_PREFIX_VMAP1": f"|file://{image}"})
    operations = Operations(Archives(config, make_archive_client))
    with _counted_reads() as reads:
        while (page := connection.recv()) is not None:
            reads.clear()
            start = time.process_time()
            response = ask(operations, "ListObjectsV2", S3Request(query=page.query))
            document = b"".join(response.body)
            seconds = time.process_time() - start
            response.close()
            _check(page, document.decode())
            connection.send(Cost(seconds, len(reads)))
    connection.send(peak_memory())


@contextmanager
def _counted_reads() -> Iterator[list[int]]:
    """Count the reads of images, each by its offset."""
    reads: list[int] = []
    read = FileDevice.pread

    def pread(device: FileDevice, offset: int, length: int) -> bytes:
        reads.append(offset)
        return read(device, offset, length)

    with patch.object(FileDevice, "pread", pread):
        yield reads


def _check(page: Page, document: str) -> None:
    """Fail unless the document is the page that was asked for."""
    items = re.findall(r"<(?:Key|CommonPrefixes><Prefix)>([^<]+)<", document)
    truncated = "<IsTruncated>true<" in document
    assert (items[0], len(items), truncated) == (page.first_item, PAGE, not page.is_last)


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had."""
    # Not getrusage: its figure starts at the parent's.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10
