"""Datasets by chained URLs, of an archive or of a directory in it."""

from __future__ import annotations

import io
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

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


@pytest.mark.parametrize(
    ("chain", "options"),
    [
        ("simplecache::file://{}", {"simplecache": {"cache_storage": "{}"}}),
        ("simplecache::file://{}", {"cache_storage": "{}"}),
        ("squashfs://cat::simplecache::file://{}", {"simplecache": {"cache_storage": "{}"}}),
    ],
)
def test_options_of_filesystems_reach_them_and_those_of_other_processes(
    image: Path, tmp_path: Path, chain: str, options: dict[str, Any]
) -> None:
    text = json.dumps(options).replace("{}", str(tmp_path))
    with ArchiveDataset(chain.format(image), "**/01.txt", storage_options=json.loads(text)) as data:
        assert contents(data).items() <= CONTENTS.items()
        assert [*tmp_path.iterdir()]
        for each in tmp_path.iterdir():
            each.unlink()
        other = pickle.loads(pickle.dumps(data))  # noqa: S301 -- our own
        assert other[0] == CONTENTS["/cat/01.txt"]
        assert [*tmp_path.iterdir()]


def test_options_of_a_url_without_a_chain_may_be_by_its_protocol(image: Path) -> None:
    memory = MemoryFileSystem()
    memory.pipe("/options.sqfs", image.read_bytes())
    for options in ({"skip_instance_cache": True}, {"memory": {"skip_instance_cache": True}}):
        with ArchiveDataset("memory://options.sqfs", "cat/01.txt", storage_options=options) as data:
            assert [*data] == [CONTENTS["/cat/01.txt"]]
    memory.rm("/options.sqfs")


def test_options_are_for_urls(image: Path) -> None:
    with pytest.raises(TypeError, match="storage_options are for a URL, not BytesIO"):
        ArchiveDataset(io.BytesIO(image.read_bytes()), storage_options={"anon": True})


def test_what_a_url_names_must_be_a_directory(image: Path) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        ArchiveDataset(f"squashfs://cat/01.txt::{image}")
    assert caught.value.filename == "/cat/01.txt"
    with pytest.raises(FileNotFoundError):
        ArchiveDataset(f"squashfs://mouse::{image}")
