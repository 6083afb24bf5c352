"""Images, files, filesystems and datasets in processes that are forked, or sent them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import s3archivefs
from fixtures.shapes import noise, text
from fixtures.tree import directory, file
from s3archivefs.dataset import ArchiveDataset
from s3archivefs.filesystem import ArchiveFileSystem
from tests.support.images.fixtures import make_image
from tests.support.plug_in import plugged_in
from tests.support.processes.forked import in_child
from tests.support.processes.other_process import in_process, items, lists, reads

TEXT = "Zeile für Zeile\r\n日本\rend\n\n" * 300
MANY = {f"many/{number:02}": b"%d" % number + text(number * 37) for number in range(40)}
IN_FILESYSTEM = {"a/both": text(8269), **MANY}
IN_DATASET = {f"/cat/{number:02}.txt": text(number * 60) for number in range(20)}
TREE = (
    *map(directory, ("a", "cat", "docs", "many")),
    file("docs/text", TEXT.encode()),
    file("docs/large", noise(900_000)),
    *(file(name, data) for name, data in IN_FILESYSTEM.items()),
    *(file(path[1:], data) for path, data in IN_DATASET.items()),
)
each_method = pytest.mark.parametrize("method", ["spawn", "forkserver"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("processes"), TREE)


# ---- Images --------------------------------------------------------------------------------------


@pytest.fixture
def fs(path: Path) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(path) as opened:
        opened.read_bytes("/docs/large")  # so that there is something that must not be sent
        yield opened


@pytest.fixture
def url(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with plugged_in(tmp_path, monkeypatch) as scheme:
        yield f"{scheme}://{path}"


@each_method
def test_other_process_reads_on(fs: s3archivefs.SquashFS, url: str, method: str) -> None:
    assert in_process(method, lists, fs, fs.path("/docs")) == (["large", "text"],) * 2 + (True,)
    with s3archivefs.open(url) as remote, remote.open("/docs/large") as opened:
        opened.seek(899_000)
        assert in_process(method, reads, opened) == noise(900_000)[899_000:]
    with fs.open("/docs/text", "r", encoding="utf-8") as opened:
        line = opened.readline()
        assert line + in_process(method, reads, opened) == TEXT.replace("\r\n", "\n").replace(
            "\r", "\n"
        )


# ---- Filesystems ---------------------------------------------------------------------------------


@pytest.fixture
def filesystem(path: Path) -> Iterator[ArchiveFileSystem]:
    with ArchiveFileSystem(str(path)) as opened:
        yield opened


def test_a_forked_child_reads_on_in_a_filesystem(filesystem: ArchiveFileSystem) -> None:
    opened = filesystem.open("a/both")
    assert opened.read(10) == IN_FILESYSTEM["a/both"][:10]
    assert in_child(lambda: (opened.read(), filesystem.cat("many/*"), filesystem.find("a"))) == (
        IN_FILESYSTEM["a/both"][10:],
        {name: data for name, data in IN_FILESYSTEM.items() if name.startswith("many/")},
        filesystem.find("a"),
    )


@each_method
def test_another_process_reads_a_file_of_a_filesystem(
    filesystem: ArchiveFileSystem, method: str
) -> None:
    opened = filesystem.open("a/both")
    opened.seek(100)
    assert in_process(method, reads, opened) == IN_FILESYSTEM["a/both"][100:]


# ---- Datasets ------------------------------------------------------------------------------------


@pytest.fixture
def dataset(path: Path) -> Iterator[ArchiveDataset[bytes]]:
    with ArchiveDataset(path, "cat/*.txt") as opened:
        yield opened


def test_a_forked_child_reads_a_dataset_and_lists_nothing_anew(
    dataset: ArchiveDataset[bytes],
) -> None:
    members = dataset.members

    def read() -> tuple[bool, list[bytes]]:
        return dataset.members is members, [*dataset]

    assert in_child(read) == (True, [*dataset])


@each_method
def test_another_process_reads_a_dataset(dataset: ArchiveDataset[bytes], method: str) -> None:
    assert in_process(method, items, dataset, [5, 3, -1]) == dataset.__getitems__([5, 3, -1])


@each_method
def test_another_process_reads_a_partition(path: Path, method: str) -> None:
    with ArchiveDataset(path, "cat/*.txt") as dataset:
        part = dataset.partitions()[0]
    expected = [IN_DATASET[part.path(index)] for index in range(len(part))]
    assert in_process(method, items, part, [*range(len(part))]) == expected
