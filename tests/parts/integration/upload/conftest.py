"""Stores and images for `s3archivefs upload`."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.uploads import LARGE, PART_BYTES, Store, empty_bucket
from tests.support.images.trees import pack
from tests.support.processes.forked_program import ForkedProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers.swift_store import SwiftStore

FIXTURES = Path(__file__).parents[4] / "fixtures"
IMPORTED_BY_COMMANDS = (
    "botocore.client",
    "botocore.httpsession",
    "botocore.session",
    "s3archivefs.cli.append",
    "s3archivefs.cli.compact",
    "s3archivefs.cli.pack",
    "s3archivefs_lambda.commands.change_places",
    "s3archivefs_lambda.commands.pack_places",
    "s3archivefs_lambda.commands.upload",
    "s3archivefs_lambda.store.client",
    "s3archivefs_lambda.upload.image_extension",
    "s3archivefs_lambda.upload.upload_target",
    "s3archivefs_lambda.upload.upload",
)


@pytest.fixture(scope="session")
def program() -> Iterator[ForkedProgram]:
    """The command `s3archivefs`."""
    with ForkedProgram("s3archivefs.cli.program", *IMPORTED_BY_COMMANDS) as program:
        yield program


@pytest.fixture(params=["swift", "radosgw"])
def uploads(
    request: pytest.FixtureRequest, program: ForkedProgram, tmp_path: Path
) -> Iterator[Store]:
    """An empty bucket of each store; the gateway heeds other conditions, and answers otherwise."""
    server = request.getfixturevalue("store" if request.param == "swift" else "gateway")
    with empty_bucket(server, program, tmp_path) as uploads:
        yield uploads


@pytest.fixture
def swift(store: SwiftStore, program: ForkedProgram, tmp_path: Path) -> Iterator[Store]:
    """An empty bucket of the one."""
    with empty_bucket(store, program, tmp_path) as swift:
        yield swift


@pytest.fixture
def small_image() -> Path:
    """An image that is sent in one request."""
    return FIXTURES / "gzip.sqfs"


@pytest.fixture(scope="session")
def image_in_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of five parts, no two of them equal."""
    directory = tmp_path_factory.mktemp("parts")
    (directory / "content").mkdir()
    data = Random(5).randbytes(4 * PART_BYTES + 1000)
    (directory / "content" / "file").write_bytes(data)
    return pack(directory / "content", directory / "parts.sqfs", extra=["-noD"])


@pytest.fixture
def some_of_the_tree(tree: Path, tmp_path: Path) -> Path:
    """Two of its directories: all of it takes ten seconds to pack as well as the command does."""
    for name in ("email", "awkward names"):
        shutil.copytree(tree / name, tmp_path / "some" / name, symlinks=True)
    return tmp_path / "some"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory whose image has five parts, and a file in the first of them."""
    top = tmp_path / "source"
    (top / "in").mkdir(parents=True)
    (top / "a").write_bytes(b"first")
    (top / "in" / "large").write_bytes(LARGE)
    return top
