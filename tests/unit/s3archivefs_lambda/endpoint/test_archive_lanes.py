from __future__ import annotations

import pytest

from s3archivefs_lambda.config.prefix_map import PrefixMap, parse_mapping
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE, ArchiveLanes
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.messages import HttpRequest, Lane
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.store_buckets import bucket_mapping

MAPPINGS = PrefixMap.from_mappings(
    [
        parse_mapping("docs|s3://bucket/docs", "test"),
        parse_mapping("docs/more|s3://bucket/more", "test"),
        parse_mapping("here|file:///here", "test"),
        parse_mapping("here-too|file:///here", "test"),
    ]
)
LANES = ArchiveLanes(MAPPINGS)
SEVERAL = ("several archives", "several stores", False)


@pytest.mark.parametrize(
    ("target", "name", "store", "is_local"),
    [
        ("/archive/docs/a", "s3://bucket/docs", "bucket", False),
        ("/archive/docs/m%6fre/a", "s3://bucket/more", "bucket", False),
        ("/archive/docs/more", "s3://bucket/docs", "bucket", False),
        ("/archive/here/a?prefix=docs/", "file:///here", "file:", True),
        ("/archive/here-too/a", "file:///here", "file:", True),
        ("http://localhost/archive/here/a", "file:///here", "file:", True),
        ("/archive/elsewhere/a", "", "", True),
        ("/archive/docs2/a", "", "", True),
        ("/archive?prefix=docs/a", "s3://bucket/docs", "bucket", False),
        ("/archive?list-type=2&prefix=docs/m", *SEVERAL),
        ("/archive?prefix=docs/more/x", "s3://bucket/more", "bucket", False),
        ("/archive?prefix=docs/n", "s3://bucket/docs", "bucket", False),
        ("/archive?prefix=docs/&delimiter=/", *SEVERAL),
        ("/archive?prefix=docs%2Fmore%2F&prefix=here/", "s3://bucket/more", "bucket", False),
        ("/archive?prefix=here/", "file:///here", "file:", True),
        ("/archive?prefix=here", *SEVERAL),
        ("/archive?prefix=d", *SEVERAL),
        ("/archive/", *SEVERAL),
        ("/archive?prefix=x", "", "", True),
        ("/other/docs/a", "", "", True),
        ("/", "", "", True),
        ("/archive/%", "", "", True),
    ],
)
def test_a_request_waits_with_those_for_the_same_archive(
    target: str, name: str, store: str, *, is_local: bool
) -> None:
    app = make_app({"archive": ServedBucket(FakeOperations(), LANES)}, verifier=None)
    lane = app(HttpRequest(method="GET", target=target)).lane
    assert (lane.name, lane.store, lane.is_local) == (name, store, is_local)


@pytest.mark.parametrize(("at", "store"), [("file:///", "file:"), ("s3://bucket/", "bucket")])
def test_a_listing_of_archives_of_one_store_shares_its_threads(at: str, store: str) -> None:
    mappings = PrefixMap.from_mappings([parse_mapping(f"{n}|{at}{n}", "test") for n in "ab"])
    lane = ArchiveLanes(mappings).of_listing("")
    assert lane == Lane("several archives", store, is_local=store == "file:")
    assert lane.store == ArchiveLanes(mappings).of_object("a/k").store


def test_an_archive_at_the_root_owns_what_no_other_does() -> None:
    mappings = PrefixMap.from_mappings(
        [parse_mapping("|s3://bucket/root", "test"), parse_mapping("a|file:///a", "test")]
    )
    lanes = ArchiveLanes(mappings)
    assert lanes.of_object("x").name == "s3://bucket/root"
    assert lanes.of_listing("x").name == "s3://bucket/root"
    assert lanes.of_listing("a/").name == "file:///a"
    assert lanes.of_listing("").name == "several archives"


def test_archives_among_a_buckets_objects_have_lanes_of_their_own() -> None:
    lanes = ArchiveLanes(PrefixMap.from_mappings([bucket_mapping("s3://bucket")]))
    assert lanes.of_object("a.sqfs/x").name == "s3://bucket/a.sqfs"
    assert lanes.of_object("b/a.sqfs/x/c.sqfs/y").name == "s3://bucket/b/a.sqfs"
    assert lanes.of_object("a.sqfs").name == lanes.of_object("b").name == "s3://bucket/"
    assert lanes.of_listing("a.sqfs/x").name == "s3://bucket/a.sqfs"
    assert lanes.of_listing("").name == "s3://bucket/"
    assert lanes.of_object("a.sqfs/x").store == lanes.of_object("b").store == "bucket"


def test_each_bucket_has_its_lanes() -> None:
    other = ArchiveLanes(PrefixMap.from_mappings([parse_mapping("docs|s3://else/docs", "test")]))
    operations = FakeOperations()
    buckets = {"archive": ServedBucket(operations, LANES), "else": ServedBucket(operations, other)}
    app = make_app(buckets, verifier=None)
    asked = [HttpRequest(method="GET", target=f"/{name}/docs/a") for name in buckets]
    assert [app(each).lane.name for each in asked] == ["s3://bucket/docs", "s3://else/docs"]


def test_without_mappings_there_is_no_archive() -> None:
    app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=None)
    assert app(HttpRequest(method="GET", target="/archive/k")).lane is NO_ARCHIVE
