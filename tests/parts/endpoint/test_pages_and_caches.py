"""What `serve` is told of pages and caches, on the wire."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.images.fixtures import FIXTURES
from tests.support.servers.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPMessage
    from pathlib import Path

ORIGIN = "https://page.example"
TARGET = "/archive/short.txt"


@pytest.fixture(params=["options", "variables"])
def client(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[HTTPConnection]:
    environ = {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path)}
    options = ["--map", f"={FIXTURES['gzip'].image}"]
    if request.param == "options":
        options += ["--cors-origin", ORIGIN, "--cache-control", "max-age=60"]
    else:
        environ["S3ARCHIVEFS_ENDPOINT_CORS_ORIGINS"] = ORIGIN
        environ["S3ARCHIVEFS_ENDPOINT_CACHE_CONTROL"] = "max-age=60"
    with served(*options, environ=environ, log=tmp_path / "log") as url:
        client = HTTPConnection(urlsplit(url).netloc, timeout=30)
        yield client
        client.close()


def ask(
    client: HTTPConnection, method: str, headers: Mapping[str, str], target: str = TARGET
) -> tuple[int, HTTPMessage]:
    client.request(method, target, headers=headers)
    with client.getresponse() as response:
        response.read()
        return response.status, response.headers


def test_pages_of_that_origin_read_and_caches_keep_objects(client: HTTPConnection) -> None:
    asking = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    status, fields = ask(client, "OPTIONS", asking)
    assert (status, fields["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    status, fields = ask(client, "GET", {"Origin": ORIGIN})
    assert (status, fields["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert fields["Cache-Control"] == "max-age=60"
    status, fields = ask(client, "GET", {"Origin": ORIGIN}, "/archive/none")
    assert (status, fields["Access-Control-Allow-Origin"]) == (404, ORIGIN)
    assert "Cache-Control" not in fields


def test_pages_of_other_origins_do_not(client: HTTPConnection) -> None:
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    assert ask(client, "OPTIONS", asking)[0] == 403
    status, fields = ask(client, "GET", {"Origin": "https://evil.example"})
    assert (status, fields["Access-Control-Allow-Origin"]) == (200, None)
