"""A reader of the pages: a machine with the AWS CLI and mksquashfs, a checkout, a bucket."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.documents import page_programs
from tests.support.documents.page_programs import NOWHERE
from tests.support.documents.pages import ROOT, Block, blocks
from tests.support.processes.made_once import made_once
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers.swift_store import SwiftStore

PORT = 9000
"""The endpoint's, in the pages."""
ALIAS = "my-archives-a1b2c3--ol-s3"
"""The alias of the Object Lambda access point, in the pages."""
PAGES_BUCKET = "my-bucket"
BUCKET = own(PAGES_BUCKET)
"""The bucket of the pages, which each begins with empty."""
INSTALLATION = next(block.text for block in blocks("README.md") if block.language == "sh")
"""The commands by which the README, and the tutorial, install the project."""
MAPPING = f"docs|s3://{BUCKET}/docs.sqfs"
LARGE_FILE_BYTES = 10**7 + 16
_LEFT_OUT = (".*", "dist", "site", "__pycache__")
_NOX = Path(".nox", f"{sys.version_info.major}.{sys.version_info.minor}", "nox")
"""The environment that noxfile.py makes for nox, in a checkout."""
_PIP = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}
"""Spares seconds: few of the installed modules are ever imported."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who follows a page, from top to bottom, in a checkout."""

    checkout: Path
    environ: dict[str, str]
    programs: Path
    port: int

    def run(self, block: Block) -> str:
        """Run the commands, or the program, of one block; returns what went to standard output.

        Fails, with all that was written, where the status is not 0. The commands that have made the
        environment are not run again.
        """
        if block.text == INSTALLATION:
            return ""
        text = re.sub(rf"\b(127\.0\.0\.1|localhost):{PORT}\b", rf"\1:{self.port}", block.text)
        text = text.replace(PAGES_BUCKET, BUCKET)
        command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": ["python", "-c"]}
        # Files, not pipes: the endpoint keeps them open when the commands are done.
        with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            status = subprocess.run(
                [*command[block.language], text],
                cwd=self.checkout,
                env=self.environ,
                check=False,
                stdout=output,
                stderr=errors,
            ).returncode
            output.seek(0)
            errors.seek(0)
            written = output.read()
            assert status == 0, f"{block} ended with status {status}:\n{written}{errors.read()}"
        return written

    def log(self) -> list[dict[str, Any]]:
        """What the programs did: of each, `command` and `done`."""
        lines = (self.programs / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """End what still runs."""
        for number in page_programs.background(self.programs):
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def bucket(store: SwiftStore, page: str) -> Iterator[None]:
    """The bucket of the pages, where the page does not make it."""
    client = store.client()
    if f"aws s3 mb s3://{PAGES_BUCKET}" not in (ROOT / page).read_text(encoding="utf-8"):
        client.create_bucket(Bucket=BUCKET)
    yield
    with suppress(client.exceptions.NoSuchBucket):
        for there in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=there["Key"])
        client.delete_bucket(Bucket=BUCKET)


@pytest.fixture(scope="session")
def access_point(store: SwiftStore) -> Iterator[AccessPoint]:
    """The Object Lambda access point of the pages, and the store, at one address."""
    with AccessPoint(store.url, bucket=ALIAS) as access_point:
        environ = store.environ(endpoint_url=access_point.url)
        settings = {"S3ARCHIVEFS_PREFIX_VMAP1": MAPPING, "S3ARCHIVEFS_REVALIDATE_SECONDS": "0"}
        with RuntimeApi({**environ, **settings}) as function:
            access_point.function = function
            yield access_point


@pytest.fixture(scope="session")
def environment(run_directory: Path) -> Path:
    """The environment that the README's first commands make in a checkout, once a run."""

    def make(checkout: Path) -> None:
        _write_checkout(checkout)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", INSTALLATION],
            cwd=checkout,
            env=os.environ | _PIP | {"PATH": path},
            check=True,
        )

    return made_once(run_directory / "reader", make) / ".venv"


@pytest.fixture
def reader(
    bucket: None,
    store: SwiftStore,
    access_point: AccessPoint,
    environment: Path,
    tmp_path: Path,
) -> Iterator[Reader]:
    """A checkout that was just made, beside what a page takes to be there."""
    checkout = tmp_path / "s3archivefs"
    _write_checkout(checkout)
    if (ROOT / _NOX).exists():  # where noxfile.py has started these tests
        (checkout / _NOX).parent.mkdir(parents=True)
        (checkout / _NOX).symlink_to(ROOT / _NOX)
    _write_directory(checkout / "DIRECTORY")
    (tmp_path / "home").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    programs = tmp_path / "programs"
    tools = Path(sys.executable).parent
    real = {
        "aws": tools / "aws",
        "s3archivefs": environment / "bin" / "s3archivefs",
        "python3": environment / "bin" / "python3",
        "pip": environment / "bin" / "pip",
    }
    page_programs.install(programs, real=real, port=port)
    path = [programs, environment / "bin", tools, *os.environ["PATH"].split(os.pathsep)]
    environ = {
        "PATH": os.pathsep.join(map(str, path)),
        "HOME": str(tmp_path / "home"),
        "LANG": "C.UTF-8",
        **_PIP,
        **store.environ(endpoint_url=access_point.url),
        "AWS_ENDPOINT_URL": NOWHERE,
        "AWS_MAX_ATTEMPTS": "1",
        "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
    }
    reader = Reader(checkout, environ, programs, port)
    try:
        yield reader
    finally:
        reader.end()


def _write_checkout(checkout: Path) -> None:
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    shutil.copytree(ROOT / ".ci", checkout / ".ci")


def _write_directory(directory: Path) -> None:
    """What the pages pack, and read again."""
    (directory / "docs").mkdir(parents=True)
    (directory / "README").write_text("of this directory\n", encoding="utf-8")
    for number in range(40):
        (directory / "docs" / f"{number}.md").write_text(f"# {number}\n" * 99, encoding="utf-8")
    with (directory / "big.bin").open("wb") as big:
        big.truncate(LARGE_FILE_BYTES)
