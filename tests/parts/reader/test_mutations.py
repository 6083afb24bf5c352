"""A share of the mutations of tests/fuzz: the reader survives them, and agrees with unsquashfs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import campaign
from tests.support.images.mutations import Mutator, originals
from tests.support.images.survive import survive


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return originals(tmp_path_factory.mktemp("originals"))


@pytest.mark.parametrize("first", range(0, 3000, campaign.BATCH))
def test_mutations_end_in_data_or_a_documented_error(first: int, images: dict[str, bytes]) -> None:
    total = campaign.run(images, range(first, first + campaign.BATCH))
    assert total.findings == []
    assert total.counts["opened"] > 330
    assert total.counts["refused"] > 330
    assert total.counts["compared"] > 33


@pytest.mark.property
@given(number=st.integers(0, 2**32))
def test_any_mutation_is_survived(number: int, images: dict[str, bytes]) -> None:
    survive(Mutator(images).mutation(number)[1])
