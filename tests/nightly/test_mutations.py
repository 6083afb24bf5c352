"""A larger share of the campaign of tests/fuzz than tests/parts runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.support.images.mutations import originals


@pytest.mark.parametrize("first", range(0, 50_000, campaign.BATCH))
def test_mutations_end_in_data_or_a_documented_error(first: int, tmp_path: Path) -> None:
    total = campaign.run(originals(tmp_path), range(first, first + campaign.BATCH))
    assert total.findings == []
