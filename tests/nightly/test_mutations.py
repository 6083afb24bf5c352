"""A larger share of the campaign of tests/fuzz than tests/unit runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.support.images.mutations import originals


@pytest.mark.timeout(900)
def test_mutations_end_in_data_or_a_documented_error(tmp_path: Path) -> None:
    total = campaign.run(originals(tmp_path), range(50_000))
    assert total.findings == []
