"""An image in S3 that is replaced: what is fetched of it, and what that costs."""

from __future__ import annotations

import re
import struct
from random import Random

import pytest

from s3archivefs_lambda.upload.image_extension import StoredImage, revision_cost
from s3archivefs_lambda.upload.kept_parts import KeptParts
from s3archivefs_lambda.upload.upload_target import UploadTarget
from tests.support.adapter.memory_store import MemoryStore
from tests.support.images.fixtures import FIXTURES

MIB = 1 << 20
IMAGE = FIXTURES["gzip"].image.read_bytes()


def test_a_megabyte_more_in_ten_gigabytes_is_few_requests_and_bytes() -> None:
    tables, new = 16_000_000, 1_000_000  # a million files; with new ones, as many again
    kept = 10_000_000_000
    cost = revision_cost(
        KeptParts([(0, kept)], 16 * MIB),
        kept + new + tables,
        received=5 * MIB + tables,
        requests=3,
    )
    assert cost.sent + cost.received <= 45_000_000
    assert cost.requests <= 30
    assert cost.copied == kept - 5 * MIB


def test_a_small_image_is_one_request_besides_looking() -> None:
    kept = KeptParts([(0, MIB)], 16 * MIB)
    cost = revision_cost(kept, 2 * MIB, received=MIB, requests=2)
    assert cost == (2 * MIB, MIB, 0, 5)


def object_of(size: int, *, tables: int, used: int) -> bytes:
    """An object whose superblock claims tables from one byte to another."""
    superblock = bytearray(IMAGE[:96])
    struct.pack_into("<Q", superblock, 40, used)
    struct.pack_into("<Q", superblock, 64, tables)
    return bytes(superblock) + Random(1).randbytes(size - 96)


def stored(content: bytes, **options: int) -> tuple[StoredImage, MemoryStore]:
    store = MemoryStore({"key": content})
    return StoredImage(UploadTarget(store.client(), "bucket", "key"), **options), store


def test_what_lies_behind_an_image_is_not_fetched() -> None:
    image, _ = stored(IMAGE + bytes(20 * MIB))
    assert image.received == 5 * MIB
    assert image.pread(0, len(IMAGE)) == IMAGE


@pytest.mark.parametrize(
    ("tables", "used", "received"),
    [
        (3 * MIB, 7 * MIB, 7 * MIB),
        (11 * MIB, 12 * MIB, 6 * MIB),
        (11 * MIB, 15 * MIB, 7 * MIB),
        (3 * MIB, 15 * MIB, 7 * MIB),
        (3 * MIB, 16 * MIB, 5 * MIB + 96),
        (12 * MIB, 11 * MIB, 5 * MIB + 96),
        (1 << 63, 1 << 63, 5 * MIB + 96),
    ],
)
def test_of_tables_no_more_is_held_than_there_is_and_than_may_be(
    tables: int, used: int, received: int
) -> None:
    content = object_of(15 * MIB + 7, tables=tables, used=used)
    image, _ = stored(content, tables_bytes=2 * MIB)
    assert image.received == received


def test_any_range_is_read_and_what_is_not_there_is_counted() -> None:
    content = object_of(15 * MIB, tables=11 * MIB, used=14 * MIB)
    random = Random(2)
    edges = [0, 5 * MIB, 11 * MIB, 13 * MIB, 14 * MIB, 15 * MIB]
    places = [edge + by for edge in edges for by in (-1, 0, 1) if 0 <= edge + by <= 15 * MIB]
    image, store = stored(content, tables_bytes=2 * MIB)
    for _ in range(60):
        start, end = sorted(random.choices(places, k=2))
        store.asked.clear()
        received = image.received
        assert image.pread(start, end - start) == content[start:end]
        ranges = [re.findall(r"\d+", each["Range"]) for _, each in store.asked]
        fetched = [(int(first), int(last) + 1) for first, last in ranges]
        assert image.received - received == sum(stop - first for first, stop in fetched)
        absent = [(5 * MIB, 11 * MIB), (13 * MIB, 15 * MIB)]
        clipped = [(max(start, first), min(end, stop)) for first, stop in absent]
        assert fetched == [(first, stop) for first, stop in clipped if first < stop]
