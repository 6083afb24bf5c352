"""Fixture images, open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.images.fixtures import FIXTURES, open_fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

    import s3archivefs


@pytest.fixture(scope="module")
def links() -> Iterator[s3archivefs.SquashFS]:
    with open_fixture(FIXTURES["symlinks"]) as fs:
        yield fs


@pytest.fixture(scope="module")
def plain() -> Iterator[s3archivefs.SquashFS]:
    with open_fixture(FIXTURES["gzip"]) as fs:
        yield fs
