"""What mappings cost: a page the same for thousands of them as for hundreds, and their start as
much as there are.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.tree import directory, file
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.commands.serve_settings import check_images
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask, content, get, list_page, list_pages
from tests.support.images.fixtures import make_image
from tests.support.laws.counted_calls import calls_of

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW, MANY = 200, 4000


def mapped(*prefixes: str) -> PrefixMap:
    return PrefixMap.from_mappings(
        PrefixMapping(prefix, Location("s3", "bucket", "key"), prefix) for prefix in prefixes
    )


def starts(prefixes: Sequence[str]) -> list[bytes]:
    """What the keys of mappings start with."""
    return [prefix.encode() + b"/" if prefix else b"" for prefix in prefixes]


# ---- As parts of one bucket ----------------------------------------------------------------------


def test_mappings_are_found_in_the_order_of_their_keys_which_is_not_that_of_their_prefixes() -> (
    None
):
    prefix_map = mapped("a", "a-b", "a/b", "a0")
    assert [mapping.prefix for mapping in prefix_map] == ["a", "a-b", "a/b", "a0"]
    found, floor = [], b""
    while (start := prefix_map.first(floor)) is not None:
        found.append(start)
        floor = start + b"\0"
    assert found == [b"a-b/", b"a/", b"a/b/", b"a0/"]
    assert [prefix_map[start].prefix for start in found] == ["a-b", "a", "a/b", "a0"]


prefixes = st.lists(st.text("ab-", min_size=1, max_size=2), max_size=3).map("/".join)
keys = st.text("ab-/", max_size=8).map(str.encode)


@pytest.mark.property
@given(st.sets(prefixes, max_size=8), keys)
def test_first_and_around_agree_with_looking_at_every_mapping(chosen: set[str], key: bytes) -> None:
    prefix_map = mapped(*chosen)
    every = starts([*chosen])
    assert [*prefix_map.around(key)] == sorted(start for start in every if key.startswith(start))
    assert prefix_map.first(key) == min((s for s in every if s >= key), default=None)


def test_two_spellings_of_one_prefix_are_one() -> None:
    # As variables of the environment give them where the locale is not UTF-8.
    with pytest.raises(ValueError, match="already mapped"):
        mapped("\u00fc", "\udcc3\udcbc")


# ---- What they cost ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = (directory("d"), file("d/x", b"x"))
    return make_image(tmp_path_factory.mktemp("mapped"), tree)


def configured(image: Path, count: int, directory: Path) -> Config:
    """Mappings of a file of settings, under `many/` but for one around them and one within."""
    lines = ["|", "many/0000/d|", *(f"many/{number:04d}|" for number in range(count))]
    file = directory / f"{count}.txt"
    file.write_text("".join(f"{line}file://{image}\n" for line in lines), "utf-8")
    return Config.from_environ({"S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE": str(file)})


QUERIES = {
    "one": {"prefix": "many/0100/"},
    "one of two": {"prefix": "many/0000/", "delimiter": "/"},
    "root": {"delimiter": "/"},
    "root, recursive": {"max-keys": "20"},
    "all": {"prefix": "many/", "delimiter": "/", "max-keys": "20"},
    "from the middle": {"start-after": "many/0100/d", "max-keys": "20"},
    "another delimiter": {"prefix": "many/00", "delimiter": "0", "max-keys": "20"},
    "behind": {"start-after": "many0"},
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_page_costs_the_same_however_many_mappings_there_are(
    name: str, image: Path, tmp_path: Path
) -> None:
    cost = {}
    for count in (FEW, MANY):
        operations = Operations(Archives(configured(image, count, tmp_path), make_archive_client))
        page = partial(ask, operations, "ListObjectsV2", S3Request(query=QUERIES[name]))
        content(page())  # opens what it opens
        cost[count] = calls_of(page)
    # Of twenty times as many. To wait for what is opened ahead takes a few calls more or less.
    assert cost[MANY] <= 2 * cost[FEW]


def test_start_takes_time_in_proportion_to_the_mappings(image: Path, tmp_path: Path) -> None:
    few, many = (
        calls_of(partial(configured, image, count, tmp_path)) for count in (MANY // 2, MANY)
    )
    assert many <= 2.1 * few


def test_serve_looks_for_what_archives_in_s3_need_once() -> None:
    few, many = (mapped(*(f"many/{number}" for number in range(count))) for count in (FEW, MANY))
    check_images(few)  # imports what it imports
    # One call for each mapping asks where its archive is.
    each = MANY - FEW
    assert calls_of(partial(check_images, many)) <= calls_of(partial(check_images, few)) + each + 20


def test_all_mappings_are_listed_each_with_its_members(image: Path, tmp_path: Path) -> None:
    operations = Operations(Archives(configured(image, MANY, tmp_path), make_archive_client))
    expected = [f"many/{number:04d}/d/x" for number in range(MANY)]
    expected[0] = "many/0000/d/d/x"  # of the mapping within, which hides the outer one's
    got = [item for page in list_pages(operations) for item in page.items]
    assert got == [key.encode() for key in ["d/x", *expected]]
    assert get(operations, expected[-1]) == b"x"
    assert list_page(operations, prefix=f"many/{MANY - 1:04d}/", delimiter="/").prefixes == (
        f"many/{MANY - 1:04d}/d/".encode(),
    )
