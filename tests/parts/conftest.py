"""What all parts share beside the servers: the AWS CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.processes.forked_program import ForkedProgram

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def aws_cli() -> Iterator[ForkedProgram]:
    """The real AWS CLI."""
    with ForkedProgram("awscli.clidriver", "awscli.handlers") as aws_cli:
        yield aws_cli
