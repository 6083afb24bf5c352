from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cache import WeightedCache
from tests.support.processes.joined import wait_for_joined

KEYS = st.integers(0, 9)
WEIGHTS = {key: key + 1 for key in range(10)}


@given(keys=st.lists(KEYS), capacity=st.integers(0, 30))
def test_cache_never_holds_more_than_its_capacity_and_always_gives_the_value(
    keys: list[int], capacity: int
) -> None:
    cache: WeightedCache[bytes] = WeightedCache(capacity, len)
    for key in keys:
        assert cache.get(key, lambda key=key: bytes(WEIGHTS[key])) == bytes(WEIGHTS[key])  # type: ignore[misc]  # the lambda's default binds the key
        kept = [other for other in WEIGHTS if cache.peek(other) is not None]
        assert sum(WEIGHTS[other] for other in kept) <= capacity


def test_least_recently_used_value_goes_first() -> None:
    cache: WeightedCache[bytes] = WeightedCache(2, len)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda: b"x")
    assert [cache.peek(key) is not None for key in "abc"] == [True, False, True]


def test_a_value_is_spared_once_for_the_uses_since_it_came() -> None:
    cache: WeightedCache[bytes] = WeightedCache(2, len)
    for key in ("a", "a", "a", "b", "c", "d", "e"):
        cache.get(key, lambda: b"x")
    assert [cache.peek(key) is not None for key in "abcde"] == [False, False, False, True, True]


def test_a_quarter_of_a_cache_is_for_values_that_may_not_be_asked_for_again() -> None:
    cache: WeightedCache[bytes] = WeightedCache(12, len)
    for key in range(9):
        cache.put_if_roomy(key, b"x")
    assert [key for key in range(9) if cache.peek(key)] == [0, 1, 2]
    cache.put("asked for", b"x")
    assert cache.peek("asked for")


def test_newest_are_the_values_used_last_in_that_order() -> None:
    cache: WeightedCache[bytes] = WeightedCache(9, len)
    for key in "abcd":
        cache.put(key, key.encode())
    cache.peek("b")
    assert cache.newest(3) == [("b", b"b"), ("d", b"d"), ("c", b"c")]


@given(used=st.lists(KEYS, min_size=1), most=st.integers(0, 12))
def test_newest_knows_the_order_of_all_uses(used: list[int], most: int) -> None:
    cache: WeightedCache[bytes] = WeightedCache(100, len)
    for key in used:
        cache.get(key, lambda: b"x")
    order = dict.fromkeys(reversed(used))
    assert [key for key, _ in cache.newest(most)] == [*order][:most]


def test_hits_among_evictions_give_the_value_of_the_key() -> None:
    cache: WeightedCache[bytes] = WeightedCache(8, len)

    def get(seed: int) -> bool:
        keys = random.Random(seed).choices(range(12), k=3000)
        return all(cache.get(key, lambda key=key: b"%d" % key) == b"%d" % key for key in keys)  # type: ignore[misc]  # likewise

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(get, range(4)))
    assert cache.weight <= 8


def test_value_heavier_than_the_cache_is_returned_and_not_kept() -> None:
    cache: WeightedCache[bytes] = WeightedCache(2, len)
    cache.get("small", lambda: b"x")
    assert cache.get("large", lambda: b"xxx") == b"xxx"
    assert cache.peek("large") is None
    assert cache.peek("small") == b"x"


def test_put_keeps_a_value_and_the_first_one_of_a_key() -> None:
    cache: WeightedCache[bytes] = WeightedCache(9, len)
    cache.put("a", b"first")
    cache.put("a", b"second")
    assert cache.peek("a") == b"first"


def test_threads_that_want_one_value_load_it_once() -> None:
    cache: WeightedCache[bytes] = WeightedCache(9, len)
    loads = []
    all_here = threading.Barrier(8)

    def load() -> bytes:
        loads.append(threading.get_ident())
        return b"value"

    def get() -> bytes:
        all_here.wait()
        return cache.get("key", load)

    with ThreadPoolExecutor(8) as pool:
        assert [future.result() for future in [pool.submit(get) for _ in range(8)]] == [
            b"value"
        ] * 8
    assert len(loads) == 1


def outcome_of_waiting(error: BaseException) -> Future[bytes]:
    """What becomes of a thread that waits for a load that fails."""
    cache: WeightedCache[bytes] = WeightedCache(9, len)
    with ThreadPoolExecutor(1) as pool:
        others: list[Future[bytes]] = []

        def fail() -> bytes:
            others.append(pool.submit(cache.get, "key", lambda: b"value"))
            wait_for_joined(cache.flights, "key")
            raise error

        with pytest.raises(type(error)):
            cache.get("key", fail)
    assert cache.get("key", lambda: b"value") == b"value"
    return others[0]


def test_a_failed_load_fails_all_who_wait_for_it_and_nobody_after() -> None:
    assert repr(outcome_of_waiting(OSError("no")).exception()) == "OSError('no')"


def test_an_interrupted_load_lets_who_waits_try() -> None:
    assert outcome_of_waiting(KeyboardInterrupt()).result() == b"value"


def test_value_put_while_it_is_being_loaded_counts_once() -> None:
    cache: WeightedCache[bytes] = WeightedCache(2, len)

    def load() -> bytes:
        cache.put("a", b"x")
        return b"x"

    cache.get("a", load)
    cache.put("b", b"y")
    assert [cache.peek(key) for key in "ab"] == [b"x", b"y"]


@given(
    puts=st.lists(st.tuples(st.booleans(), st.integers(1, 9))),
    own=st.integers(0, 20),
    lent=st.integers(0, 20),
)
def test_a_borrower_has_what_the_lender_leaves_free_and_no_more(
    puts: list[tuple[bool, int]], own: int, lent: int
) -> None:
    lender: WeightedCache[bytes] = WeightedCache(lent, len)
    borrower: WeightedCache[bytes] = WeightedCache(own, len, lender=lender)
    for key, (is_lenders, size) in enumerate(puts):
        (lender if is_lenders else borrower).put(key, bytes(size))
        assert lender.weight <= lent
        assert lender.weight + borrower.weight <= own + lent


def test_a_lender_takes_back_what_it_needs() -> None:
    lender: WeightedCache[bytes] = WeightedCache(3, len)
    borrower: WeightedCache[bytes] = WeightedCache(2, len, lender=lender)
    for key in range(5):
        borrower.put(key, b"x")
    assert borrower.weight == 5
    for key in range(3):
        lender.put(key, b"x")
    assert (lender.weight, borrower.weight) == (3, 2)
    assert [borrower.peek(key) is not None for key in range(5)] == [False] * 3 + [True] * 2
