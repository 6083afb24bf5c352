"""What `--verbose` says a command cost is what a real S3 server was asked, by all threads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from s3archivefs.cli import main
from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.servers.swift_store import SwiftStore

COSTS = re.compile(
    r"s3archivefs: ([\d,]+) requests to S3, ([\d,]+) bytes from S3, "
    r"([\d,]+) chunks from the cache, ([\d,]+) chunks fetched\n"
)


def costs(errors: str) -> tuple[int, ...]:
    """The figures in the last line of standard error."""
    found = COSTS.search(errors)
    assert found is not None, errors
    return tuple(int(figure.replace(",", "")) for figure in found.groups())


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "-lR"],
        ["cat", "/json/decoder.py"],
        ["hash"],
        ["verify"],
        ["info", "--scan"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_request_and_byte_is_counted_once(
    *,
    arguments: list[str],
    store: SwiftStore,
    archive_without_metadata: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    command, *rest = arguments
    with CountingProxy(store.url) as proxy:
        for name, value in store.environ(endpoint_url=proxy.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))
        found = []
        for _ in range(2):
            assert main([command, "-v", archive_without_metadata, *rest]) == 0
            requests, size, *_ = costs(capfdbinary.readouterr().err.decode())
            sent = proxy.requests
            assert (requests, size) == (len(sent), sum(each.bytes_sent for each in sent))
            found.append((requests, size))
            proxy.reset()
    assert found[0][0] >= 2
    assert found[1] < found[0]  # the chunk cache has what the first one fetched


def test_what_a_failure_cost_is_said_too(
    store: SwiftStore,
    archive: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in store.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))
    assert main(["cat", "-v", archive, "/nowhere"]) == 3
    fault, said = capsys.readouterr().err.splitlines(keepends=True)
    assert fault == "s3archivefs: /nowhere: No such file or directory\n"
    assert costs(said)[0] >= 1
