"""How much is stored of what is read in sequence."""

from __future__ import annotations

from s3archivefs_lambda.cache.store_quota import StoreQuota
from tests.support.clock import Clock


def test_open_readers_store_no_more_than_the_quota_together() -> None:
    quota = StoreQuota(Clock())
    assert quota.reserve("a", 60, 100)
    assert not quota.reserve("b", 41, 100)
    assert quota.reserve("b", 40, 100)
    quota.release(60)
    assert quota.reserve("c", 60, 100)


def test_a_file_has_no_more_stored_by_many_readers_than_by_one_and_as_much_each_hour() -> None:
    clock = Clock()
    quota = StoreQuota(clock)
    for _ in range(3):
        for _ in range(2):
            assert quota.reserve("a", 50, 100)
            quota.release(50)
        assert not quota.reserve("a", 1, 100)
        for other in ("b", None):
            assert quota.reserve(other, 1, 100)
            quota.release(1)
        clock.now += 3600
    clock.now += 3600  # of which none is saved up
    assert quota.reserve("a", 100, 100)
    quota.release(100)
    clock.now += 36
    assert not quota.reserve("a", 2, 100)
    assert quota.reserve("a", 1, 100)


def test_so_many_files_are_remembered() -> None:
    quota = StoreQuota(Clock())
    for number in range(1001):
        assert quota.reserve(number, 100, 100)
        quota.release(100)
    for number in range(1, 1001):
        assert not quota.reserve(number, 1, 100)
    assert quota.reserve(0, 1, 100)
