from __future__ import annotations

import pytest

from s3archivefs_lambda.commands.bucket_options import served_buckets
from s3archivefs_lambda.commands.errors import Faults, UsageError
from s3archivefs_lambda.commands.serve_settings import buckets, mappings
from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.settings import Config

CONFIG = Config.from_environ({})


@pytest.mark.parametrize(
    ("url", "name", "prefix"),
    [
        ("s3://books", "books", ""),
        ("s3://books/a/b/", "books", "a/b"),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap/a", "my-ap", "a"),
    ],
)
def test_a_bucket_in_s3_is_served_by_its_name(url: str, name: str, prefix: str) -> None:
    named = served_buckets([url], [], CONFIG)
    assert named.default == name
    (own,) = named.objects
    assert (own.prefix, own.bucket, str(own.location)) == (prefix, name, url.rstrip("/") + "/")
    assert own.archives == KeyPatterns(("*.sqfs",))


def test_mappings_are_beside_a_buckets_own_objects() -> None:
    found = buckets(
        mappings(["more=./image"], Faults()), CONFIG, served_buckets(["s3://books"], [], CONFIG)
    )
    assert list(found) == ["books"]
    assert {mapping.prefix for mapping in found["books"]} == {"", "more"}


def test_several_buckets_of_s3_are_served_and_several_parts_of_one() -> None:
    named = served_buckets(["s3://books", "s3://maps/a", "s3://maps/b"], [], CONFIG)
    found = buckets([], CONFIG, named)
    assert {name: len(maps) for name, maps in found.items()} == {"books": 1, "maps": 2}
    assert next(iter(found)) == "books"


def test_a_plain_name_goes_with_buckets_of_s3() -> None:
    named = served_buckets(["books", "s3://maps"], ["*.img"], CONFIG)
    assert (named.default, [own.bucket for own in named.objects]) == ("books", ["maps"])


def test_without_a_bucket_there_is_one_named_archive() -> None:
    assert served_buckets([], [], CONFIG) == ("archive", [])


def test_patterns_come_from_the_option_or_else_from_the_setting() -> None:
    config = Config.from_environ({"S3ARCHIVEFS_BUCKET_ARCHIVES": "*.img  images/*"})
    for given, found in ([], ("*.img", "images/*")), (["*.sq", "*"], ("*.sq", "*")):
        (own,) = served_buckets(["s3://books"], given, config).objects
        assert own.archives == KeyPatterns(found)


@pytest.mark.parametrize(
    ("texts", "patterns", "told"),
    [
        (["s3://"], [], "--bucket s3:// has the bucket name ''"),
        (["https://books"], [], "--bucket https://books is not of the form s3://bucket"),
        (["Books"], [], "--bucket 'Books': write 3 to 63 lower-case letters"),
        (["books", "maps"], [], "--bucket 'maps': a second bucket is one in S3; write s3://maps"),
        (["books"], ["*.sqfs"], "--archives: needs a bucket in S3, such as --bucket s3://books"),
        ([], ["*.sqfs"], "--archives: needs a bucket in S3, such as --bucket s3://archive"),
        (["s3://books"], ["images/"], "--archives has the pattern 'images/'"),
    ],
)
def test_what_cannot_be_is_told(texts: list[str], patterns: list[str], told: str) -> None:
    with pytest.raises(UsageError) as error:
        served_buckets(texts, patterns, CONFIG)
    assert str(error.value).startswith(told)


def test_a_bucket_is_mapped_to_its_own_objects_once() -> None:
    with pytest.raises(UsageError) as error:
        buckets(
            mappings(["docs=./image"], Faults()),
            CONFIG,
            served_buckets(["s3://books/docs"], [], CONFIG),
        )
    told = "'docs' is already mapped by --bucket s3://books/docs to s3://books/docs/"
    assert told in str(error.value)
