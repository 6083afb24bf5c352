"""What tests of the application ask."""

from __future__ import annotations

import pytest

from tests.support.adapter.fake_operations import FakeOperations


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()
