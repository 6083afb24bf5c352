from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs.cli.location import split_location

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("location", "image", "path"),
    [
        ("s3://bucket/a.sqfs", "s3://bucket/a.sqfs", None),
        ("s3://bucket/a.sqfs/", "s3://bucket/a.sqfs", "/"),
        ("s3://bucket/a.sqfs/docs/x.md", "s3://bucket/a.sqfs", "/docs/x.md"),
        ("s3://bucket/deep/a.SquashFS/x", "s3://bucket/deep/a.SquashFS", "/x"),
        ("s3://bucket/a.sqfs/b.sqfs/x", "s3://bucket/a.sqfs", "/b.sqfs/x"),
        ("s3://bucket/a.sqfsx/y", "s3://bucket/a.sqfsx/y", None),
        ("s3://bucket/plain/key", "s3://bucket/plain/key", None),
        ("memory://a.img/\n", "memory://a.img", "/\n"),
    ],
)
def test_an_image_behind_a_url_ends_with_its_name_s_ending(
    location: str, image: str, path: str | None
) -> None:
    assert split_location(location) == (image, path)


def test_a_local_image_ends_at_the_first_name_that_is_no_directory(tmp_path: Path) -> None:
    image = tmp_path / "no.ending"
    image.touch()
    (tmp_path / "d.sqfs").mkdir()
    assert split_location(f"{image}/docs/x") == (str(image), "/docs/x")
    assert split_location(f"{image}/") == (str(image), "/")
    assert split_location(str(image)) == (str(image), None)
    for whole in ("d.sqfs/missing", "missing/x"):
        assert split_location(f"{tmp_path}/{whole}") == (f"{tmp_path}/{whole}", None)
    assert split_location("missing") == ("missing", None)
    assert split_location("") == ("", None)
