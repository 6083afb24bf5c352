from __future__ import annotations

import pickle
import random
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from fixtures.tree import directory, file
from s3archivefs import Limits
from s3archivefs.dataset import ArchiveDataset, BlockShuffle
from s3archivefs.dataset.batch import Batch
from tests.support.distant_device import DistantDevice
from tests.support.images.fixtures import CountingDevice, make_image

BATCH = 16


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A thousand files of some 500 bytes in blocks of 4 KiB."""
    tree = [directory(f"{number:02}") for number in range(20)]
    tree += [
        file(f"{number % 20:02}/{number:03}", noise(100 + number * 37 % 800, str(number)))
        for number in range(1000)
    ]
    return make_image(tmp_path_factory.mktemp("packed"), tuple(tree)).read_bytes()


@pytest.fixture(scope="module")
def shuffled(packed: bytes) -> ArchiveDataset[bytes]:
    return ArchiveDataset(CountingDevice(packed))


def drawn(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a shuffle but its rank."""
    ranges = {
        "batch_size": st.integers(1, 1100),
        "run_bytes": st.integers(1, 1 << 20),
        "window_bytes": st.integers(1, 1 << 20),
        "seed": st.integers(),
        "world_size": st.integers(1, 5),
        "workers": st.integers(0, 4),
    }
    return st.fixed_dictionaries(ranges | fixed)


def epoch(shuffle: BlockShuffle, number: int = 0) -> list[Batch]:
    shuffle.set_epoch(number)
    return [*shuffle]


def of_all_ranks(dataset: ArchiveDataset[bytes], arguments: dict[str, Any]) -> list[BlockShuffle]:
    return [
        BlockShuffle(dataset, **arguments, rank=rank) for rank in range(arguments["world_size"])
    ]


@pytest.mark.property
@given(arguments=drawn(), number=st.integers(0, 9))
def test_ranks_have_each_member_once_in_an_epoch(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any], number: int
) -> None:
    shares = [epoch(shuffle, number) for shuffle in of_all_ranks(shuffled, arguments)]
    members = sorted(chain.from_iterable(chain.from_iterable(shares)))
    assert members == [*range(len(shuffled))]
    counts = [sum(map(len, share)) for share in shares]
    assert max(counts) - min(counts) <= max(arguments["workers"], 1)
    assert all(0 < len(batch) <= arguments["batch_size"] for share in shares for batch in share)


@pytest.mark.property
@given(arguments=drawn())
def test_without_short_batches_all_ranks_have_as_many(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any]
) -> None:
    shares = [epoch(each) for each in of_all_ranks(shuffled, arguments | {"drop_last": True})]
    assert len({len(share) for share in shares}) == 1
    batches = [*chain.from_iterable(shares)]
    assert {len(batch) for batch in batches} <= {arguments["batch_size"]}
    members = [*chain.from_iterable(batches)]
    assert len({*members}) == len(members)
    loaders = arguments["world_size"] * max(arguments["workers"], 1)
    assert len(shuffled) - len(members) < loaders * (arguments["batch_size"] + 1)


@pytest.mark.property
@given(arguments=drawn(drop_last=st.booleans()))
def test_the_length_is_the_number_of_batches(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any]
) -> None:
    for shuffle in of_all_ranks(shuffled, arguments):
        assert len(shuffle) == len([*shuffle])


@pytest.mark.property
@given(arguments=drawn(), number=st.integers(0, 9))
def test_the_order_depends_on_seed_and_epoch_alone(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any], number: int
) -> None:
    one, other = (BlockShuffle(shuffled, **arguments) for _ in range(2))
    expected = epoch(one, number)
    assert epoch(other, number + 1) != expected
    assert epoch(other, number) == expected == [*one]
    arguments["seed"] += 1
    assert epoch(BlockShuffle(shuffled, **arguments), number) != expected


