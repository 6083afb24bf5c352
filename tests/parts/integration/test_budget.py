"""What each kind of read costs in an archive of 20 thousand files: requests, round trips and bytes,
counted at a real S3 server. tests/nightly has the same of a million files, and of large ones.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.counted_reader import CHUNK, TAIL, counted_reader
from tests.support.images.many_files import PER_DIRECTORY, content_of, pack_many, path_of
from tests.support.servers.transports import upload

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

FEW = 20_000


@pytest.fixture(scope="module")
def few(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Metadata shorter than the tail that is fetched at once."""
    image = tmp_path_factory.mktemp("few") / "few.sqfs"
    pack_many(image, FEW)
    return upload(store, image, "few.sqfs", superblock=True)


def test_of_20_thousand_files(
    store: SwiftStore, few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_reader(store, few, tmp_path, monkeypatch) as cold:
        assert cold.get(path_of(7)) == content_of(7)
        requests, trips, size = cold.cost()
        assert (requests <= 3, trips <= 2, size <= TAIL + 96 + 2 * CHUNK) == (True, True, True)
        assert cold.get(path_of(10_000)) == content_of(10_000)
        requests, trips, size = cold.cost()
        assert (requests, trips, size <= 2 * CHUNK) == (1, 1, True)
        assert cold.get(path_of(10_000)) == content_of(10_000)
        assert cold.head(path_of(12_345)) == len(content_of(12_345))
        assert cold.listed(prefix="a/d0011/", delimiter="/") == PER_DIRECTORY
        assert cold.listed(prefix="a/", max_keys="1000", start_after="a/d0003/f0003500.txt") == 1000
        assert cold.cost() == (0, 0, 0)


@pytest.mark.parametrize("first", ["head", "directory", "page"])
def test_of_20_thousand_files_whatever_needs_metadata_alone_comes_first(
    store: SwiftStore, few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    with counted_reader(store, few, tmp_path, monkeypatch) as cold:
        match first:
            case "head":
                cold.head(path_of(12_345))
            case "directory":
                cold.listed(prefix="a/d0011/", delimiter="/")
            case _:
                cold.listed(prefix="a/")
        requests, trips, size = cold.cost()
        assert (requests, trips) == (2, 1)
        assert size <= TAIL + 96


def test_100_files_of_one_directory_in_any_order(
    store: SwiftStore, few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are some 100 KB raw, in one or two of the image's chunks."""
    with counted_reader(store, few, tmp_path, monkeypatch) as cold:
        cold.head(path_of(0))
        cold.cost()
        for number in Random(1).sample(range(5_000, 5_100), 100):
            assert cold.get(path_of(number)) == content_of(number)
        requests, _, size = cold.cost()
        assert requests <= 3
        assert size <= 3 * CHUNK
