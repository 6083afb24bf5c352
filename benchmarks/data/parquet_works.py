"""The works of `parquet`: an aggregate by DuckDB or pyarrow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import fsspec
import pyarrow.dataset
import pyarrow.fs
import s3fs

from benchmarks.data.process import Clock, Task

__all__ = [
    "archive",
    "own_clients",
    "plain_objects",
    "through_squashfsspec",
    "zip_through_fsspec",
]


def archive(task: Task, clock: Clock) -> None:
    """Read the image through this project's filesystem."""
    _through_fsspec(
        task,
        clock,
        lambda: fsspec.filesystem("s3archivefs", fo=f"s3://{task.bucket}/table.sqfs"),
        "s3archivefs://",
    )


def plain_objects(task: Task, clock: Clock) -> None:
    """Read each file as an object, through s3fs."""
    top = f"{task.bucket}/plain/"
    _through_fsspec(task, clock, s3fs.S3FileSystem, f"s3://{top}", top)


def zip_through_fsspec(task: Task, clock: Clock) -> None:
    """Read a zip of the files through fsspec."""

    def make() -> Any:  # noqa: ANN401 -- fsspec has no types
        # 50 MiB would be fetched at once by default.
        file = s3fs.S3FileSystem().open(f"{task.bucket}/table.zip", block_size=1 << 20)
        return fsspec.filesystem("zip", fo=file)

    _through_fsspec(task, clock, make, "zip://")


def through_squashfsspec(task: Task, clock: Clock) -> None:
    """Read the image through squashfsspec."""
    from squashfsspec import SquashFSFileSystem

    def make() -> Any:  # noqa: ANN401 -- likewise
        path, options = f"{task.bucket}/table.sqfs", {"cache_type": "blockcache"}
        return SquashFSFileSystem(s3fs.S3FileSystem().open(path, block_size=1 << 20, **options))

    _through_fsspec(task, clock, make, "squashfs://")


def own_clients(task: Task, clock: Clock) -> None:
    """Read each file as an object, with the S3 client that the library brings."""
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).netloc
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    region = os.environ["AWS_REGION"]
    top = f"{task.bucket}/plain/"
    with clock.step("sum") as answer:
        if task.parameters["library"] == "pyarrow":
            fs = pyarrow.fs.S3FileSystem(
                access_key=key,
                secret_key=secret,
                region=region,
                endpoint_override=endpoint,
                scheme="http",
            )
            answer["sums"] = _by_pyarrow(fs, top)
            return
        import duckdb_extension_httpfs

        (extension,) = Path(duckdb_extension_httpfs.__path__[0]).rglob("*.duckdb_extension")
        duckdb.load_extension(str(extension))
        duckdb.sql(
            f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', REGION '{region}',"
            f" ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false)"
        )
        answer["sums"] = _by_duckdb(f"s3://{top}")


def _through_fsspec(
    task: Task, clock: Clock, make: Callable[[], Any], url: str, top: str = ""
) -> None:
    """Aggregate with a filesystem of fsspec."""
    with clock.step("sum") as answer:
        fs = make()
        if task.parameters["library"] == "pyarrow":
            answer["sums"] = _by_pyarrow(fs, top)
        else:
            duckdb.register_filesystem(fs)
            answer["sums"] = _by_duckdb(url)


def _by_duckdb(url: str) -> list[int]:
    duckdb.sql("SET enable_progress_bar = false")
    files = duckdb.read_parquet(f"{url}*/*.parquet")
    found = files.aggregate("station, sum(value)").order("station")
    return [int(total) for _, total in found.fetchall()]


def _by_pyarrow(fs: Any, top: str) -> list[int]:  # noqa: ANN401 -- of any library
    table = pyarrow.dataset.dataset(top, filesystem=fs, format="parquet").to_table(
        columns=["station", "value"]
    )
    sums = table.group_by("station").aggregate([("value", "sum")]).sort_by("station")
    total: list[int] = sums["value_sum"].to_pylist()
    return total
