"""What all parts share beside the servers: the AWS CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.aws_cli import AwsCli

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def aws_cli() -> Iterator[AwsCli]:
    """The real AWS CLI."""
    with AwsCli() as aws_cli:
        yield aws_cli
