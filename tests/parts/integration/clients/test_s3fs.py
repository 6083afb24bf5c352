"""s3fs, the S3 file system of fsspec, through `s3archivefs serve`."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.parts.integration.clients.conftest import contents, run
from tests.support.servers.transports import BUCKET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore
    from tests.support.servers.transports import Transport

    S3fs = Callable[[str], Any]

PYTHON_VARIABLE = "TESTS_S3FS_PYTHON"
"""Names the Python that has s3fs. The tests' own cannot: s3fs wants an older botocore."""

PROGRAM = """
import s3fs
fs = s3fs.S3FileSystem()
{statements}
print(repr(result))
"""


@pytest.fixture(scope="module")
def s3fs(store: SwiftStore, endpoint: Transport) -> S3fs:
    """Run statements that make a literal of `fs`, the file system, and call it `result`."""
    python = os.environ.get(PYTHON_VARIABLE)
    if python is None:
        pytest.fail(f"{PYTHON_VARIABLE} is not set: run `python3 noxfile.py -s parts`, which does")
    environ = os.environ | store.environ(endpoint_url=endpoint.url)

    def run_s3fs(statements: str) -> Any:  # noqa: ANN401 -- any literal
        program = PROGRAM.format(statements=statements)
        return ast.literal_eval(run(python, "-I", "-c", program, environ=environ).stdout)

    return run_s3fs


def test_ls_lists_files_and_directories(s3fs: S3fs, sample: Path) -> None:
    listed = s3fs(
        f"listed = fs.ls('{BUCKET}/sample/links', detail=True)\n"
        "result = {item['name']: (item['type'], item['size']) for item in listed}"
    )
    links = sample / "links"
    expected = {
        path.name: ("file", path.stat().st_size) for path in links.iterdir() if path.is_file()
    }
    expected["inner"] = ("directory", 0)
    assert listed == {f"{BUCKET}/sample/links/{name}": item for name, item in expected.items()}


def test_find_finds_every_key(s3fs: S3fs, objects: dict[str, Path]) -> None:
    found = s3fs(f"result = fs.find('{BUCKET}')")
    assert sorted(found) == sorted(f"{BUCKET}/{key}" for key in objects)


def test_cat_reads_files_whose_names_need_care(s3fs: S3fs, sample: Path) -> None:
    # Not cat(recursive=True): fsspec then reads directories too, which are no objects in S3.
    read = s3fs(f"result = fs.cat(fs.find('{BUCKET}/sample'))")
    assert read == {f"{BUCKET}/sample/{name}": data for name, data in contents(sample).items()}


def test_open_file_seeks_and_reads(s3fs: S3fs, sample: Path) -> None:
    content = max(contents(sample / "blocks").values(), key=len)
    places = [(len(content) // 2, 70_000), (0, 10), (131_071, 2), (len(content) - 5, 100)]
    read = s3fs(
        f"with fs.open('{BUCKET}/sample/blocks/{len(content)}', block_size=1 << 16) as file:\n"
        f"    result = [file.read(size) for start, size in {places} if file.seek(start) == start]"
    )
    assert read == [content[start : start + size] for start, size in places]


def test_urls_that_it_presigns_open(s3fs: S3fs, sample: Path) -> None:
    read = contents(sample)
    urls = s3fs(f"result = {{key: fs.url(key) for key in fs.find('{BUCKET}/sample')}}")
    for key, url in urls.items():
        assert "AWSAccessKeyId=" in url  # Signature Version 2
        with urlopen(url) as response:  # noqa: S310 -- it is http
            assert response.read() == read[key.removeprefix(f"{BUCKET}/sample/")]
