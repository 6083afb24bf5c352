"""Chained URLs with real filesystems below: s3fs, its caches, HTTP."""

from __future__ import annotations

import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import s3fs

from fixtures.shapes import noise, text
from fixtures.tree import file
from s3archivefs.dataset import ArchiveDataset
from s3archivefs_lambda.store.errors import ArchiveForbiddenError
from tests.support.images.fixtures import make_image
from tests.support.processes.forked import in_child
from tests.support.processes.other_process import in_process, items, reads
from tests.support.proxy.counting_proxy import CountingProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

CONTENTS = {
    "large": noise(9 << 20),
    **{f"many/{number:03}": b"%d" % number + text(number * 37) for number in range(300)},
}
MANY = {name: data for name, data in CONTENTS.items() if name.startswith("many/")}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = (file(name, data) for name, data in CONTENTS.items())
    return make_image(tmp_path_factory.mktemp("image"), tuple(tree), "-b", "131072")


@pytest.fixture(scope="module")
def in_s3(store: SwiftStore, archives: str, image: Path) -> str:
    """The URL of the image, for chains."""
    store.client().put_object(Bucket=archives, Key="data.sqfs", Body=image.read_bytes())
    return f"s3://{archives}/data.sqfs"


@pytest.fixture
def options(store: SwiftStore, proxy: CountingProxy) -> dict[str, Any]:
    """The options of s3fs that reach the store through the proxy, and nothing of which is set."""
    environ = store.environ()
    return {
        "key": environ["AWS_ACCESS_KEY_ID"],
        "secret": environ["AWS_SECRET_ACCESS_KEY"],
        "client_kwargs": {"endpoint_url": proxy.url, "region_name": environ["AWS_REGION"]},
    }


def read_all(fs: Any) -> None:  # noqa: ANN401 -- fsspec ships no types
    assert fs.find("") == sorted(CONTENTS)
    assert fs.cat("many", recursive=True) == MANY
    assert fs.cat_ranges(["large"] * 2, [5, 8 << 20], [9, (8 << 20) + 3]) == [
        CONTENTS["large"][5:9],
        CONTENTS["large"][8 << 20 : (8 << 20) + 3],
    ]
    assert fs.cat("large") == CONTENTS["large"]


def test_the_keys_of_a_chain_reach_the_store_and_few_requests_read_all(
    in_s3: str, options: dict[str, Any], proxy: CountingProxy
) -> None:
    with fsspec.open(f"squashfs://many/007::{in_s3}", s3=options) as opened:
        assert opened.read() == MANY["many/007"]
        assert len(proxy.requests) <= 3
        assert proxy.round_trips() <= 2
        read_all(opened.fs)
    assert len(proxy.requests) <= 16  # of 9 MiB and 300 files


def test_wrong_keys_are_refused(in_s3: str, options: dict[str, Any]) -> None:
    with pytest.raises(ArchiveForbiddenError, match="the credentials were refused"):
        fsspec.open(f"squashfs://many/007::{in_s3}", s3={**options, "secret": "wrong"}).open()


def test_what_the_adapter_cannot_honour_s3fs_does(
    in_s3: str, options: dict[str, Any], proxy: CountingProxy
) -> None:
    payer = {**options, "requester_pays": True}
    with fsspec.open(f"squashfs://many/007::{in_s3}", s3=payer) as opened:
        assert opened.read() == MANY["many/007"]
        read_all(opened.fs)
    assert {request.headers.get("x-amz-request-payer") for request in proxy.requests} == {
        "requester"
    }
    assert len(proxy.requests) <= 24


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # fsspec's own
@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_a_cache_of_fsspec_stands_between(
    in_s3: str, options: dict[str, Any], cache: str, tmp_path: Path
) -> None:
    url = f"squashfs://many/007::{cache}::{in_s3}"
    below = {"s3": options, cache: {"cache_storage": str(tmp_path / "kept")}}
    with fsspec.open(url, **below) as opened:
        assert opened.read() == MANY["many/007"]
        read_all(opened.fs)


@pytest.mark.parametrize("extra", [{}, {"requester_pays": True}])
def test_processes_of_all_kinds_read_on(
    in_s3: str, options: dict[str, Any], extra: dict[str, Any]
) -> None:
    with fsspec.open(f"squashfs://large::{in_s3}", s3=options | extra) as opened:
        opened.seek(100)
        assert len(pickle.dumps(opened.fs)) < 1000
        assert in_child(opened.read) == CONTENTS["large"][100:]
        for method in ("spawn", "forkserver"):
            assert in_process(method, reads, opened) == CONTENTS["large"][100:]
        assert opened.read() == CONTENTS["large"][100:]


def test_a_dataset_is_of_a_directory_of_an_archive_by_a_chain(
    store: SwiftStore, in_s3: str, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.environ(endpoint_url=proxy.url).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # those of other tests have other settings
    for chain in (in_s3, f"simplecache::{in_s3}", f"blockcache::{in_s3}"):
        proxy.reset()
        with ArchiveDataset(f"squashfs://many::{chain}", "1*") as dataset:
            found = {dataset.path(index)[1:]: item for index, item in enumerate(dataset)}
            assert in_process("spawn", items, dataset, [7]) == [dataset[7]]
        assert found == {name: data for name, data in MANY.items() if name[5] == "1"}
        assert proxy.requests
        if chain == in_s3:
            assert len(proxy.requests) <= 5


# ---- HTTP ----------------------------------------------------------------------------------------


class WithoutRanges(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that wants no more."""


@pytest.fixture
def without_ranges(image: Path) -> Iterator[str]:
    """The URL of the image at a server that takes no ranges."""
    handler = partial(WithoutRanges, directory=image.parent)
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{image.name}"
        server.shutdown()
        thread.join()


def test_an_archive_is_read_by_ranges_over_http(
    store: SwiftStore, archives: str, in_s3: str
) -> None:
    client = store.client()
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": archives, "Key": "data.sqfs"}
    )
    with CountingProxy(store.url) as proxy:
        at_proxy = url.replace(store.url, proxy.url)
        fs = fsspec.filesystem("squashfs", fo=at_proxy)
        read_all(fs)
        assert sum(request.bytes_sent for request in proxy.requests) < 15 << 20
        with ArchiveDataset(at_proxy, "many/*") as dataset:
            assert [*dataset] == [*MANY.values()]


def test_a_server_that_takes_no_ranges_needs_a_cache(without_ranges: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"takes no ranges; read a local copy, through simplecache::"):
        fsspec.open(f"squashfs://large::{without_ranges}").open()
    url = f"squashfs://large::simplecache::{without_ranges}"
    with fsspec.open(url, simplecache={"cache_storage": str(tmp_path)}) as opened:
        read_all(opened.fs)
