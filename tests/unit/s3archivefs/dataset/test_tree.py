"""Datasets by chained URLs, of an archive or of a directory in it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from fixtures.tree import file
from s3archivefs.dataset import ArchiveDataset
from tests.support.images.fixtures import make_image
from tests.support.processes.other_process import in_process, items
from tests.unit.s3archivefs.dataset.conftest import CONTENTS

if TYPE_CHECKING:
    from pathlib import Path


def contents(dataset: ArchiveDataset[bytes]) -> dict[str, bytes]:
    return {dataset.path(index): item for index, item in enumerate(dataset)}


def below(directory: str) -> dict[str, bytes]:
    return {path: data for path, data in CONTENTS.items() if path.startswith(directory)}


@pytest.mark.parametrize("scheme", ["squashfs", "s3archivefs"])
@pytest.mark.parametrize("chain", ["{}", "file://{}", "simplecache::file://{}"])
def test_a_chained_url_names_a_directory_of_members(image: Path, scheme: str, chain: str) -> None:
    for name in ("cat", "/cat", "cat/"):
        with ArchiveDataset(f"{scheme}://{name}::{chain.format(image)}") as dataset:
            assert contents(dataset) == below("/cat/")
            [part] = dataset.partitions()
            assert contents(part) == below("/cat/")
    with ArchiveDataset(f"{scheme}://::{chain.format(image)}", "dog/*") as dataset:
        assert contents(dataset) == below("/dog/")


def test_patterns_are_from_the_directory_that_a_url_names(image: Path) -> None:
    with ArchiveDataset(f"squashfs://cat::{image}", "*/*.txt") as dataset:
        assert contents(dataset) == below("/cat/deep/")


def test_a_dataset_is_of_an_image_in_an_image(image: Path, tmp_path: Path) -> None:
    outer = make_image(tmp_path, (file("inner.sqfs", image.read_bytes()),))
    with ArchiveDataset(f"squashfs://dog::squashfs://inner.sqfs::{outer}") as dataset:
        assert contents(dataset) == below("/dog/")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_another_process_reads_by_the_same_url(image: Path, method: str) -> None:
    with ArchiveDataset(f"squashfs://cat::simplecache::file://{image}") as dataset:
        expected = dataset.__getitems__([3, 1])
        assert in_process(method, items, dataset, [3, 1]) == expected
        [part] = dataset.partitions()
        assert in_process(method, items, part, [3, 1]) == part.__getitems__([3, 1])


def test_a_list_that_is_made_anew_is_of_the_same_directory(
    image: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with ArchiveDataset(f"squashfs://cat::{image}") as dataset:
        other = pickle.loads(pickle.dumps(dataset))  # noqa: S301 -- our own
    assert contents(other) == below("/cat/")


def test_what_a_url_names_must_be_a_directory(image: Path) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        ArchiveDataset(f"squashfs://cat/01.txt::{image}")
    assert caught.value.filename == "/cat/01.txt"
    with pytest.raises(FileNotFoundError):
        ArchiveDataset(f"squashfs://mouse::{image}")
