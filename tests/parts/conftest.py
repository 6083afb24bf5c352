"""What all parts share: two real S3 servers, each started once a run, and the AWS CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.aws_cli import AwsCli
from tests.support.server_keeper import radosgw, swift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.radosgw_server import RadosGateway
    from tests.support.swift_store import SwiftStore


@pytest.fixture(scope="session")
def store(server_keeper: str) -> Iterator[SwiftStore]:
    """OpenStack Swift's s3api."""
    with swift(server_keeper) as store:
        yield store


@pytest.fixture(scope="session")
def gateway(server_keeper: str) -> Iterator[RadosGateway]:
    """Ceph's RADOS gateway."""
    with radosgw(server_keeper) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def aws_cli() -> Iterator[AwsCli]:
    """The real AWS CLI."""
    with AwsCli() as aws_cli:
        yield aws_cli
