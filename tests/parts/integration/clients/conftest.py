"""What the client programs read: one endpoint over two archives, and what they must find there."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.images.trees import pack, sample_tree, write_tree
from tests.support.servers.transports import open_transport, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.processes.forked_program import ForkedProgram
    from tests.support.servers.swift_store import SwiftStore
    from tests.support.servers.transports import Transport

    Program = Callable[..., subprocess.CompletedProcess[str]]

_OTHER_ON_DISK = {"links/absolute", "links/out of the image"}
"""Symlinks that lead elsewhere on this disk than inside the image, whose root is its own."""


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names that need care, links, holes, sizes around the block size; all names are UTF-8, as
    S3's keys are.
    """
    nodes = [
        node
        for node in sample_tree()
        if node.path.encode(errors="ignore").decode() == node.path
        and node.path not in _OTHER_ON_DISK
    ]
    return write_tree(nodes, tmp_path_factory.mktemp("sample") / "tree")


@pytest.fixture(scope="session")
def endpoint(
    store: SwiftStore,
    archive: str,
    sample: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Transport]:
    """The endpoint, with `tree` at `library` and `sample` at `sample`; it checks signatures."""
    image = pack(sample, sample.parent / "sample.sqfs")
    mappings = {
        "library": archive,
        "sample": upload(store, image, "sample.sqfs", superblock=True),
    }
    directory = tmp_path_factory.mktemp("clients")
    keys = {
        "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": store.access_key,
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": store.secret_key,
    }
    with open_transport("endpoint", store, directory, mappings, settings=keys) as transport:
        yield transport


@pytest.fixture(scope="session")
def objects(tree: Path, sample: Path) -> dict[str, Path]:
    """All that the endpoint must serve: the files by their keys, in S3's order."""
    found = {
        f"{prefix}/{name}": path
        for prefix, top in {"library": tree, "sample": sample}.items()
        for name, path in files(top).items()
    }
    assert len(found) > 1000  # the most that one page of a listing holds
    return dict(sorted(found.items(), key=lambda item: item[0].encode()))


@pytest.fixture(scope="session")
def aws(aws_cli: ForkedProgram, store: SwiftStore, endpoint: Transport) -> Program:
    """Run an AWS CLI command against the endpoint; `status` is what it must end with."""
    environ = os.environ | store.environ(endpoint_url=endpoint.url)

    def run_aws(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = aws_cli(*arguments, environ=environ)
        assert done.returncode == status, done.stderr
        return done

    return run_aws


def run(
    *command: str, environ: Mapping[str, str], status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must have `status`."""
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


def files(directory: Path) -> dict[str, Path]:
    """Every file below a directory by its path there; symlinks to files count, those to directories
    are not entered.
    """
    return {
        str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()
    }


def contents(directory: Path) -> dict[str, bytes]:
    """The content of every file below a directory, by its path there."""
    return {name: path.read_bytes() for name, path in files(directory).items()}
