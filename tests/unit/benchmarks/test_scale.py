"""docs/scale.md has what `benchmarks scale` computes."""

from __future__ import annotations

from benchmarks.scale import missed, part_bytes, report
from tests.support.documents.pages import ROOT


def test_the_page_has_the_tables() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    tables = [line for line in report(10**9, [10_000, 1_000_000]) if line.startswith("|")]
    assert [line for line in page.splitlines() if line.startswith("|")] == tables


def test_an_archive_fits_its_parts() -> None:
    for archive in (1, 10**10, 10**13):
        assert part_bytes(archive) * 10_000 >= archive
        assert part_bytes(archive) >= 16 << 20


def test_fewer_opens_are_missed_the_more_archives_stay_open() -> None:
    shares = [missed(1000, kept) for kept in (10, 100, 1000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] <= 0.01
