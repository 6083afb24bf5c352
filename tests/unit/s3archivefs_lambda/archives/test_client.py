from __future__ import annotations

from typing import Any

import pytest

from s3archivefs_lambda.archives.client import make_archive_client


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.mark.parametrize(("requests", "connections"), [(1, 46), (5, 54), (32, 108)])
def test_requests_have_two_connections_each_besides_those_that_read_and_open_ahead(
    requests: int, connections: int
) -> None:
    client: Any = make_archive_client(requests=requests)  # the stubs' Config lacks its attributes
    assert client.meta.config.max_pool_connections == connections
