from __future__ import annotations

from s3archivefs_lambda.archives.ordinary_keys import OrdinaryKeys
from tests.support.clock import Clock


def test_a_key_without_an_archive_is_known_until_its_time_has_passed() -> None:
    clock = Clock()
    keys = OrdinaryKeys(clock)
    keys.add(b"a", 5)
    assert keys.has(b"a")
    assert not keys.has(b"b")
    clock.now += 5
    assert not keys.has(b"a")


def test_with_its_etag_an_object_is_known_for_as_long_as_it_is_the_same() -> None:
    clock = Clock()
    keys = OrdinaryKeys(clock)
    keys.add(b"a", 5, '"v1"')
    clock.now += 1000
    assert keys.has(b"a", '"v1"')
    assert not keys.has(b"a", '"v2"')
    assert not keys.has(b"a")


def test_only_an_object_newly_found_is_news() -> None:
    keys = OrdinaryKeys(Clock())
    assert not keys.add(b"a", 5, "")  # there is none
    assert keys.add(b"a", 5)
    assert not keys.add(b"a", 5, '"v1"')
    assert keys.add(b"b", 5, '"v1"')


def test_the_one_found_longest_ago_is_forgotten_first() -> None:
    keys = OrdinaryKeys(Clock(), most=2)
    for key in (b"a", b"b", b"a", b"c"):
        keys.add(key, 5)
    assert [keys.has(key) for key in (b"a", b"b", b"c")] == [True, False, True]
