"""The real AWS CLI through `s3archivefs serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import BUCKET, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.swift_store import SwiftStore

    Aws = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def aws(store: SwiftStore, archive: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Run an AWS CLI command against the endpoint."""
    directory = tmp_path_factory.mktemp("aws-cli")
    with open_transport("endpoint", store, directory, {"library": archive}) as transport:
        environ = os.environ | store.environ(endpoint_url=transport.url)

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "awscli", *arguments]
            return subprocess.run(command, env=environ, check=False, capture_output=True, text=True)

        yield run


def test_ls_shows_names_sizes_and_directories(aws: Aws, tree: Path) -> None:
    done = aws("s3", "ls", f"s3://{BUCKET}/library/json/")
    assert done.returncode == 0, done.stderr
    shown = {line.split()[-1]: line.split()[-2] for line in done.stdout.splitlines()}
    assert shown == {path.name: str(path.stat().st_size) for path in (tree / "json").iterdir()}


def test_cp_copies_a_file(aws: Aws, tree: Path, tmp_path: Path) -> None:
    done = aws("s3", "cp", f"s3://{BUCKET}/library/os.py", str(tmp_path / "os.py"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "os.py").read_bytes() == (tree / "os.py").read_bytes()


def test_sync_copies_every_file_of_the_tree(aws: Aws, tree: Path, tmp_path: Path) -> None:
    done = aws("s3", "sync", "--quiet", f"s3://{BUCKET}/library/", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == contents(tree)
    again = aws("s3", "sync", f"s3://{BUCKET}/library/", str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""  # times and sizes are those of the listing: nothing is copied twice


def test_get_object_with_a_range(aws: Aws, tree: Path, tmp_path: Path) -> None:
    key = ("--bucket", BUCKET, "--key", "library/os.py")
    done = aws("s3api", "get-object", *key, "--range", "bytes=100-299", str(tmp_path / "part"))
    assert done.returncode == 0, done.stderr
    content = (tree / "os.py").read_bytes()
    assert (tmp_path / "part").read_bytes() == content[100:300]
    assert json.loads(done.stdout)["ContentRange"] == f"bytes 100-299/{len(content)}"


def test_head_object(aws: Aws, tree: Path) -> None:
    done = aws("s3api", "head-object", "--bucket", BUCKET, "--key", "library/os.py")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ContentLength"] == (tree / "os.py").stat().st_size


def test_list_objects_v2_pages(aws: Aws, tree: Path) -> None:
    listing = ("s3api", "list-objects-v2", "--bucket", BUCKET, "--page-size", "100")
    done = aws(*listing, "--query", "Contents[].Key")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {f"library/{path}" for path in contents(tree)}


@pytest.mark.parametrize(
    "command",
    [
        ("s3api", "put-object", "--bucket", BUCKET, "--key", "library/new"),
        ("s3api", "delete-object", "--bucket", BUCKET, "--key", "library/os.py"),
        ("s3api", "create-multipart-upload", "--bucket", BUCKET, "--key", "library/new"),
    ],
)
def test_writing_is_method_not_allowed(aws: Aws, command: tuple[str, ...]) -> None:
    done = aws(*command)
    assert done.returncode != 0
    assert "MethodNotAllowed" in done.stderr


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, symlinks followed, by its path there."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