@pytest.mark.property
@given(arguments=drawn(drop_last=st.booleans()), data=st.data())
def test_an_epoch_goes_on_after_the_batches_that_are_done(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any], data: st.DataObject
) -> None:
    shuffle = BlockShuffle(shuffled, **arguments)
    whole = epoch(shuffle, 3)
    done = data.draw(st.integers(0, len(whole) + 2))
    shuffle.set_epoch(3, done)
    rest = [*shuffle]
    assert rest == whole[done:]
    assert len(shuffle) == len(rest)
    shuffle.set_epoch(3)
    assert [*map(vars, shuffle)] == [*map(vars, whole)]


@pytest.mark.property
@given(workers=st.integers(1, 3), done=st.integers(0, 12), window_bytes=st.sampled_from([1, 9999]))
def test_the_first_batch_that_a_worker_has_of_an_epoch_is_its_first(
    shuffled: ArchiveDataset[bytes], workers: int, done: int, window_bytes: int
) -> None:
    shuffle = BlockShuffle(shuffled, BATCH, run_bytes=1, window_bytes=window_bytes, workers=workers)
    shuffle.set_epoch(0, done)
    turns = [batch.is_first for batch in shuffle]
    assert turns == [turn < workers for turn in range(len(turns))]


def test_workers_that_take_batches_in_turn_share_no_run(
    shuffled: ArchiveDataset[bytes],
) -> None:
    shuffle = BlockShuffle(shuffled, BATCH, run_bytes=1, window_bytes=32 << 10, workers=2)
    batches = [*shuffle]
    starts = shuffled.members.starts
    one, other = ({starts[each] for each in chain(*batches[turn::2])} for turn in range(2))
    assert len(one & other) <= 1  # of the block at which their shares meet


def test_a_batch_is_drawn_from_many_runs(shuffled: ArchiveDataset[bytes]) -> None:
    members = shuffled.members
    [batch, *_] = BlockShuffle(shuffled, BATCH, run_bytes=4 << 10, window_bytes=64 << 10)
    places = [members.starts[each] for each in batch]
    assert len({*places}) > BATCH // 2


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """400 files of some 25 KB, which compress by a tenth, in blocks of 128 KiB."""
    sizes = (5_000 + number * 1_237 % 40_000 for number in range(400))
    tree = tuple(
        file(f"{number:03}", noise(size, str(number)) + bytes(size // 10))
        for number, size in enumerate(sizes)
    )
    directory = tmp_path_factory.mktemp("images")
    return make_image(directory, tree, "-b", "128K").read_bytes()


def fetched(images: bytes, *, by_blocks: bool, done: int = 0) -> tuple[int, float]:
    """Requests of an epoch, and bytes fetched for a byte used, of this shuffle or a full one."""
    device = DistantDevice(images)
    dataset = ArchiveDataset(device, limits=Limits(cache_bytes=1 << 20))
    if by_blocks:
        shuffle = BlockShuffle(dataset, BATCH, run_bytes=1 << 20, window_bytes=4 << 20)
        shuffle.set_epoch(0, done)
        batches: list[list[int]] = [*shuffle]
    else:
        order = random.Random(0).sample(range(len(dataset)), len(dataset))
        batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    device.forget()
    used = sum(len(item) for batch in batches for item in dataset.__getitems__(batch))
    reads = [(start, start + length) for start, length in device.reads]
    reads += chain(*(handle.reads for handle in device.handles))
    return len(reads), sum(end - start for start, end in reads) / used


def test_a_shuffle_by_blocks_fetches_next_to_nothing_twice(images: bytes) -> None:
    requests, ratio = fetched(images, by_blocks=True)
    of_all, ratio_of_all = fetched(images, by_blocks=False)
    print(requests, of_all, ratio, ratio_of_all)
    assert ratio <= 1.1
    assert ratio_of_all > 2
    assert requests * 10 < of_all


def test_an_epoch_that_goes_on_takes_no_more_requests_than_one_that_begins(images: bytes) -> None:
    whole, _ = fetched(images, by_blocks=True)
    requests, ratio = fetched(images, by_blocks=True, done=12)
    print(whole, requests, ratio)
    assert requests <= whole
    assert ratio < 2


@pytest.mark.property
@given(arguments=drawn(), number=st.integers(0, 9))
def test_items_of_an_epoch_are_the_contents(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any], number: int
) -> None:
    shuffle = BlockShuffle(shuffled, **arguments)
    for batch in epoch(shuffle, number)[:3]:
        sent = pickle.loads(pickle.dumps(batch))  # noqa: S301 -- as a loader sends it to its worker
        assert (sent, vars(sent)) == (batch, vars(batch))
        assert shuffled.__getitems__(sent) == shuffled.__getitems__([*batch])


@pytest.mark.property
@given(arguments=drawn(run_bytes=st.integers(1, 2000)), done=st.integers(0, 99))
def test_members_read_ahead_are_small_and_come_once(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any], done: int
) -> None:
    shuffle = BlockShuffle(shuffled, **arguments)
    shuffle.set_epoch(0, done)
    batches = [*shuffle]
    ahead = [*chain(*(batch.ahead for batch in batches))]
    assert len({*ahead}) == len(ahead)
    sizes = shuffled.members.sizes
    small = {each for batch in batches for each in batch if sizes[each] < arguments["run_bytes"]}
    assert {*ahead} == small


