"""What replacing an image in S3 costs, by arithmetic alone."""

from __future__ import annotations

from s3archivefs_lambda.upload.image_extension import revision_cost
from s3archivefs_lambda.upload.kept_parts import KeptParts

MIB = 1 << 20


def test_a_megabyte_more_in_ten_gigabytes_is_few_requests_and_bytes() -> None:
    tables, new = 16_000_000, 1_000_000  # a million files; with new ones, as many again
    kept = 10_000_000_000
    cost = revision_cost(
        KeptParts([(0, kept)], 16 * MIB),
        kept + new + tables,
        received=5 * MIB + tables,
        requests=3,
    )
    assert cost.sent + cost.received <= 45_000_000
    assert cost.requests <= 30
    assert cost.copied == kept - 5 * MIB


def test_a_small_image_is_one_request_besides_looking() -> None:
    kept = KeptParts([(0, MIB)], 16 * MIB)
    cost = revision_cost(kept, 2 * MIB, received=MIB, requests=2)
    assert cost == (2 * MIB, MIB, 0, 5)
