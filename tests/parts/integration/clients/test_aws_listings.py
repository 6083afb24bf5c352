"""Every option of the AWS CLI's listing commands, in both versions of the operation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pytest

from tests.support.servers.transports import BUCKET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parts.integration.clients.conftest import Program

LINKS = "sample/links/"
"""A prefix with more keys than a page of the tests below, and with a directory."""
NAMES = "sample/odd names/"

Listing = Callable[..., dict[str, Any]]


@pytest.fixture(params=["list-objects-v2", "list-objects"])
def operation(request: pytest.FixtureRequest) -> str:
    """Both versions."""
    name: str = request.param
    return name


@pytest.fixture
def listed(aws: Program, operation: str) -> Listing:
    """The answer to a listing by either version, with further options."""
    return listing(aws, operation)


@pytest.fixture
def listed_v2(aws: Program) -> Listing:
    """The answer to a listing by version 2."""
    return listing(aws, "list-objects-v2")


@pytest.fixture
def listed_v1(aws: Program) -> Listing:
    """The answer to a listing by version 1."""
    return listing(aws, "list-objects")


# ---- Options of both versions --------------------------------------------------------------------


def test_prefix_need_not_end_at_a_slash(listed: Listing, objects: dict[str, Path]) -> None:
    expected = below(objects, f"{NAMES}a")
    assert f"{NAMES}a/in a" in expected
    assert keys(listed("--prefix", f"{NAMES}a")) == expected


def test_delimiter_groups_what_lies_deeper(listed: Listing, objects: dict[str, Path]) -> None:
    answer = listed("--prefix", LINKS, "--delimiter", "/")
    names = [key.removeprefix(LINKS) for key in below(objects, LINKS)]
    assert keys(answer) == [LINKS + name for name in names if "/" not in name]
    assert prefixes(answer) == [f"{LINKS}inner/"]


def test_page_size_divides_a_listing_and_loses_nothing(
    aws: Program, operation: str, objects: dict[str, Path]
) -> None:
    done = aws("s3api", operation, "--bucket", BUCKET, "--page-size", "500", "--debug")
    answer = json.loads(done.stdout)
    assert [(item["Key"], item["Size"]) for item in answer["Contents"]] == [
        (key, path.stat().st_size) for key, path in objects.items()
    ]
    requests = re.findall(r'"GET /\S*\bmax-keys=500\b\S* HTTP/1\.1" 200', done.stderr)
    assert len(requests) == -(-len(objects) // 500)


def test_starting_token_goes_on_where_max_items_ended(
    listed: Listing, objects: dict[str, Path]
) -> None:
    options = ("--prefix", LINKS, "--max-items", "5")
    first = listed(*options)
    second = listed(*options, "--starting-token", first["NextToken"])
    assert len(keys(first)) == 5
    assert keys(first) + keys(second) == below(objects, LINKS)
    assert "NextToken" not in second


def test_encoding_type_url_encodes_every_name(listed: Listing, objects: dict[str, Path]) -> None:
    encoded = keys(listed("--prefix", NAMES, "--encoding-type", "url"))
    assert [unquote_plus(key) for key in encoded] == below(objects, NAMES)
    assert all(re.fullmatch(r"[!-~]+", key) for key in encoded)


# ---- Version 2 -----------------------------------------------------------------------------------


def test_start_after_is_itself_left_out(listed_v2: Listing, objects: dict[str, Path]) -> None:
    expected = below(objects, LINKS)
    answer = listed_v2("--prefix", LINKS, "--start-after", expected[2])
    assert keys(answer) == expected[3:]


def test_owner_is_listed_where_it_is_fetched(listed_v2: Listing) -> None:
    fetched = listed_v2("--prefix", LINKS, "--fetch-owner")["Contents"]
    assert all(item["Owner"]["ID"] for item in fetched)
    assert not any("Owner" in item for item in listed_v2("--prefix", LINKS)["Contents"])


def test_continuation_tokens_lead_through_pages_of_max_keys(
    listed_v2: Listing, objects: dict[str, Path]
) -> None:
    options = ("--no-paginate", "--prefix", LINKS, "--max-keys", "5")
    first = listed_v2(*options)
    assert (first["IsTruncated"], first["KeyCount"], first["MaxKeys"]) == (True, 5, 5)
    token = first["NextContinuationToken"]
    second = listed_v2(*options, "--continuation-token", token)
    assert (second["IsTruncated"], second["ContinuationToken"]) == (False, token)
    assert "NextContinuationToken" not in second
    assert keys(first) + keys(second) == below(objects, LINKS)


# ---- Version 1 -----------------------------------------------------------------------------------


def test_last_key_is_the_marker_of_the_next_page(
    listed_v1: Listing, objects: dict[str, Path]
) -> None:
    options = ("--no-paginate", "--prefix", LINKS, "--max-keys", "5")
    first = listed_v1(*options)
    assert (first["IsTruncated"], first["MaxKeys"]) == (True, 5)
    assert "NextMarker" not in first  # S3 gives it with a delimiter only
    second = listed_v1(*options, "--marker", keys(first)[-1])
    assert (second["IsTruncated"], second["Marker"]) == (False, keys(first)[-1])
    assert keys(first) + keys(second) == below(objects, LINKS)


def test_next_marker_may_be_a_common_prefix(listed_v1: Listing, objects: dict[str, Path]) -> None:
    options = ("--no-paginate", "--prefix", "sample/", "--delimiter", "/", "--max-keys", "3")
    first = listed_v1(*options)
    assert first["NextMarker"] == prefixes(first)[-1]
    second = listed_v1(*options, "--marker", first["NextMarker"])
    assert second["IsTruncated"] is False
    directories = {key.split("/")[1] for key in below(objects, "sample/")}
    assert prefixes(first) + prefixes(second) == [f"sample/{name}/" for name in sorted(directories)]


def listing(aws: Program, operation: str) -> Listing:
    """A command that lists the bucket, as a function of its further options."""
    command = ("s3api", operation, "--bucket", BUCKET)
    return lambda *options: json.loads(aws(*command, *options).stdout)


def keys(answer: dict[str, Any]) -> list[str]:
    """The keys of a listing."""
    return [item["Key"] for item in answer.get("Contents", [])]


def prefixes(answer: dict[str, Any]) -> list[str]:
    """The common prefixes of a listing."""
    return [item["Prefix"] for item in answer.get("CommonPrefixes", [])]


def below(objects: dict[str, Path], prefix: str) -> list[str]:
    """The keys that start with `prefix`."""
    return [key for key in objects if key.startswith(prefix)]