def test_the_pool_has_little_more_than_its_bytes(shuffled: ArchiveDataset[bytes]) -> None:
    sizes = shuffled.members.sizes
    pool: set[int] = set()
    for batch in BlockShuffle(shuffled, BATCH, run_bytes=4 << 10, window_bytes=32 << 10):
        pool |= {*batch.ahead}
        assert sum(map(sizes.__getitem__, pool)) < (32 + 4 + 1 + 4) << 10
        pool -= {*batch}


def test_a_worker_keeps_only_what_it_may_be_asked_for_whoever_gets_the_batches(
    packed: bytes,
) -> None:
    device = CountingDevice(packed)
    dataset = ArchiveDataset(device, limits=Limits(cache_bytes=0))
    shuffle = BlockShuffle(dataset, BATCH, run_bytes=4 << 10, window_bytes=32 << 10)
    batches = epoch(shuffle)[::4]  # as if three others had the rest
    for batch in batches:
        dataset.__getitems__(batch)
    kept = 0
    for index in range(len(dataset)):
        device.forget()
        dataset.__getitems__([index])
        kept += not device.reads
    assert 0 < kept <= batches[-1].left < 50


def test_it_tells_what_a_sampler_of_batches_does(shuffled: ArchiveDataset[bytes]) -> None:
    shuffle = BlockShuffle(shuffled, BATCH, drop_last=True)
    assert (shuffle.batch_size, shuffle.drop_last) == (BATCH, True)


@pytest.mark.parametrize("other", [[b"a"], "images.sqfs", None])
def test_another_dataset_is_refused(other: Any) -> None:  # noqa: ANN401 -- whatever it is
    with pytest.raises(TypeError, match=f"of an ArchiveDataset, not {type(other).__name__}"):
        BlockShuffle(other, BATCH)


def test_an_empty_dataset_has_no_batches(packed: bytes) -> None:
    shuffle = BlockShuffle(ArchiveDataset(CountingDevice(packed), "missing"), BATCH)
    assert (len(shuffle), [*shuffle]) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size, .* must be at least 1"),
        ({"batch_size": 1, "run_bytes": 0}, "run_bytes, .* must be at least 1"),
        ({"batch_size": 1, "window_bytes": -1}, "window_bytes .* must be at least 1"),
        ({"batch_size": 1, "world_size": 0}, "world_size must be at least 1"),
        ({"batch_size": 1, "rank": 2, "world_size": 2}, "rank is 2: it must be one of 0 to 1"),
    ],
)
def test_numbers_out_of_range_are_refused(
    shuffled: ArchiveDataset[bytes], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BlockShuffle(shuffled, **arguments)


def test_batches_that_are_done_are_at_least_none(shuffled: ArchiveDataset[bytes]) -> None:
    with pytest.raises(ValueError, match="done is -1: it must be at least 0"):
        BlockShuffle(shuffled, BATCH).set_epoch(0, -1)
