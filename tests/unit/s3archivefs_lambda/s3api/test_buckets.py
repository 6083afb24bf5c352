"""Pages of buckets, as the AWS SDK reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from s3archivefs_lambda.s3api.buckets import Bucket, list_buckets
from s3archivefs_lambda.s3api.listing import encode_token
from s3archivefs_lambda.s3api.messages import S3Error
from tests.support.aws.sdk import parsed_by_botocore

CREATED = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
BUCKETS = [
    Bucket(name, region, CREATED)
    for name, region in (
        ("alpha", "us-east-1"),
        ("alpha-2", "eu-west-1"),
        ("beta", "us-east-1"),
    )
]


def listed(**query: str) -> dict[str, Any]:
    """The page that boto3 makes of an answer; in names of parameters, `_` stands for `-`."""
    document = list_buckets({name.replace("_", "-"): query[name] for name in query}, BUCKETS)
    return parsed_by_botocore("ListBuckets", 200, document)


def names(**query: str) -> list[str]:
    return [bucket["Name"] for bucket in listed(**query)["Buckets"]]


def test_all_buckets_are_listed() -> None:
    page = listed()
    assert page["Buckets"][0] == {"Name": "alpha", "CreationDate": CREATED}
    assert [bucket["Name"] for bucket in page["Buckets"]] == ["alpha", "alpha-2", "beta"]
    assert page["Owner"] == {"ID": "s3archivefs"}
    assert page.keys().isdisjoint({"ContinuationToken", "Prefix"})


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", ["alpha", "alpha-2", "beta"]),
        ("alpha", ["alpha", "alpha-2"]),
        ("beta", ["beta"]),
        ("Beta", []),
        ("<&>\udcff", []),
    ],
)
def test_a_prefix_selects_and_is_said(prefix: str, found: list[str]) -> None:
    page = listed(prefix=prefix)
    assert [bucket["Name"] for bucket in page["Buckets"]] == found
    assert page["Prefix"] == prefix.replace("\udcff", "\ufffd")


def test_pages_of_one_bucket_go_on_by_token() -> None:
    found, token = [], ""
    for _ in BUCKETS:
        page = listed(max_buckets="1", continuation_token=token)
        found += [bucket["Name"] for bucket in page["Buckets"]]
        token = page.get("ContinuationToken", "")
    assert found == ["alpha", "alpha-2", "beta"]
    assert token == ""


@pytest.mark.parametrize(("most", "count"), [("", 3), ("2", 2), ("3", 3), ("10000", 3)])
def test_a_page_has_so_many_at_most(most: str, count: int) -> None:
    page = listed(max_buckets=most)
    assert len(page["Buckets"]) == count
    assert ("ContinuationToken" in page) == (count < 3)


def test_a_token_beyond_the_last_name_gives_an_empty_page() -> None:
    assert names(continuation_token=encode_token(b"beta")) == []
    assert names(continuation_token=encode_token(b"\xff")) == []


def test_a_region_selects() -> None:
    assert names(bucket_region="eu-west-1") == ["alpha-2"]
    assert names(bucket_region="eu-north-1") == []


@pytest.mark.parametrize(
    "query",
    [{"prefix": "b"}, {"max_buckets": "9"}, {"bucket_region": ""}, {"continuation_token": ""}],
)
def test_a_listing_of_buckets_with_parameters_names_regions(query: dict[str, str]) -> None:
    assert {"us-east-1"} <= {bucket["BucketRegion"] for bucket in listed(**query)["Buckets"]}


def refused(**query: str) -> tuple[str, int, dict[str, str]]:
    with pytest.raises(S3Error) as caught:
        listed(**query)
    return caught.value.code, caught.value.status, caught.value.extra


@pytest.mark.parametrize("most", ["0", "-1", "10001", "x", "1.0", " 1", "\u0661", "9" * 5000])
def test_the_size_of_a_page_is_from_1_to_10000(most: str) -> None:
    told = {"ArgumentName": "max-buckets", "ArgumentValue": most}
    assert refused(max_buckets=most) == ("InvalidArgument", 400, told)


@pytest.mark.parametrize("token", ["x", "alpha", "\udcff", "====", encode_token(b"beta")[:-4]])
def test_a_malformed_token_is_refused(token: str) -> None:
    told = {"ArgumentName": "continuation-token", "ArgumentValue": token}
    assert refused(continuation_token=token) == ("InvalidArgument", 400, told)
