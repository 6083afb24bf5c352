"""Parquet in an archive in a real store: datasets of many files, row groups by range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from upath import UPath

from tests.support.images.trees import pack

if TYPE_CHECKING:
    from tests.support.proxy.counting_proxy import CountingProxy
    from tests.support.servers.swift_store import SwiftStore

ROWS = 40_000
"""Rows of a row group; each takes 640 KB, as its numbers do not compress."""
GROUPS = 20
DAYS = 6


def table(seed: int, rows: int) -> pa.Table:
    values = np.random.default_rng(seed).random((2, rows))
    return pa.table({"day": np.full(rows, seed), "value": values[0], "other": values[1]})


@pytest.fixture(scope="module")
def in_s3(store: SwiftStore, archives: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An archive of a large file with many row groups, and a directory of small ones."""
    directory = tmp_path_factory.mktemp("tables")
    (directory / "days").mkdir()
    for day in range(DAYS):
        pq.write_table(table(day, 1000), directory / f"days/{day}.parquet")
    pq.write_table(table(99, ROWS * GROUPS), directory / "large.parquet", row_group_size=ROWS)
    image = pack(directory, directory.with_suffix(".sqfs"))
    store.client().put_object(Bucket=archives, Key="tables.sqfs", Body=image.read_bytes())
    return f"s3://{archives}/tables.sqfs"


@pytest.fixture
def fs(in_s3: str, store: SwiftStore, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 -- fsspec ships no types
    for name, value in store.environ(endpoint_url=proxy.url).items():
        monkeypatch.setenv(name, value)
    with fsspec.filesystem("squashfs", fo=in_s3) as opened:
        assert opened.exists("large.parquet")
        proxy.reset()
        yield opened


def fetched(proxy: CountingProxy) -> int:
    return sum(request.bytes_sent for request in proxy.requests)


def test_pyarrow_reads_a_directory_as_one_dataset(fs: Any) -> None:  # noqa: ANN401 -- likewise
    days = ds.dataset("days", filesystem=fs, format="parquet")
    assert days.count_rows() == DAYS * 1000
    found = days.to_table(columns=["value"], filter=ds.field("day") == 3, use_threads=False)
    assert found["value"].equals(table(3, 1000)["value"])


def test_pyarrow_fetches_a_row_group_by_its_range(fs: Any, proxy: CountingProxy) -> None:  # noqa: ANN401 -- likewise
    with fs.open("large.parquet") as file:
        parquet = pq.ParquetFile(file)
        assert parquet.num_row_groups == GROUPS
        found = parquet.read_row_group(7, columns=["value"], use_threads=False)
    assert found["value"].equals(table(99, ROWS * GROUPS).slice(7 * ROWS, ROWS)["value"])
    assert fetched(proxy) < fs.size("large.parquet") / 4


def test_polars_fetches_the_rows_that_it_is_asked_for(fs: Any) -> None:  # noqa: ANN401 -- likewise
    with fs.open("large.parquet") as file:
        found = pl.scan_parquet(file).slice(7 * ROWS, 10).select("value").collect()
    assert (
        found["value"].to_list() == table(99, ROWS * GROUPS)["value"][7 * ROWS :][:10].to_pylist()
    )


def test_duckdb_aggregates_what_a_pattern_matches(fs: Any) -> None:  # noqa: ANN401 -- likewise
    with duckdb.connect() as database:
        database.register_filesystem(fs)
        query = "SELECT day, count(*) FROM read_parquet('squashfs://days/*.parquet') GROUP BY day"
        assert sorted(database.sql(query).fetchall()) == [(day, 1000) for day in range(DAYS)]


def test_universal_pathlib_walks_and_reads(in_s3: str, fs: Any) -> None:  # noqa: ANN401 -- likewise
    days = UPath(f"squashfs://days::{in_s3}")
    names = [f"{day}.parquet" for day in range(DAYS)]
    assert sorted(path.name for path in days.iterdir()) == names
    assert sorted(path.name for path in days.parent.glob("**/?.parquet")) == names
    assert (days / "3.parquet").read_bytes() == fs.cat_file("days/3.parquet")
