"""What a declaration makes, shown by records of the format."""

from __future__ import annotations

import pytest

from s3archivefs.format import GzipOptions, Lz4Options, LzoOptions, ZstdOptions


def test_record_is_made_like_a_dataclass() -> None:
    # by position or by name, and compared and shown by its fields
    found = GzipOptions(9, window_log=15, strategies=1)
    assert found == GzipOptions(9, 15, 1) != GzipOptions(9, 15, 0)
    assert repr(found) == "GzipOptions(level=9, window_log=15, strategies=1)"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'strategies'"):
        GzipOptions(9, 15)  # type: ignore[call-arg]
    match found:
        case GzipOptions(level, window_log):
            assert (level, window_log) == (9, 15)


def test_records_of_two_classes_differ() -> None:
    assert LzoOptions(1, 2) != Lz4Options(1, 2)
    assert LzoOptions(1, 2) != (1, 2)


def test_record_can_be_changed_and_so_has_no_hash() -> None:
    found = ZstdOptions(3)
    found.level = 4
    assert found == ZstdOptions(4)
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)
