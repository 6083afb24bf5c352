from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.location import Location, parse_bucket_location, parse_location


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("s3://bucket/a.sqfs", "bucket", "a.sqfs"),
        ("s3://b.u-9/deep/er/a.sqfs", "b.u-9", "deep/er/a.sqfs"),
        ("s3://bucket//a", "bucket", "/a"),
        ("s3://bucket/100%25 of it?|#", "bucket", "100%25 of it?|#"),
        ("s3://bucket/ключ", "bucket", "ключ"),
        ("s3://" + "b" * 63 + "/a", "b" * 63, "a"),
        (
            "s3://my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias/a",
            "my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias",
            "a",
        ),
        (
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap/docs/a",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap",
            "docs/a",
        ),
        (
            "s3://arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:my-ap/a",
            "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:my-ap",
            "a",
        ),
        (
            "s3://arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap/a",
            "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap",
            "a",
        ),
    ],
)
def test_an_s3_url_names_bucket_or_access_point_and_a_literal_key(
    url: str, bucket: str, key: str
) -> None:
    location = parse_location(url)
    assert location == Location("s3", bucket, key)
    assert str(location) == url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/a.sqfs", "/data/a.sqfs"),
        ("file:///a%20b", "/a b"),
        ("file:///a b", "/a b"),
        ("file:///%FF", "/\udcff"),
    ],
)
def test_a_file_url_names_an_absolute_path(url: str, path: str) -> None:
    assert parse_location(url) == Location("file", "", path)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_file_location_survives_being_written_as_a_url(name: str) -> None:
    location = Location("file", "", "/x" + name)
    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "does not go to"),
        (" s3://bucket/a", "does not go to"),
        ("S3://bucket/a", "does not go to"),
        ("bucket/a", "does not go to"),
        ("https://bucket.s3.amazonaws.com/a", "does not go to"),
        ("s3://bucket", "no object"),
        ("s3://bucket/", "no object"),
        ("s3:///a", "bucket name"),
        ("s3://bu/a", "bucket name"),
        ("s3://" + "b" * 64 + "/a", "bucket name"),
        ("s3://Bucket/a", "bucket name"),
        ("s3://buc_ket/a", "bucket name"),
        ("s3://-bucket/a", "bucket name"),
        ("s3://bucket./a", "bucket name"),
        ("s3://buc..ket/a", "bucket name"),
        ("s3://192.168.0.1/a", "bucket name"),
        ("s3://bückét/a", "bucket name"),
        ("s3://bucket\n/a", "bucket name"),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap", "access point"),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap/", "no object"),
        ("s3://arn:aws:s3:eu-west-1:12:accesspoint/my-ap/a", "access point"),
        ("s3://bucket/\udcff", "UTF-8"),
        ("s3://bucket/" + "é" * 513, "1026 bytes"),
        ("file://relative/a", "absolute path"),
        ("file://", "absolute path"),
        ("file:///", "absolute path"),
        ("file:///a%00b", "absolute path"),
    ],
)
def test_a_malformed_url_is_refused(url: str, part: str) -> None:
    with pytest.raises(SettingError) as error:
        parse_location(url)
    assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "bucket", "start"),
    [
        ("s3://my-bucket", "my-bucket", ""),
        ("s3://my-bucket/", "my-bucket", ""),
        ("s3://my-bucket/a/b", "my-bucket", "a/b/"),
        ("s3://my-bucket/a/b/", "my-bucket", "a/b/"),
        (
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap",
            "",
        ),
    ],
)
def test_a_buckets_url_names_what_its_keys_begin_with(url: str, bucket: str, start: str) -> None:
    assert parse_bucket_location(url) == Location("s3", bucket, start)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("my-bucket", "s3://bucket/prefix"),
        ("https://my-bucket", "s3://bucket/prefix"),
        ("file:///my-bucket", "s3://bucket/prefix"),
        ("s3://", "bucket name ''"),
        ("s3://My_Bucket", "bucket name 'My_Bucket'"),
        ("s3://my-bucket/" + "a" * 1024, "1025 bytes"),
        ("s3://my-bucket/\udcff", "not UTF-8"),
    ],
)
def test_any_other_url_of_a_bucket_is_a_fault_that_says_why(url: str, told: str) -> None:
    with pytest.raises(SettingError, match=re.escape(told)):
        parse_bucket_location(url)
