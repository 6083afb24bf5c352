"""Every client finds every key, and the bytes that were packed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import BUCKET, NAMES, SIZES
from tests.clients.javascript import JAVASCRIPT
from tests.clients.libraries import LIBRARIES
from tests.clients.programs import PROGRAMS
from tests.clients.running import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Endpoint
    from tests.clients.reader import Reader

READERS = (*LIBRARIES, *PROGRAMS, *JAVASCRIPT)
KEYS = [f"tree/{name}" for name in (*NAMES, *SIZES)]
LARGE = "tree/large.bin"

pytestmark = pytest.mark.usefixtures("localhost_has_subdomains")


def who_can(operation: str) -> pytest.MarkDecorator:
    able = [kind for kind in READERS if operation not in kind.cannot]
    return pytest.mark.parametrize("kind", able, ids=lambda kind: kind.__name__)


@who_can("keys")
def test_it_lists_every_key_and_size(
    kind: type[Reader], endpoint: Endpoint, tmp_path: Path
) -> None:
    assert kind(endpoint, tmp_path).keys("tree/") == endpoint.sizes("tree")


@who_can("get")
@pytest.mark.parametrize("key", KEYS)
def test_it_gets_the_bytes_of_an_object(
    kind: type[Reader], key: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    assert kind(endpoint, tmp_path).get(key) == endpoint.content(key)


@who_can("part")
def test_it_gets_a_part_of_an_object(
    kind: type[Reader], endpoint: Endpoint, tmp_path: Path
) -> None:
    content = endpoint.content(LARGE)
    end = len(content)
    for start, stop in ((0, 1), (131_071, 131_073), (5_000_000, 5_400_000), (end - 9, end)):
        assert kind(endpoint, tmp_path).part(LARGE, start, stop) == content[start:stop]


@who_can("size")
def test_it_learns_the_size_of_an_object(
    kind: type[Reader], endpoint: Endpoint, tmp_path: Path
) -> None:
    for key in ("tree/empty", "tree/a b+c.txt", LARGE):
        assert kind(endpoint, tmp_path).size(key) == len(endpoint.content(key))


@who_can("url")
def test_its_presigned_urls_open_without_further_ado(
    kind: type[Reader], endpoint: Endpoint, tmp_path: Path
) -> None:
    for key in (f"tree/{name}" for name in NAMES):
        url = kind(endpoint, tmp_path).url(key)
        assert str(urlsplit(url).hostname) in {"localhost", f"{BUCKET}.localhost"}
        environ = {"PATH": "/usr/bin:/bin"}
        got = run("curl", "--silent", "--show-error", "--fail", url, environ=environ)
        assert got == endpoint.content(key)
