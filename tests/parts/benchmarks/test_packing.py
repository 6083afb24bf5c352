"""The benchmark of packing, on a tree that is small enough for a test."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from benchmarks.packing.measuring import measure
from benchmarks.packing.options import SORT_FILE, Packing
from benchmarks.packing.report import table
from benchmarks.packing.trees import Operation, Read, Run, Tree
from benchmarks.remote.store import Store
from s3archivefs_lambda.store.client import make_s3_client
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.radosgw_server import RadosGateway

KIB = 1 << 10
SMALL = Packing("small blocks", ("-no-fragments",), block_size=64 * KIB)
LARGE = Packing("large blocks", ("-no-fragments",))
SORTED = Packing("sorted", ("-no-fragments", "-sort", SORT_FILE), block_size=64 * KIB)
CHUNKS = Packing(
    "small blocks, large chunks",
    ("-no-fragments",),
    block_size=64 * KIB,
    settings={"S3ARCHIVEFS_CACHE_CHUNK_SIZE": str(128 * KIB)},
)


@pytest.fixture(scope="module")
def store(gateway: RadosGateway) -> Iterator[Store]:
    with Store.before(gateway, own("packing")) as store:
        yield store


@pytest.fixture
def client(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    for name, value in store.environ().items():
        monkeypatch.setenv(name, value)
    client = make_s3_client()
    yield client
    client.close()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Noise, which lies in the image as it is: five files of 16 KiB, and one that keeps them out of
    the tail that opening an archive brings.
    """
    path = tmp_path / "tree"
    path.mkdir()
    for name in "abcdez":
        size = 1024 * KIB if name == "z" else 16 * KIB
        (path / name).write_bytes(Random(name).randbytes(size))
    return Tree(
        path,
        [
            Operation("a file", [Run([Read("b")])], is_timed=True),
            Operation("a range", [Run([Read("z", 64 * KIB, 64 * KIB)])]),
            Operation("what was read before", [Run([Read("b")], before=(Read("b"),))]),
            Operation("two files", [Run([Read("e"), Read("a")])]),
        ],
    )


def test_requests_and_kilobytes_are_told_by_packing_and_operation(
    tree: Tree, store: Store, client: S3Client, tmp_path: Path
) -> None:
    rows = {
        packing.name: measure(tree, packing, store, client, tmp_path / "image.sqfs")
        for packing in (SMALL, LARGE, SORTED, CHUNKS)
    }
    lines = [line.strip("| ").split(" | ") for line in table(tree, rows)]
    opening = "2 / 524"
    # With -sort, files of one priority come in reverse: e, a, z, d, c, b. The last are in the tail.
    assert {line[0]: line[4:9] for line in lines[2:]} == {
        "small blocks": [opening, "1 / 66", "1 / 131", "0 / 0", "2 / 131"],
        "large blocks": [opening, "1 / 131", "1 / 262", "0 / 0", "1 / 131"],
        "sorted": [opening, "0 / 0", "1 / 131", "0 / 0", "1 / 66"],
        "small blocks, large chunks": [opening, "1 / 131", "1 / 131", "0 / 0", "1 / 131"],
    }


def test_an_answer_that_is_not_what_was_packed_ends_it(
    tree: Tree, store: Store, client: S3Client, tmp_path: Path
) -> None:
    class Other(Tree):
        def content(self, read: Read) -> bytes:
            return self.path.joinpath(read.path).read_bytes()[::-1]

    other = Other(tree.path, tree.operations)
    with pytest.raises(ValueError, match="not what was packed"):
        measure(other, SMALL, store, client, tmp_path / "image.sqfs")
