"""The device below the caches of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.cached_device import Device

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def below() -> Iterator[Device]:
    device = Device()
    yield device
    assert device.failed == []
