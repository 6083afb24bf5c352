"""Attributes as the command shows them."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli.described import device_numbers


@pytest.mark.property
@given(rdev=st.integers(0, 0xFFFF_FFFF))
def test_numbers_of_a_device_are_those_of_linux(rdev: int) -> None:
    stat: Any = SimpleNamespace(rdev=rdev)
    assert device_numbers(stat) == (os.major(rdev), os.minor(rdev))
