"""The campaign of mutations finds each kind of fault, and says which mutation it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz import campaign
from tests.support.images.fixtures import FIXTURES
from tests.support.images.mutations import Mutator, originals
from tests.support.images.survive import Survey, survive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_mutation_is_the_same_for_the_same_number(tmp_path: Path) -> None:
    mutator = Mutator(originals(tmp_path))
    mutations = [mutator.mutation(number) for number in range(200)]
    assert mutations == [mutator.mutation(number) for number in range(200)]
    assert len({image for _, image in mutations}) > 190
    assert {name for name, _ in mutations} > {"gzip compressed", "zstd stored"}


def runs_on(_: bytes) -> Survey:
    while True:
        pass


def takes_memory(_: bytes) -> Survey:
    raise MemoryError


def breaks(_: bytes) -> Survey:
    raise KeyError("undocumented")


@pytest.mark.parametrize(
    ("broken", "count"),
    [
        (runs_on, "hangs"),
        (takes_memory, "over the memory bound"),
        (breaks, "undocumented exceptions"),
    ],
)
def test_campaign_counts_each_broken_promise(
    broken: Callable[[bytes], Survey], count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {"gzip": FIXTURES["gzip"].image.read_bytes()}
    calls: list[Any] = []

    def survives_the_original(image: bytes) -> Survey:
        calls.append(image)
        return survive(image) if len(calls) == 1 else broken(image)

    monkeypatch.setattr(campaign, "survive", survives_the_original)
    monkeypatch.setattr(campaign, "SECONDS", 0.05)
    batch = campaign.run_batch(images, range(3))
    assert batch.counts == {count: 3}
    assert [number for number, _ in batch.findings] == [0, 1, 2]


def test_difference_from_unsquashfs_is_found() -> None:
    image = FIXTURES["gzip"].image.read_bytes()
    contents = survive(image).contents
    assert campaign.differences(image, contents) == {}
    path = next(path for path, content in contents.items() if content)
    assert campaign.differences(image, contents | {path: b"wrong"}) == {path: contents[path]}
    assert campaign.differences(image, contents | {b"/more": b""}) == {b"/more": None}
    assert campaign.differences(image[:1000], contents) is None


def test_campaign_prints_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert campaign.main(["--mutations", "10", "--jobs", "1"]) == 0
    assert "0 silent differences" in capsys.readouterr().out
    monkeypatch.setattr(campaign, "differences", lambda *_: {b"/file": b"x"})
    assert campaign.main(["--mutations", "17", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "1 files unlike unsquashfs, b'/file' as b'x'" in printed
