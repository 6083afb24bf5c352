"""Files of formats of which clients read parts, and a whole repository of backups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow.dataset
import pyarrow.parquet
import pytest
import rasterio
from rasterio.session import AWSSession

from tests.clients.conftest import BUCKET, CREDENTIALS, restic
from tests.clients.libraries import PyArrow, duck

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Endpoint

STORAGE = {
    "aws_access_key_id": CREDENTIALS.access_key,
    "aws_secret_access_key": CREDENTIALS.secret_key,
    "aws_region": "us-east-1",
    "aws_allow_http": "true",
}
NUMBERS = f"s3://{BUCKET}/numbers.parquet"
FEW = pl.col("number").is_between(50_000, 50_009)


def test_polars_reads_parquet(endpoint: Endpoint) -> None:
    storage = STORAGE | {"aws_endpoint_url": endpoint.url}
    found = pl.scan_parquet(NUMBERS, storage_options=storage)
    kept = pl.read_parquet(endpoint.top / "numbers.parquet")
    assert found.collect().equals(kept)
    assert found.filter(FEW).select("text").collect().equals(kept.filter(FEW).select("text"))


def test_polars_reads_csv(endpoint: Endpoint) -> None:
    storage = STORAGE | {"aws_endpoint_url": endpoint.url}
    found = pl.scan_csv(f"s3://{BUCKET}/numbers.csv", storage_options=storage).collect()
    assert found.equals(pl.read_csv(endpoint.top / "numbers.csv"))


def test_duckdb_reads_parquet_and_csv(endpoint: Endpoint) -> None:
    with duck(endpoint.url) as database:
        for name in ("numbers.parquet", "numbers.csv"):
            asked = "SELECT count(*), sum(number), max(text) FILTER (number < 10) FROM "
            there = database.execute(f"{asked} '{endpoint.top}/{name}'").fetchall()
            assert database.execute(f"{asked} 's3://{BUCKET}/{name}'").fetchall() == there


def test_pyarrow_reads_parquet(endpoint: Endpoint, tmp_path: Path) -> None:
    files = PyArrow(endpoint, tmp_path).files
    found = pyarrow.dataset.dataset(f"{BUCKET}/numbers.parquet", filesystem=files).to_table()
    assert found.equals(pyarrow.parquet.read_table(endpoint.top / "numbers.parquet"))


@pytest.mark.parametrize("virtual", ["FALSE", "TRUE"])
def test_gdal_reads_a_raster(endpoint: Endpoint, virtual: str) -> None:
    session = AWSSession(
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
        region_name="us-east-1",
        endpoint_url=endpoint.url.removeprefix("http://"),
    )
    settings = {"AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": virtual}  # libcurl knows *.localhost
    window = ((5, 9), (10, 60))
    with rasterio.open(endpoint.top / "raster.tif") as kept:
        whole, part = kept.read(), kept.read(1, window=window)
    with rasterio.Env(session, **settings), rasterio.open(f"/vsis3/{BUCKET}/raster.tif") as raster:
        assert (raster.read() == whole).all()
        assert (raster.read(1, window=window) == part).all()


def test_restic_restores_what_was_backed_up(endpoint: Endpoint, tmp_path: Path) -> None:
    repository = f"s3:{endpoint.url}/{BUCKET}/restic"
    environ = endpoint.environ | {"HOME": str(tmp_path)}
    target = tmp_path / "restored"
    # It would write a lock, and a cache.
    options = ("--no-lock", "--no-cache")
    restic(repository, *options, "check", environ=environ)
    restic(repository, *options, "restore", "latest", "--target", str(target), environ=environ)
    restored = target / str(endpoint.top / "tree").lstrip("/")
    for path in (endpoint.top / "tree").rglob("*"):
        if path.is_file():
            again = restored / path.relative_to(endpoint.top / "tree")
            assert again.read_bytes() == path.read_bytes()
