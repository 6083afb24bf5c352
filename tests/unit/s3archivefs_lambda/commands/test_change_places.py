"""The parts of an object that replaces an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs import BytesDevice
from s3archivefs_lambda.commands.change_places import StoredExtension
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30


class Stored(BytesDevice):
    """A stored image, as far as its parts matter."""

    target = etag = ""

    def __init__(self, image: bytes) -> None:
        super().__init__(image)
        self.part_bytes = 0

    def cost(self, *_: object, part_bytes: int) -> None:
        self.part_bytes = part_bytes


def part_of(image: Path, added: int | None, set_bytes: int | None = None) -> int:
    stored: Any = Stored(image.read_bytes())
    with StoredExtension(stored, "s3://b/k", set_bytes) as extension:
        extension.output(added=lambda: added)
        extension.cost([], 0)
    return int(stored.part_bytes)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("change"), ())


def test_parts_hold_what_is_added_in_as_many_as_any_store_takes(image: Path) -> None:
    assert part_of(image, 0) == 16 * MIB
    assert 20 * GIB <= 1000 * part_of(image, 20 * GIB) < 30 * GIB
    assert 10_000 * part_of(image, 1000 * GIB) >= 1000 * GIB


def test_parts_are_long_where_nobody_knows_how_much_is_added(image: Path) -> None:
    assert part_of(image, None) == 48 * MIB


def test_parts_are_as_they_are_set(image: Path) -> None:
    assert part_of(image, 20 * GIB, 5 * MIB) == 5 * MIB


def test_a_dry_run_counts_the_same_parts(image: Path) -> None:
    stored: Any = Stored(image.read_bytes())
    with StoredExtension(stored, "s3://b/k", None) as extension:
        extension.cost([], 20 * GIB)
    assert 20 * GIB <= 1000 * stored.part_bytes < 30 * GIB
