"""What the clients read: one endpoint that checks signatures, over one image of many kinds of file.

Clients address `localhost`; some put the bucket before it, as a virtual host.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import rasterio
from rasterio.transform import from_origin

from tests.clients.running import run
from tests.support.images.trees import pack
from tests.support.servers.served import served
from tests.support.servers.swift_store import Credentials, environ_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "archive"
CREDENTIALS = Credentials("KEYFORCLIENTS", "secret/of+clients")
NAMES = (
    *("small.txt", "empty", "a b+c.txt", "100%25.txt", "ü/é &=;,'()!.txt"),
    *("deep/er/file", "-dash"),
)
SIZES = {"block.bin": 131_072, "blocks.bin": 300_001, "large.bin": 20 << 20}
"""The last is above the sizes at which clients fetch a file in parts, at the same time."""
MANY = 1100
"""More than one page of a listing has."""
RASTER = {"driver": "GTiff", "width": 64, "height": 32, "count": 1, "dtype": "uint8"}
PLACE = {"crs": "EPSG:4326", "transform": from_origin(0, 0, 1, 1)}


@dataclass(frozen=True)
class Endpoint:
    """Where the clients ask, and what they must find there."""

    url: str
    top: Path
    """What was packed; a key of the bucket is a path below it."""

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point a program at it, and at nothing else."""
        return environ_of(CREDENTIALS, self.url)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def content(self, key: str) -> bytes:
        return (self.top / key).read_bytes()

    def sizes(self, below: str) -> dict[str, int]:
        """Every key below a directory, with the size of what it names."""
        paths = (path for path in (self.top / below).rglob("*") if path.is_file())
        return {str(path.relative_to(self.top)): path.stat().st_size for path in paths}


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    directory = tmp_path_factory.mktemp("clients")
    top = directory / "top"
    make_files(top)
    back_up(top / "tree", top / "restic", directory)
    image = pack(top, directory / "image.sqfs")
    environ = {
        "S3ARCHIVEFS_CACHE_DIR": str(directory),
        "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    }
    log = directory / "log"
    with served("--map", f"={image}", environ=environ, log=log) as url:
        yield Endpoint(url.replace("127.0.0.1", "localhost"), top)
    assert "Traceback" not in log.read_text()
    assert CREDENTIALS.secret_key not in log.read_text()


def make_files(top: Path) -> None:
    random = Random(0)
    contents = {name: name.encode() * 99 for name in NAMES} | {"empty": b""}
    contents |= {name: random.randbytes(size) for name, size in SIZES.items()}
    contents |= {f"many/{number:04}": b"%d" % number for number in range(MANY)}
    for name, content in contents.items():
        path = top / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    numbers = pl.DataFrame({"number": range(100_000), "text": [str(n) for n in range(100_000)]})
    numbers.write_parquet(top / "numbers.parquet", row_group_size=10_000)
    numbers.write_csv(top / "numbers.csv")
    with rasterio.open(top / "raster.tif", "w", **RASTER, **PLACE) as raster:
        raster.write(pl.Series(random.randbytes(2048)).to_numpy().reshape(1, 32, 64))


def back_up(tree: Path, repository: Path, home: Path) -> None:
    """Keep the tree in a repository of restic's."""
    for command in (("init",), ("backup", str(tree))):
        restic(repository, *command, environ={"HOME": str(home)})


def restic(repository: Path | str, *command: str, environ: dict[str, str]) -> None:
    environ = {"PATH": os.environ["PATH"], "RESTIC_PASSWORD": "password"} | environ
    run("restic", "--quiet", "--repo", str(repository), *command, environ=environ)


@pytest.fixture
def localhost_has_subdomains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system resolves them, as browsers and curl do."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- passed on
        return resolve("localhost" if host.endswith(".localhost") else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture(autouse=True)
def clean_environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients that take what they need from variables find it there."""
    for name, value in endpoint.environ.items():
        monkeypatch.setenv(name, value)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "RCLONE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", os.devnull)
