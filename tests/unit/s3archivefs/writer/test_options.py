"""Options that no image can have are refused, each with what there is instead."""

from __future__ import annotations

from typing import Any

import pytest

from s3archivefs.errors import PackingError
from s3archivefs.writer.options import PackOptions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"compressor": "brotli"},
            "no compressor 'brotli'; there are gzip, lzo",
        ),
        ({"block_size": 2048}, "a block size of 2048 bytes"),
        ({"block_size": 2 << 20}, "a block size of 2097152 bytes"),
        ({"block_size": 5000}, "a block size of 5000 bytes"),
        ({"time": -1}, "a time of -1 s"),
        ({"time": 2**32}, "a time of 4294967296 s"),
    ],
)
def test_what_no_image_can_have_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(PackingError, match=said):
        PackOptions(**options)


def test_the_time_is_the_one_given_else_that_of_the_source_else_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert PackOptions().image_time(5) == 5
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "7")
    assert PackOptions().image_time(5) == 7
    assert PackOptions(time=9).image_time(5) == 9
