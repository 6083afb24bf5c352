"""What is known of archives: how many, and what that takes."""

from __future__ import annotations

import tracemalloc

from s3archivefs_lambda.archives.known_archives import Known, KnownArchives
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.store.version import S3Version


def location(number: int) -> Location:
    return Location("s3", "a-bucket", f"archives/of/some/{number:08}.sqfs")


def test_the_least_recently_used_is_forgotten() -> None:
    known = KnownArchives(most=2)
    entries = [Known(number, 0.0) for number in range(3)]
    assert known.replace(location(0), None, entries[0])
    assert known.replace(location(1), None, entries[1])
    assert known.get(location(0)) is entries[0]
    assert known.replace(location(2), None, entries[2])
    assert known.get(location(1)) is None
    assert known.get(location(0)) is entries[0]


def test_what_was_replaced_meanwhile_is_not_replaced_again() -> None:
    known = KnownArchives()
    first, second, third = (Known(number, 0.0) for number in range(3))
    assert not known.replace(location(0), first, second)
    assert known.replace(location(0), None, first)
    assert known.replace(location(0), first, second)
    assert not known.replace(location(0), first, third)
    assert known.get(location(0)) is second
    assert known.replace(location(0), second, None)
    assert known.get(location(0)) is None


def test_an_archive_takes_a_few_hundred_bytes() -> None:
    count = 2000
    known = KnownArchives()
    locations = [location(number) for number in range(count)]
    tracemalloc.start()
    try:
        for number, at in enumerate(locations):
            version = S3Version(
                etag=f'"{number:032x}"',
                version_id=f"{number:032}",
                size=10**9 + number,
                superblock=number.to_bytes(96, "little"),
                has_superblock=True,
                tail_start=10**8 + number,
            )
            assert known.replace(at, None, Known(version, float(number)))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / count < 900
